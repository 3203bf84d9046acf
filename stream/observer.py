"""Who wants to know what the runner does: metrics, a replay's report, its tables, its progress bar."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from stream.errors import DependencyError
from stream.pipeline import Outcome, Pipeline
from stream.snapshot_store import Saved, Snapshot
from stream.sources.protocol import Batch, Source


class Running(Protocol):
    """What may be looked at after a turn: the runner's source, its pipeline, and its partitions' next offsets."""

    @property
    def source(self) -> Source: ...

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def partitions(self) -> Mapping[str, int | None]: ...


class Observer:
    """Overrides what it looks at. Called from the runner's thread; a hand-over's snapshot from the source's.

    what: read, restore, start, write, flush, repeat, snapshot or commit.
    """

    def on_read(self, batch: Batch) -> None: ...

    def on_step(self, outcome: Outcome, seconds: float) -> None: ...

    def on_flush(self, seconds: float) -> None: ...

    def on_attempt(self, what: str) -> None: ...

    def on_failure(self, what: str, error: DependencyError) -> None: ...

    def on_restore(self, partition: str, snapshot: Snapshot | None, seconds: float) -> None: ...

    def on_snapshot(self, partition: str, saved: Saved, seconds: float) -> None: ...

    def on_clock_jump(self, seconds: float) -> None: ...

    def on_turn(self, runner: Running) -> None: ...


class Observers(Observer):
    """All of them as one, told in the order in which they were given."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def on_read(self, batch: Batch) -> None:
        for observer in self._observers:
            observer.on_read(batch)

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        for observer in self._observers:
            observer.on_step(outcome, seconds)

    def on_flush(self, seconds: float) -> None:
        for observer in self._observers:
            observer.on_flush(seconds)

    def on_attempt(self, what: str) -> None:
        for observer in self._observers:
            observer.on_attempt(what)

    def on_failure(self, what: str, error: DependencyError) -> None:
        for observer in self._observers:
            observer.on_failure(what, error)

    def on_restore(self, partition: str, snapshot: Snapshot | None, seconds: float) -> None:
        for observer in self._observers:
            observer.on_restore(partition, snapshot, seconds)

    def on_snapshot(self, partition: str, saved: Saved, seconds: float) -> None:
        for observer in self._observers:
            observer.on_snapshot(partition, saved, seconds)

    def on_clock_jump(self, seconds: float) -> None:
        for observer in self._observers:
            observer.on_clock_jump(seconds)

    def on_turn(self, runner: Running) -> None:
        for observer in self._observers:
            observer.on_turn(runner)
