"""Silence is evidence: a variable that was there regularly and stays away, and a system of which too little is left.

Told beside the vote, which masks what is missing: no score and no verdict depends on it. A variable is silent once it
has been missing for more rows than

    max(gap_rows, 3 u)

where u is its usual gap, the second largest of late: 0 for a variable of every row, 59 for one of every 60th, some 25
for one that is there in a fifth of the rows at random. Of late: gaps shrink to 1 / e in 1,000 readings. The second: an
outage alone is not usual. A silence counts as the limit that it went over, at most: one that comes again and again is
told a few times, and is usual then. A variable with fewer than 50 readings so far is no regular one.

The same is asked of the quorum, that is of the rows in which enough variables were there to judge; and of each counter
(see intake), whose rises are its readings: one that rose regularly and stays where it is has stalled.

A system that sends no rows at all has no row at which to say so: that is for who has a clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numba import njit

from detectors.block import Block, BoolArray, FloatArray, InArrays, IntArray, Rows, State
from detectors.causes.graph import entity_of
from detectors.findings import Silence
from detectors.intake import LARGEST

FADING = 1.0 - 1.0 / 1_000.0  # of gaps, a reading
FELL, CAME_BACK = 1, 2  # what happened to a variable in a row
Memory: TypeAlias = tuple[IntArray, FloatArray, IntArray, BoolArray]  # counts, gaps, last, silent


@dataclass(frozen=True, slots=True)
class SilenceSettings:
    """enabled: False tells no silence.

    factor: times its usual gap that a variable is missing before it is called silent; never less than intake.gap_rows.
    regular_readings: readings after which a variable can be.
    """

    enabled: bool = True
    factor: float = 3.0
    regular_readings: int = 50

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")
        if self.regular_readings < 1:
            raise ValueError(f"regular_readings must be at least 1, got {self.regular_readings}")


class Silences(InArrays):
    """Follows who is there. Cost: some 5 ns a reading.

    N = 2 D + 1 are asked: each variable, whether it is there; the quorum; each counter, whether it rises.

    counts: (2, N) times they were and rows since. gaps: (2, N) the largest of late and the second, in rows. last: (N,)
    when they last were. silent: (N,). counter: (D,).
    """

    def __init__(self, variables: Sequence[str], settings: SilenceSettings, *, gap_rows: int) -> None:
        count = 2 * len(variables) + 1
        self._variables = tuple(variables)
        self._is_on = settings.enabled
        self._limits = (float(gap_rows), settings.factor, settings.regular_readings)
        self._counts = np.zeros((2, count), dtype=np.int64)
        self._gaps = np.zeros((2, count))
        self._last = np.zeros(count, dtype=np.int64)
        self._silent = np.zeros(count, dtype=np.bool_)
        self._counter = np.zeros(len(variables), dtype=np.bool_)

    @property
    def silent(self) -> tuple[str, ...]:
        """The variables that are missing now, and should not be."""
        return tuple(self._variables[j] for j in np.flatnonzero(self._silent[: len(self._variables)]))

    def follow(self, block: Block, rows: Rows) -> list[Silence]:
        """What fell silent or came back in these rows, in order."""
        if not self._is_on:
            return []
        shape = (len(rows), len(self._silent))
        events, since, usual = np.zeros(shape, np.int8), np.empty(shape, np.int64), np.empty(shape)
        state = (self._counts, self._gaps, self._last, self._silent)
        cells = (block.values, rows.values, rows.present, rows.renewed, rows.quorum)
        if not _follow(block.times, cells, self._counter, state, self._limits, (events, since, usual)):
            return []
        told: list[Silence] = []
        for t in map(int, np.flatnonzero(events.any(axis=1))):
            told.extend(self._told(int(block.times[t]), rows.first + t, events[t], since[t], usual[t]))
        return told

    def _told(self, time: int, row: int, events: IntArray, since: IntArray, usual: FloatArray) -> Iterator[Silence]:
        """The findings of one row: those who fell silent by entity, all together if the quorum went with them; and in
        the same way those who came back."""
        states: tuple[tuple[int, Literal["silent", "back"]], ...] = ((FELL, "silent"), (CAME_BACK, "back"))
        for event, state in states:
            for (entity, reason), places in self._groups(np.flatnonzero(events == event)).items():
                names = tuple(name for j in places if (name := self._name(j)))
                first, gap = int(since[places].min()), float(usual[places].max())
                yield Silence(time, row, entity, names, first, gap, state, reason)

    def _groups(self, who: IntArray) -> dict[tuple[str | None, Literal["missing", "stalled"]], list[int]]:
        """(entity, reason) -> who of these."""
        is_whole = len(self._variables) in who
        groups: dict[tuple[str | None, Literal["missing", "stalled"]], list[int]] = {}
        for j in who.tolist():
            if j > len(self._variables):
                groups.setdefault((entity_of(self._name(j)), "stalled"), []).append(j)
            else:
                groups.setdefault((None if is_whole else entity_of(self._name(j)), "missing"), []).append(j)
        return groups

    def _name(self, j: int) -> str:
        """Of the variable that is asked in place j; none for the quorum."""
        return (*self._variables, "", *self._variables)[j]

    def _arrays(self) -> State:
        return {
            "counts": self._counts,
            "gaps": self._gaps,
            "last": self._last,
            "silent": self._silent,
            "counter": self._counter,
        }


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    times: IntArray,
    cells: tuple[FloatArray, FloatArray, BoolArray, BoolArray, BoolArray],
    counter: BoolArray,
    state: Memory,
    limits: tuple[float, float, int],
    out: tuple[IntArray, IntArray, FloatArray],
) -> int:
    """How many events there were. out: (T, N) events, and where there is one the last time before and the usual gap.

    cells: raw values, those of the intake, present, renewed, quorum. A raw value that is not finite, or absurd, is
    missing; a counter's value is its step, and that of its reset is not present.
    """
    raw, values, present, renewed, quorum = cells
    counts, gaps, last, _ = state
    found, variables = 0, raw.shape[1]
    for t in range(raw.shape[0]):
        for j in range(variables):
            there = abs(raw[t, j]) < LARGEST
            if there and counts[1, j] == 0 and gaps[0, j] == 0.0:  # as nearly always: it never stays away
                counts[0, j] += 1
                last[j] = times[t]
            else:
                found += _ask(t, j, there, times, state, limits, out)
        found += _ask(t, variables, quorum[t], times, state, limits, out)
        for j in range(variables):
            if renewed[t, j]:  # it became a counter, or is none after all
                counter[j] = not counter[j]
                _forget(variables + 1 + j, state)
            if counter[j] and present[t, j]:
                found += _ask(t, variables + 1 + j, values[t, j] > 0.0, times, state, limits, out)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _ask(
    t: int,
    j: int,
    there: bool,
    times: IntArray,
    state: Memory,
    limits: tuple[float, float, int],
    out: tuple[IntArray, IntArray, FloatArray],
) -> bool:
    """Whether something happened to j in row t, where it was there or not."""
    counts, gaps, last, silent = state
    gap_rows, factor, regular = limits
    events, since, usual = out
    limit = max(gap_rows, factor * gaps[1, j])
    counts[1, j] += not there
    event = 0
    if there and silent[j]:
        event = CAME_BACK
    elif not there and not silent[j] and counts[0, j] >= regular and counts[1, j] > limit:
        event = FELL
    if event:
        silent[j] = event == FELL
        events[t, j], since[t, j], usual[t, j] = event, last[j], gaps[1, j]
    if there:
        _remember(gaps, j, min(float(counts[1, j]), limit) if counts[0, j] > 0 else 0.0)
        counts[0, j] += 1
        counts[1, j] = 0
        last[j] = times[t]
    return event > 0


@njit(cache=True, nogil=True, error_model="numpy")
def _forget(j: int, state: Memory) -> None:
    counts, gaps, last, silent = state
    counts[:, j], gaps[:, j], last[j], silent[j] = 0, 0.0, 0, False


@njit(cache=True, nogil=True, error_model="numpy")
def _remember(gaps: FloatArray, j: int, gap: float) -> None:
    """One more gap of variable j among the two largest of late; half a row is none."""
    first, second = FADING * gaps[0, j], FADING * gaps[1, j]
    gaps[0, j] = _whole(max(first, gap))
    gaps[1, j] = _whole(max(second, min(first, gap)))


@njit(cache=True, nogil=True, error_model="numpy")
def _whole(gap: float) -> float:
    return gap if gap > 0.5 else 0.0
