"""Silence is evidence: a variable that was there regularly and stays away, and a system of which too little is left.

Told beside the vote, which masks what is missing: no score and no verdict depends on it. A variable is silent once it
has been missing for more rows than

    max(gap_rows, 3 u)

where u is its usual gap, the second largest of late: 0 for a variable of every row, 59 for one of every 60th, some 25
for one that is there in a fifth of the rows at random. Of late: gaps shrink to 1 / e in 1,000 readings. The second: an
outage alone is not usual. A silence counts as the limit that it went over, at most: one that comes again and again is
told a few times, and is usual then. A variable with fewer than 20 readings so far is no regular one. The same is asked
of the quorum: of the rows in which enough variables were there to judge.

A system that sends no rows at all has no row at which to say so: that is for who has a clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from detectors.block import Block, BoolArray, FloatArray, IntArray, Rows, State
from detectors.causes.graph import entity_of
from detectors.findings import Silence
from detectors.intake import LARGEST

FADING = 1.0 - 1.0 / 1_000.0  # of gaps, a reading
FELL, CAME_BACK = 1, 2  # what happened to a variable in a row


@dataclass(frozen=True, slots=True)
class SilenceSettings:
    """enabled: False tells no silence.

    factor: times its usual gap that a variable is missing before it is called silent; never less than intake.gap_rows.
    regular_readings: readings after which a variable can be.
    """

    enabled: bool = True
    factor: float = 3.0
    regular_readings: int = 20

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")
        if self.regular_readings < 1:
            raise ValueError(f"regular_readings must be at least 1, got {self.regular_readings}")


class Silences:
    """Follows who is there. The quorum counts as one more variable, the last. Cost: some 3 ns a reading.

    counts: (2, D + 1) readings so far, rows missing since the last. gaps: (2, D + 1) the
    largest and the second largest of late, in rows. last: (D + 1,)
    time of the last reading. silent: (D + 1,).
    """

    def __init__(self, variables: Sequence[str], settings: SilenceSettings, *, gap_rows: int) -> None:
        count = len(variables) + 1
        self._variables = tuple(variables)
        self._is_on = settings.enabled
        self._limits = (float(gap_rows), settings.factor, settings.regular_readings)
        self._counts = np.zeros((2, count), dtype=np.int64)
        self._gaps = np.zeros((2, count))
        self._last = np.zeros(count, dtype=np.int64)
        self._silent = np.zeros(count, dtype=np.bool_)

    @property
    def silent(self) -> tuple[str, ...]:
        """The variables that are silent now."""
        return tuple(name for name, is_silent in zip(self._variables, self._silent[:-1], strict=True) if is_silent)

    def follow(self, block: Block, rows: Rows) -> list[Silence]:
        """What fell silent or came back in these rows, in order."""
        if not self._is_on:
            return []
        shape = (len(rows), len(self._silent))
        events, since, usual = np.zeros(shape, np.int8), np.empty(shape, np.int64), np.empty(shape)
        state = (self._counts, self._gaps, self._last, self._silent)
        if not _follow(block.times, block.values, rows.quorum, state, self._limits, (events, since, usual)):
            return []
        told: list[Silence] = []
        for t in map(int, np.flatnonzero(events.any(axis=1))):
            told.extend(self._told(int(block.times[t]), rows.first + t, events[t], since[t], usual[t]))
        return told

    def _told(self, time: int, row: int, events: BoolArray, since: IntArray, usual: FloatArray) -> Iterator[Silence]:
        """The findings of one row: those who fell silent by entity, all together if the quorum went with them; and in
        the same way those who came back."""
        states: tuple[tuple[int, Literal["silent", "back"]], ...] = ((FELL, "silent"), (CAME_BACK, "back"))
        for event, state in states:
            for entity, places in self._groups(np.flatnonzero(events == event)):
                names = tuple(self._variables[j] for j in places if j < len(self._variables))
                yield Silence(time, row, entity, names, int(since[places].min()), float(usual[places].max()), state)

    def _groups(self, who: IntArray) -> list[tuple[str | None, list[int]]]:
        if len(self._variables) in who:
            return [(None, who.tolist())]
        groups: dict[str | None, list[int]] = {}
        for j in who.tolist():
            groups.setdefault(entity_of(self._variables[j]), []).append(j)
        return list(groups.items())

    def state(self) -> State:
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state(self, state: State) -> None:
        for name, array in self._arrays().items():
            array[:] = state[name]

    def _arrays(self) -> State:
        return {"counts": self._counts, "gaps": self._gaps, "last": self._last, "silent": self._silent}


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    times: IntArray,
    values: FloatArray,
    quorum: BoolArray,
    state: tuple[IntArray, FloatArray, IntArray, BoolArray],
    limits: tuple[float, float, int],
    out: tuple[IntArray, IntArray, FloatArray],
) -> int:
    """How many events there were. out: (T, D + 1) events, and where there is one the last reading and usual gap before.

    A reading that is not finite, or absurd, is missing, as the intake has it.
    """
    counts, gaps, last, silent = state
    gap_rows, factor, regular = limits
    events, since, before = out
    found, variables = 0, values.shape[1]
    for t in range(values.shape[0]):
        for j in range(variables + 1):
            there = quorum[t] if j == variables else abs(values[t, j]) < LARGEST
            limit = max(gap_rows, factor * gaps[1, j])
            if not there:
                counts[1, j] += 1
            event = 0
            if there and silent[j]:
                event = CAME_BACK
            elif not there and not silent[j] and counts[0, j] >= regular and counts[1, j] > limit:
                event = FELL
            if event:
                found += 1
                silent[j] = event == FELL
                events[t, j], since[t, j], before[t, j] = event, last[j], gaps[1, j]
            if there:
                _remember(gaps, j, min(float(counts[1, j]), limit) if counts[0, j] > 0 else 0.0)
                counts[0, j] += 1
                counts[1, j] = 0
                last[j] = times[t]
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _remember(gaps: FloatArray, j: int, gap: float) -> None:
    """One more gap of variable j among the two largest of late."""
    first, second = FADING * gaps[0, j], FADING * gaps[1, j]
    gaps[0, j] = max(first, gap)
    gaps[1, j] = max(second, min(first, gap))
