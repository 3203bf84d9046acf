"""One system of a process: its aligner, its monitor, its incidents, and its last rows where they may be revised."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.block import Block, IntArray, State, nested, part
from detectors.combine.line import LineSettings
from detectors.findings import Findings, Verdict, joined
from stream.align import Aligned, Aligner, Late
from stream.asked import MakeMonitor, SystemMonitor
from stream.eviction import Evicted, Key
from stream.incidents import Incidents
from stream.records import VerdictRecord
from stream.revisions import Revisions
from stream.settings import AlignSettings
from stream.sources.protocol import Reject


@dataclass(frozen=True, slots=True)
class Step:
    """T rows of one system and what its monitor made of them."""

    system: str
    partition: str
    variables: tuple[str, ...]
    rows: Block
    findings: Findings


@dataclass(frozen=True, slots=True)
class SystemState:
    """A system's state: plain is what JSON holds, arrays what numpy holds."""

    plain: dict[str, Any]
    arrays: State


@dataclass(frozen=True, slots=True)
class Revised:
    """What came of a late reading: it was rejected, or its row was scored again, and perhaps there is a new verdict."""

    rejects: list[Reject]
    is_revised: bool = False
    record: VerdictRecord | None = None


class System:
    """Rows go to the monitor, and late readings to those that can be revised."""

    def __init__(self, key: Key, align: AlignSettings, incidents: Incidents, make_monitor: MakeMonitor) -> None:
        self._key = key
        self.aligner = Aligner(align)
        self.incidents = incidents
        self.monitor: SystemMonitor | None = None  # until the variables are known
        self._make_monitor = make_monitor
        self._settings = align
        self._revisions: Revisions | None = None

    def use(self, make_monitor: MakeMonitor, line: LineSettings) -> None:
        """Another line from the next row on, and for a fresh monitor."""
        self._make_monitor = make_monitor
        if self.monitor is not None:
            self.monitor.set_line(line)
        if self._revisions is not None:
            self._revisions.start_over()

    def step(self, pieces: Sequence[Aligned]) -> tuple[Step, IntArray]:
        """The rows of the pieces with their findings, and the offset of each row."""
        rows, offsets = _joined(pieces)
        monitor = self._begin()
        findings = monitor.step(rows) if self._revisions is None else _followed(rows, monitor, self._revisions)
        partition, name = self._key
        step = Step(name, partition, self.aligner.variables or (), rows, findings)
        return step, offsets

    def _begin(self) -> SystemMonitor:
        if self.monitor is None:
            self.monitor = self._fresh()
            if self._settings.revise_within:
                count = len(self.aligner.variables or ())
                self._revisions = Revisions(self._settings.revise_rows, self._fresh, count)
        return self.monitor

    def _fresh(self) -> SystemMonitor:
        return self._make_monitor(self.aligner.variables or ())

    def revise(self, late: Late) -> Revised:
        """Score the row of a late reading again, if it is one that was handed out lately and lacks the reading."""
        known = self._revisions
        place = None if known is None else known.find(late.time)
        if known is None or place is None:
            return Revised([late.reject(self._settings.max_behind)])
        cells, rejects = late.cells(self.aligner.variables or (), known.missing(place))
        if not cells:
            return Revised(rejects or [late.reject(self._settings.max_behind)])
        findings, stood, number = known.revise(place, cells)
        record = None
        if stood or findings.details:
            record = self.incidents.revised(_verdict(findings), late.offset, number)
        return Revised(rejects, True, record)

    def evicted(self) -> Evicted:
        """What is to stay in memory without it."""
        is_unfinished = self.aligner.is_gathering or self.incidents.is_open
        return Evicted(self.aligner.newest, is_unfinished, self.incidents.standing())

    def state(self) -> SystemState:
        plain = {"align": self.aligner.state(), "incidents": self.incidents.state()}
        arrays = {} if self.monitor is None else nested("monitor", self.monitor.state())
        kept = {} if self._revisions is None else nested("revisions", self._revisions.state())
        return SystemState(plain, {**arrays, **kept})

    def load_state(self, state: SystemState) -> None:
        self.aligner.load_state(state.plain["align"])
        self.incidents.load_state(state.plain["incidents"])
        learned = part("monitor", state.arrays)
        if learned:
            self._begin().load_state(learned)
            if self._revisions is not None:
                self._revisions.load_state(part("revisions", state.arrays))


def _joined(pieces: Sequence[Aligned]) -> tuple[Block, IntArray]:
    if len(pieces) == 1:  # as nearly always
        return pieces[0].rows, pieces[0].offsets
    times = np.concatenate([piece.rows.times for piece in pieces])
    values = np.concatenate([piece.rows.values for piece in pieces])
    return Block(times, values), np.concatenate([piece.offsets for piece in pieces])


def _followed(rows: Block, monitor: SystemMonitor, revisions: Revisions) -> Findings:
    """The findings of the rows, which are kept for readings that are late."""
    found = []
    for stretch in revisions.stretches(len(rows)):
        piece = Block(rows.times[stretch], rows.values[stretch])
        revisions.begin(monitor)
        found.append(monitor.step(piece))
        revisions.add(piece, found[-1].verdicts)
    return joined(rows.times, found, rows.values.shape[1])


def stretches(pieces: Iterable[Aligned]) -> Iterator[tuple[list[Aligned], list[Late]]]:
    """Rows, and the late readings that came right after them, in the order of arrival."""
    rows: list[Aligned] = []
    for piece in pieces:
        done = 0
        for after in sorted({late.after for late in piece.late}):
            rows.append(piece[done:after])
            yield [one for one in rows if len(one.rows)], [late for late in piece.late if late.after == after]
            rows, done = [], after
        rows.append(piece[done:])
    if left := [one for one in rows if len(one.rows)]:
        yield left, []


def _verdict(findings: Findings) -> Verdict:
    """The verdict on a single row, or one that says that there is none any more."""
    if findings.details:
        return findings.details[0]
    scores = findings.scores if findings.unsmoothed is None else findings.unsmoothed
    return Verdict(int(findings.times[0]), 0, float(scores[0]), (), (), (), {})
