"""Fakes of what tests hand to the stream room: a clock, a source with crash markers, a sink, a monitor. They pass the
contracts of the real ones (test_sources.py, test_sinks.py)."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detectors.block import Block, State
from detectors.combine.line import LineSettings
from detectors.findings import Cause, Contribution, Findings, Ranking, Silence, Standing, Trigger, Verdict
from detectors.warmup import WarmUp
from stream.errors import DependencyError
from stream.observer import Observer
from stream.pipeline import Pipeline
from stream.records import FindingRecord
from stream.sources.protocol import Batch, Readings, Reject

SECOND = 1_000_000_000


class CrashError(Exception):
    """The process ends here, as by SIGKILL: nothing of ours may catch it."""


@dataclass(frozen=True)
class Crash:
    """A marker in a ListSource's input: the first time it is reached, the process dies there."""


class Crasher:
    """Dies at the n-th point that is passed; with at=None it only writes down the points."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.points: list[str] = []

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if self.at is not None and len(self.points) == self.at + 1:
            raise CrashError(f"{point} (point {self.at})")


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return int(self.now * SECOND)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


Item = Readings | Reject | Crash


class Broker:
    """What outlives a process: the input by partition, the commits, and what a sink has flushed."""

    def __init__(self, items: Mapping[str, Sequence[Item]]) -> None:
        self.items = {
            name: [item for item in sequence if not isinstance(item, Crash)] for name, sequence in items.items()
        }
        self.crashes: dict[str, set[int]] = {}
        for name, sequence in items.items():
            places = [place for place, item in enumerate(sequence) if isinstance(item, Crash)]
            self.crashes[name] = {place - before for before, place in enumerate(places)}
        self.commits: dict[str, int] = {}
        self.findings: list[FindingRecord] = []
        self.rejects: list[Reject] = []


class ListSource:
    """A source over lists, each item one reading of one offset; remembers commits in its broker.

    moves: batches of assigned or revoked partitions to report, one a read, after the first assignment.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        at_once: int = 3,
        ends: bool = True,
        crash: Callable[[str], None] = lambda point: None,
        moves: Iterable[Batch] = (),
    ) -> None:
        self._broker = broker
        self._at_once = at_once
        self._ends = ends
        self._crash = crash
        self._moves = [Batch(assigned=tuple(broker.items)), *moves]
        self._next: dict[str, int] = {}
        self.is_paused = False
        self.reads_while_paused = 0
        self.failures: list[DependencyError] = []

    def read(self, timeout_s: float) -> Batch:
        self._crash("read")
        if self.failures:
            raise self.failures.pop(0)
        if self._moves:
            batch = self._moves.pop(0)
            for partition in batch.revoked:
                self._next.pop(partition, None)
            return batch
        self.reads_while_paused += self.is_paused
        return Batch() if self.is_paused else self._take()

    def _take(self) -> Batch:
        readings: list[Readings] = []
        rejects: list[Reject] = []
        positions: dict[str, int] = {}
        for partition, offset in self._next.items():
            items = self._broker.items[partition][offset : offset + self._at_once]
            for place, item in enumerate(items, start=offset):
                if place in self._broker.crashes[partition]:
                    self._broker.crashes[partition].discard(place)
                    raise CrashError(f"marker before offset {place} of {partition}")
                (readings if isinstance(item, Readings) else rejects).append(item)
            if items:
                positions[partition] = offset + len(items)
        self._next |= positions
        return Batch(readings, rejects, positions, end=self._ends and not positions)

    def on_revoke(self, action: Callable[[Sequence[str]], None]) -> None:
        self.before_revoke = action

    def start(self, partition: str, offset: int | None) -> None:
        self._next[partition] = self._broker.commits.get(partition, 0) if offset is None else offset

    def commit(self, positions: Mapping[str, int]) -> None:
        self._crash("commit")
        self._broker.commits |= positions

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def lag(self) -> dict[str, int]:
        return {partition: len(self._broker.items[partition]) - offset for partition, offset in self._next.items()}

    def close(self) -> None: ...


class ListSink:
    """Findings go to the broker at a flush. failures: raised by the next flushes, one each."""

    def __init__(self, broker: Broker, *, crash: Callable[[str], None] = lambda point: None) -> None:
        self._broker = broker
        self._crash = crash
        self._waiting: list[Any] = []
        self.failures: list[DependencyError] = []

    def write(self, findings: Sequence[FindingRecord]) -> None:
        self._crash("write")
        self._waiting += findings

    def flush(self) -> None:
        self._crash("flush")
        if self.failures:
            raise self.failures.pop(0)
        self._keep().extend(self._waiting)
        self._waiting.clear()
        self._crash("flushed")

    def _keep(self) -> list[Any]:
        return self._broker.findings

    def close(self) -> None: ...


class ListRejects(ListSink):
    """Dead letters, in the same way."""

    def _keep(self) -> list[Any]:
        return self._broker.rejects


