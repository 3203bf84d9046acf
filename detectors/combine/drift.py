"""Drift: a rise of the combined score that lasts opens the warm-up of the calibration anew.

A system whose normal has changed for good is accepted by the memory (online.neighbours), but its detectors' lines know
100,000 rows of the old normal and follow in thousands. ADWIN (combine.adwin) over the log of the combined score sees
the rise (the damping of the young taken out, whose end would look like one). If, lasting_rows later, the mean is still
above the old one and the share of rows over 1.0 since then was at least `paging`, then from the segment's end on all
that calibration has learned weighs as kept_rows rows, and its scores are young again: held down by 1 + young_rows /
(n + 1), and told as warming.

Off by default, for an incident as long as that looks the same to it. On the development sets it took SMD's false rows
from 10.3 to 5.3 in 1,000, and its VUS-PR from .744 to .697, its events from 48 to 46 of 52; with 500 lasting_rows, less
than the memory takes to accept an incident, .552 and 40.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, State, nested, part
from detectors.combine.adwin import Adwin, clear, update
from detectors.combine.adwin import Arrays as AdwinArrays

LEAST = 1e-3  # of a score, before its log is taken
WATCHED, ACCEPTED, TIMES, OPENED, OVER = 0, 1, 2, 3, 4  # counts

Options: TypeAlias = tuple[float, int, int, float]


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """reopens: True opens the warm-up anew after a lasting rise of the combined score.

    delta: chance that ADWIN calls a change where there is none. lasting_rows: that the rise must last from then on.
    paging: share of them over the line, below which nothing is done: not every rise matters.
    kept_rows: what calibration has learned weighs as so many rows afterwards, if it was more.
    """

    reopens: bool = False
    delta: float = 0.002
    lasting_rows: int = 1_000
    paging: float = 0.05
    kept_rows: int = 1_000

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must be between 0 and 1, got {self.delta}")
        if not 0 <= self.paging <= 1:
            raise ValueError(f"paging must be between 0 and 1, got {self.paging}")
        if min(self.lasting_rows, self.kept_rows) < 1:
            raise ValueError(
                f"lasting_rows and kept_rows must be at least 1, got {self.lasting_rows} and {self.kept_rows}"
            )


class Drift:
    """Follows the combined score, which is damped by 1 + young_rows / (n + 1). Cost: ADWIN's, if on; else nothing.

    counts: rows since a rise that is watched (0: none is), 1 if it was accepted and nobody acted yet, how often the
    warm-up was opened anew, at which row, and the watched rows over the line.
    """

    def __init__(self, settings: DriftSettings, young_rows: int) -> None:
        self._settings = settings
        self._options: Options = (settings.delta, settings.lasting_rows, young_rows, settings.paging)
        self._adwin = Adwin()
        self._old = np.zeros(1)  # mean before the rise
        self._counts = np.zeros(5, dtype=np.int64)

    @property
    def times(self) -> int:
        """How often the warm-up was opened anew."""
        return int(self._counts[TIMES])

    def follow(self, scores: FloatArray, judged: BoolArray, *, first: int) -> None:
        """Take in the combined scores (T,) of the rows judged (T,), the first of which is the system's row `first`."""
        if self._settings.reopens:
            _follow(scores, judged, first, self._adwin.arrays, self._old, self._counts, self._options)

    def accept(self, row: int) -> bool:
        """At a segment's end: whether the warm-up begins anew at this row."""
        is_accepted = bool(self._counts[ACCEPTED])
        if is_accepted:
            self._counts[ACCEPTED], self._counts[OPENED] = 0, row
            self._counts[TIMES] += 1
        return is_accepted

    def state(self) -> State:
        return {"old": self._old.copy(), "counts": self._counts.copy(), **nested("adwin", self._adwin.state())}

    def load_state(self, state: State) -> None:
        self._old[:], self._counts[:] = state["old"], state["counts"]
        self._adwin.load_state(part("adwin", state))


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    scores: FloatArray,
    judged: BoolArray,
    first: int,
    adwin: AdwinArrays,
    old: FloatArray,
    counts: IntArray,
    options: Options,
) -> None:
    delta, lasting, young, paging = options
    window = adwin[2]
    for t in range(scores.shape[0]):
        if not judged[t]:
            continue
        before = window[0] / max(1.0, window[2])
        undamped = scores[t] * (1.0 + young / (first + t - counts[OPENED] + 1.0))
        if update(np.log(max(undamped, LEAST)), adwin, delta):
            now = window[0] / window[2]
            clear(adwin)
            old[0] = old[0] if counts[WATCHED] > 0 else before
            counts[OVER] = counts[OVER] if counts[WATCHED] > 0 else 0
            counts[WATCHED] = max(1, counts[WATCHED]) if now > old[0] else 0
        elif counts[WATCHED] > 0:
            counts[WATCHED] += 1
            counts[OVER] += scores[t] > 1.0
            if counts[WATCHED] > lasting and window[2] > 0.0:
                pages = counts[OVER] >= paging * lasting
                counts[ACCEPTED] = int(pages and window[0] / window[2] > old[0])
                counts[WATCHED] = 0
