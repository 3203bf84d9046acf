"""A reading that came too late for its row: the row is scored again as if it had come in time, and learned no more.

The last rows are kept as they were handed out, and every revise_rows a copy of the monitor's state, two in all. A late
reading fills a gap of its row; a second monitor goes on from the newest copy before that row, through the rows between,
up to it. So the new verdict is whole and exact, whatever detectors and rule there are, and the monitor itself never
hears of it. Of revised rows before it, those count that lie behind the same copy.

Which rows can be revised, and what comes of it, depends on the order of the readings alone. Costs twice the memory of
the monitor, and of its snapshots, once more that much where something was revised, and at most 2 revise_rows rows of
work for a reading; readings that follow the order of their rows cost a row each.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from detectors.block import Block, BoolArray, FloatArray, State, nested, part
from detectors.findings import Findings
from stream.asked import SystemMonitor


@dataclass(frozen=True, slots=True)
class Mark:
    """A monitor's state before it saw a row."""

    row: int
    state: State


class Revisions:
    """The last rows of one system of D variables. keep: so many can be revised. make: a fresh monitor of the system."""

    def __init__(self, keep: int, make: Callable[[], SystemMonitor], variables: int) -> None:
        self._keep = keep
        self._make = make
        self._rows = 0  # handed out so far
        self._marks: list[Mark] = []
        self._first = 0  # row of the first that is kept
        self._times = np.zeros(0, dtype=np.int64)  # (N,)
        self._values = np.zeros((0, variables))  # (N, D)
        self._over = np.zeros(0, dtype=np.bool_)  # (N,) whether a verdict stands
        self._counts = np.zeros(0, dtype=np.int64)  # (N,) revisions so far
        self._second: tuple[int, SystemMonitor] | None = None  # the next row it would see, and the second monitor

    def stretches(self, count: int) -> Iterator[slice]:
        """The next rows in pieces, before each of which :meth:`begin` is to be called, and :meth:`add` after."""
        start = 0
        while start < count:
            stop = min(count, start + self._keep - (self._rows % self._keep))
            yield slice(start, stop)
            start = stop

    def begin(self, monitor: SystemMonitor) -> None:
        """Before the monitor sees the next rows."""
        if self._rows % self._keep == 0:
            self._marks = [*self._marks[-1:], Mark(self._rows, monitor.state())]
            self._forget(self._marks[0].row)

    def _forget(self, row: int) -> None:
        """The rows before this one."""
        gone = row - self._first
        self._first = row
        self._times, self._values = self._times[gone:], self._values[gone:]
        self._over, self._counts = self._over[gone:], self._counts[gone:]

    def add(self, rows: Block, verdicts: BoolArray) -> None:
        """The monitor saw these rows and gave these verdicts."""
        self._rows += len(rows)
        self._times = np.concatenate([self._times, rows.times])
        self._values = np.concatenate([self._values, rows.values])
        self._over = np.concatenate([self._over, verdicts])
        self._counts = np.concatenate([self._counts, np.zeros(len(rows), dtype=np.int64)])

    def find(self, time: int) -> int | None:
        """The row of this time, if it can be revised: its place among those that are kept."""
        place = int(np.searchsorted(self._times, time))
        is_there = place < len(self._times) and self._times[place] == time
        return place if is_there and self._first + place >= self._rows - self._keep else None

    def start_over(self) -> None:
        """Bring up the second monitor anew: what makes it has changed."""
        self._second = None

    def missing(self, place: int) -> BoolArray:
        """(D,) which readings the row lacks."""
        gaps: BoolArray = np.isnan(self._values[place])
        return gaps

    def revise(self, place: int, cells: Mapping[int, float]) -> tuple[Findings, bool, int]:
        """Fill gaps of a row: by column, the reading.

        Gives what would have been found at the row, whether a verdict stood until now, and the number of the revision.
        """
        self._values[place, list(cells)] = list(cells.values())
        self._counts[place] += 1
        findings = self._scored(place)
        stood, self._over[place] = bool(self._over[place]), findings.verdicts[0]
        return findings, stood, int(self._counts[place])

    def _scored(self, place: int) -> Findings:
        monitor = self._before(place)
        state = monitor.state()
        row = slice(place, place + 1)
        findings = monitor.step(Block(self._times[row], self._values[row]))
        monitor.load_state(state)
        return findings

    def _before(self, place: int) -> SystemMonitor:
        """The second monitor, brought to before a row: from where it stands if that is behind the row's mark."""
        row = self._first + place
        mark = next(mark for mark in reversed(self._marks) if mark.row <= row)
        if self._second is None or not mark.row <= self._second[0] <= row:
            monitor = self._make()
            monitor.load_state(mark.state)
            self._second = mark.row, monitor
        begin, monitor = self._second
        rows = slice(begin - self._first, place)
        if rows.start < place:
            monitor.step(Block(self._times[rows], self._values[rows]))
        self._second = row, monitor
        return monitor

    def state(self) -> State:
        """Without the second monitor, which can be made again."""
        marks = {k: v for i, mark in enumerate(self._marks) for k, v in nested(f"marks/{i}", mark.state).items()}
        return {**marks, "rows": np.array([self._rows, self._first, *(mark.row for mark in self._marks)]), **self._kept}

    def load_state(self, state: State) -> None:
        self._rows, self._first, *rows = map(int, state["rows"])
        self._marks = [Mark(row, part(f"marks/{i}", state)) for i, row in enumerate(rows)]
        self._times, self._values = state["times"].copy(), state["values"].copy()
        self._over, self._counts = state["over"].copy(), state["counts"].copy()
        self._second = None

    @property
    def _kept(self) -> State:
        kept: dict[str, FloatArray | BoolArray] = {"values": self._values, "over": self._over}
        return {name: array.copy() for name, array in {**kept, "times": self._times, "counts": self._counts}.items()}
