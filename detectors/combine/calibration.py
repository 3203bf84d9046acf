"""Calibration: many raw scores, each brought to a scale on which 1.0 is its own line.

A scorer's line is the .99 quantile of its past, kept in a histogram over log scores that anomalies cannot move: one
excursion over the line brings at most 10 rows into it. Young scores are held down by 1 + 100 / (n + 1), for a quantile
of n rows promises nothing beyond 1 / n. Against a reservoir of past scores this is exact to a bin's width, needs no
dice, and forgets slowly by letting weights grow.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, State

SMALLEST = 1e-6  # lower edge of the second bin; smaller scores are alike
HEAVY = 1e9  # weights grow until here, then all are scaled down
HIGHEST = 1000.0  # of a calibrated score: a line of zero must not make an infinite one


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What the line of a scorer is made from.

    quantile: of a scorer's past that is its line.
    memory_rows: a row's weight is 1 / e of a new one's after so many rows.
    young_rows: scores are divided by 1 + young_rows / (n + 1).
    excursion_rows: so many rows of one excursion are taken in; it ends after as many quiet rows.
    """

    quantile: float = 0.99
    memory_rows: int = 100_000
    young_rows: int = 100
    excursion_rows: int = 20
    quiet_rows: int = 3

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile must be from 0.5 to below 1, got {self.quantile}")
        if self.memory_rows < 100:
            raise ValueError(f"memory_rows must be at least 100, got {self.memory_rows}")


class Calibration:
    """S scorers on one scale. Cost: some 15 ns a score.

    ratio: width of a bin, as a factor: a line is exact to so much. bins: so many from SMALLEST on.
    """

    def __init__(self, scorers: int, settings: CalibrationSettings, *, ratio: float = 1.02, bins: int = 1500) -> None:
        self._settings = settings
        self._log_ratio = float(np.log(ratio))
        self._edges = SMALLEST * np.exp(self._log_ratio * np.arange(-1, bins))  # lower edges
        self._bins = np.zeros((scorers, bins))
        self._place = np.zeros(scorers, dtype=np.int64)  # the bin that holds the quantile
        self._sums = np.zeros((3, scorers))  # weight in all, weight above the place, weight of the next row
        self._sums[2] = 1.0
        self._counts = np.zeros((3, scorers), dtype=np.int64)  # rows taken in, rows over the line, quiet rows since

    def judge(self, raw: FloatArray, valid: BoolArray) -> FloatArray:
        """Calibrated scores (T, S) of raw ones (T, S), each judged before it is taken in; 0 where not valid."""
        s = self._settings
        out = np.zeros(raw.shape)
        options = (1.0 - s.quantile, 1.0 + 1.0 / s.memory_rows, s.young_rows, s.excursion_rows, s.quiet_rows, self._log_ratio)
        _judge(raw, valid, out, self._edges, self._bins, self._place, self._sums, self._counts, options)
        return out

    def state(self) -> State:
        return {
            "bins": self._bins.copy(),
            "place": self._place.copy(),
            "sums": self._sums.copy(),
            "counts": self._counts.copy(),
        }

    def load_state(self, state: State) -> None:
        self._bins[:] = state["bins"]
        self._place[:] = state["place"]
        self._sums[:] = state["sums"]
        self._counts[:] = state["counts"]


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(
    raw: FloatArray,
    valid: BoolArray,
    out: FloatArray,
    edges: FloatArray,
    bins: FloatArray,
    place: IntArray,
    sums: FloatArray,
    counts: IntArray,
    options: tuple[float, float, int, int, int, float],
) -> None:
    tail, growth, young, excursion, quiet, log_ratio = options
    for t in range(raw.shape[0]):
        for s in range(raw.shape[1]):
            if not valid[t, s]:
                continue
            score = 0.0
            if counts[0, s] > 0:
                line = max(_line(bins[s], edges, place[s], sums[:, s], tail), SMALLEST)
                score = min(raw[t, s] / line / (1.0 + young / (counts[0, s] + 1.0)), HIGHEST)
            out[t, s] = score
            if score > 1.0:
                counts[1, s] += 1
                counts[2, s] = 0
            else:
                counts[2, s] += 1
                if counts[2, s] > quiet:
                    counts[1, s] = 0
            if counts[1, s] <= excursion:
                _take(raw[t, s], bins[s], edges, place, sums, s, tail, log_ratio)
                sums[2, s] *= growth
                counts[0, s] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _line(bins: FloatArray, edges: FloatArray, place: int, sums: FloatArray, tail: float) -> float:
    """The quantile, interpolated inside its bin."""
    inside = (sums[1] + bins[place] - tail * sums[0]) / bins[place]
    upper = edges[place + 1] if place + 1 < edges.shape[0] else edges[place]
    return float(edges[place] + (upper - edges[place]) * inside)


@njit(cache=True, nogil=True, error_model="numpy")
def _take(
    score: float,
    bins: FloatArray,
    edges: FloatArray,
    place: IntArray,
    sums: FloatArray,
    s: int,
    tail: float,
    log_ratio: float,
) -> None:
    """Add one score and move the place, so that more than the tail lies in it and above, at most the tail above."""
    last = bins.shape[0] - 1
    b = 0
    if score >= SMALLEST:
        b = min(last, 1 + int(np.log(score / SMALLEST) / log_ratio))
    bins[b] += sums[2, s]
    sums[0, s] += sums[2, s]
    if sums[0, s] > HEAVY:
        bins /= HEAVY
        sums[0, s] = np.sum(bins)
        sums[2, s] /= HEAVY
    p = place[s]
    above = sums[1, s]
    if sums[0, s] <= 1.0 or b > p:
        above = np.sum(bins[p + 1 :])
    while above > tail * sums[0, s]:
        p += 1
        above -= bins[p]
    while p > 0 and above + bins[p] <= tail * sums[0, s]:
        above += bins[p]
        p -= 1
    place[s], sums[1, s] = p, above