class FakeMonitor:
    """A monitor one can compute by hand: a row is over the line where a value exceeds 10, and triggers above
    100, and below -100 without being over the line.

    A trigger opens an episode whose rankings follow 1, 2 and 4 rows later, the last one ending it. The state is a hash
    chain of all rows, so that a row learned twice, left out, or out of order shows.
    """

    EPISODE = (1, 2, 4)

    def __init__(self, variables: tuple[str, ...]) -> None:
        self.variables = variables
        self._chain = b"\0" * 32
        self._rows = 0
        self._is_there = True  # something, in the newest row
        self._opened = (-1, -1)  # row and time of the trigger of the episode that runs

    @property
    def is_warm(self) -> bool:
        return self._rows >= 2

    @property
    def standing(self) -> Standing:
        return Standing(("level",), 1.25, 2, 1000) if self._rows >= 2 else Standing()

    @property
    def warm_up(self) -> WarmUp:
        return WarmUp(min(self._rows, 2), 2, {"level": (min(self._rows, 4), 4)})

    @property
    def silent(self) -> tuple[str, ...]:
        return self.variables if self._rows and not self._is_there else ()

    def set_line(self, settings: LineSettings) -> None:
        self.line = settings

    def step(self, block: Block) -> Findings:
        largest = np.nan_to_num(block.values).max(axis=1)
        findings = Findings(
            block.times, largest / 10, largest > 10, np.nan_to_num(block.values), largest <= 10, [], [], []
        )
        for time, row in zip(block.times.tolist(), block.values, strict=True):
            self._step(time, row, findings)
        return findings

    def _step(self, time: int, row: Any, findings: Findings) -> None:
        self._chain = hashlib.sha256(self._chain + row.tobytes()).digest()
        is_there, was_there = bool(np.isfinite(row).any()), self._is_there
        if is_there != was_there:
            state: Literal["silent", "back"] = "back" if is_there else "silent"
            findings.silences.append(Silence(time, self._rows, None, self.variables, time, 0.0, state))
        self._is_there = is_there
        score = float(np.nan_to_num(row).max()) / 10
        if (score > 10 or np.nan_to_num(row).min() < -100) and self._opened[0] < 0:
            findings.triggers.append(Trigger(time, self._rows, "level", score, 10.0, True))
            self._opened = self._rows, time
        if score > 1:
            told = tuple(
                Contribution(v, float(x), 1.0, 0.0, 2.0, 0.5) for v, x in zip(self.variables, row, strict=True)
            )
            findings.details.append(Verdict(time, self._rows, score, (), told, (), {"weighted": True}))
        since = self._rows - self._opened[0]
        if self._opened[0] >= 0 and since in self.EPISODE:
            findings.rankings.append(self._ranking(time, self.EPISODE.index(since)))
            if since == self.EPISODE[-1]:
                self._opened = (-1, -1)
        self._rows += 1

    def _ranking(self, time: int, revision: int) -> Ranking:
        causes = tuple(Cause(f"e{i}", v, 1.0 - i / 10, 0.5, {"deviation": 3.0}) for i, v in enumerate(self.variables))
        opened, ended = self._opened[1], revision == len(self.EPISODE) - 1
        return Ranking(opened, "trigger", opened, time, revision, causes, causes[::-1], (), ended, ended, 0.5, "e0")

    def state(self) -> State:
        return {
            "chain": np.frombuffer(self._chain, dtype=np.uint8).copy(),
            "numbers": np.array([self._rows, *self._opened, self._is_there]),
        }

    def load_state(self, state: State) -> None:
        self._chain = state["chain"].tobytes()
        self._rows, *opened, is_there = (int(number) for number in state["numbers"])
        self._opened, self._is_there = (opened[0], opened[1]), bool(is_there)


def row(
    offset: int, time_s: float, values: Mapping[str, float], *, system: str = "shop", partition: str = "p"
) -> Readings:
    """One whole row."""
    numbers = np.array([list(values.values())], dtype=np.float64)
    times = np.array([int(time_s * SECOND)], dtype=np.int64)
    return Readings(system, partition, tuple(values), times, numbers, np.array([offset], dtype=np.int64))


def reject(offset: int, *, partition: str = "p") -> Reject:
    return Reject("not_json", "a test", partition, offset, None, b"{")


def state_of(pipeline: Pipeline) -> dict[str, str]:
    """A hash of the state of each partition and system."""
    return {
        f"{partition}/{name}": hashlib.sha256(
            repr((state.plain, [(k, v.tobytes()) for k, v in sorted(state.arrays.items())])).encode()
        ).hexdigest()
        for partition in pipeline.partitions()
        for name, state in pipeline.state(partition).items()
    }


def last_of_each(findings: Iterable[FindingRecord]) -> dict[str, FindingRecord]:
    """The last word on each id."""
    return {finding.id: finding for finding in findings}


def repeats(findings: Iterable[FindingRecord]) -> int:
    """How many findings were said more than once, word for word."""
    return sum(times - 1 for times in Counter(map(repr, findings)).values())


class StopAfter(Observer):
    """Asks the runner to stop after so many turns, as SIGTERM does."""

    def __init__(self, turns: int) -> None:
        self.turns = turns

    def on_turn(self, runner: Any) -> None:
        self.turns -= 1
        if self.turns == 0:
            runner.stop()
