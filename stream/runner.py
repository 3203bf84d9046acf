"""The loop of a running tocsin: read, step, flush the sinks, snapshot, commit. The whole house meets here.

    source  --readings-->  pipeline  --findings-->  sinks
       \\--rejects-->  dead letters      \\--state + position-->  snapshots     then: commit to the source

What it promises: at least once to the sinks, exactly once to the models. A finding is flushed before the position
after it is saved, and the state is saved together with its position: whenever the process dies, the state that is
found again has learned each row before its position once, and none after it. What was said twice has the same id.

While something outside is away (a sink, the disk, the cluster) the runner holds what it has, pauses reading and tries
again with growing pauses; the source is still asked, so that a membership in a group lives on, and sinks that must
repeat what stands open (alerts) do so.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from stream.clock import Clock, SystemClock
from stream.errors import DependencyError, InputError, TocsinError
from stream.event_time import to_text
from stream.pipeline import Outcome, Pipeline
from stream.records import VerdictRecord
from stream.settings import RunnerSettings, SnapshotSettings
from stream.sinks.protocol import DeadLetters, Repeating, Sink
from stream.snapshot_store import Saved, Snapshot, SnapshotStore
from stream.sources.protocol import Batch, Source

log = logging.getLogger(__name__)
T = TypeVar("T")


class Observer:
    """Who wants to know what happens: metrics, a replay's tables and progress. Overrides what it looks at.

    Called from the runner's thread. what: read, restore, start, write, flush, repeat, snapshot or commit.
    """

    def on_read(self, batch: Batch) -> None: ...

    def on_step(self, outcome: Outcome, seconds: float) -> None: ...

    def on_flush(self, seconds: float) -> None: ...

    def on_attempt(self, what: str) -> None: ...

    def on_failure(self, what: str, error: DependencyError) -> None: ...

    def on_restore(self, partition: str, snapshot: Snapshot | None, seconds: float) -> None: ...

    def on_snapshot(self, partition: str, saved: Saved, seconds: float) -> None: ...

    def on_turn(self, runner: "Runner") -> None: ...


class GaveUpError(DependencyError):
    """What was away did not come back in the time that a shutdown leaves."""

    exit_code = 1


class Runner:
    """One process. snapshots None: a replay, which begins at the start and keeps nothing.

    is_live: readings are judged against the wall clock (the future is refused, records say when they were made).
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        sinks: Sequence[Sink],
        dead_letters: DeadLetters,
        *,
        snapshots: SnapshotStore | None = None,
        settings: RunnerSettings | None = None,
        every_s: float = SnapshotSettings().every,
        share: float = SnapshotSettings().share,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        is_live: bool = False,
    ) -> None:
        self.source = source
        self.pipeline = pipeline
        self.partitions: dict[str, int | None] = {}  # ours, with the next offset of each once it is known
        self.is_ready = False  # assigned and restored
        self._sinks = sinks
        self._repeating = [sink for sink in sinks if isinstance(sink, Repeating)]
        self._dead_letters = dead_letters
        self._snapshots = snapshots
        self._settings = settings or RunnerSettings()
        self._every_s, self._share = every_s, share
        self._observers = observers
        self._clock = clock or SystemClock()
        self._is_live = is_live
        self._dirty: dict[str, set[str]] = {}  # partitions that moved on since their last snapshot, and their systems
        self._restoring: set[str] = set()
        self._is_settled = False  # all that was found is flushed, so that state may be saved at any time
        self._save_at = self._clock.monotonic() + every_s
        source.on_revoke(self._hand_over)
        self._deadline: float | None = None  # once stopping: when to give up

    def stop(self) -> None:
        """Finish the batch, save and leave run(), within settings.drain. Safe to call from a signal handler."""
        if self._deadline is None:
            self._deadline = self._clock.monotonic() + self._settings.drain

    def run(self) -> None:
        """Until the source ends or stop() is called. Raises what cannot be waited out; closes everything."""
        try:
            while self._deadline is None and not self._turn():
                pass
            self._save()
        except InputError:  # damaged from here on; what was read before is good
            self._end()
            self._save()
            raise
        finally:
            self._close()

    def _turn(self) -> bool:
        """One batch; True at the source's end."""
        batch = self._insist("read", self._read)
        self._take_over(batch)
        self._learn(batch)
        if batch.end:
            self._end()
        elif self._clock.monotonic() >= self._save_at:
            self._save()
        self._repeat()
        for observer in self._observers:
            observer.on_turn(self)
        return batch.end

    def _read(self) -> Batch:
        if self._deadline is not None:
            return Batch()
        self._is_settled = True
        try:
            return self.source.read(self._settings.read_timeout)
        finally:
            self._is_settled = False

    def _take_over(self, batch: Batch) -> None:
        """What went is forgotten, for it is another's now. What came begins at its snapshot."""
        for partition in batch.revoked:
            self._drop(partition)
        self._restoring.update(batch.assigned)
        for partition in batch.assigned:
            self._restore(partition)
        if batch.assigned or batch.revoked:
            extra = {"assigned": len(batch.assigned), "revoked": len(batch.revoked), "partitions": len(self.partitions)}
            log.info("partitions changed", extra=extra)
        self.is_ready = bool(self.partitions)

    def _drop(self, partition: str) -> None:
        self.partitions.pop(partition, None)
        self._dirty.pop(partition, None)
        self._restoring.discard(partition)
        self.pipeline.drop(partition)
        if self._snapshots:
            self._snapshots.forget(partition)

    def _restore(self, partition: str) -> None:
        began = self._clock.monotonic()
        snapshot = self._insist("restore", partial(self._load, partition))
        if partition not in self._restoring:  # it went while we waited for the store, and may have come again since
            return
        self._restoring.discard(partition)
        self.pipeline.load_state(partition, snapshot.systems if snapshot else {})
        self.partitions[partition] = snapshot.position if snapshot else None
        for observer in self._observers:
            observer.on_restore(partition, snapshot, self._clock.monotonic() - began)
        self._insist("start", partial(self.source.start, partition, self.partitions[partition]))

    def _load(self, partition: str) -> Snapshot | None:
        is_ours = partition in self._restoring
        return self._snapshots.load(partition) if self._snapshots and is_ours else None

    def _hand_over(self, partitions: Sequence[str]) -> None:
        """Save what is about to go, so that its next owner need not read it again. Without it nothing is lost.

        Called while the source is read, in whatever thread that uses.
        """
        until = self._clock.monotonic() + self._settings.hand_over
        for partition in partitions if self._is_settled else ():
            if partition in self._dirty and self._clock.monotonic() < until:
                try:
                    self._snapshot(partition)
                    del self._dirty[partition]
                    log.info("partition handed over", extra={"partition": partition})
                except TocsinError as error:
                    log.warning("partition not handed over", extra={"partition": partition, "error": str(error)})

    def _learn(self, batch: Batch) -> None:
        """Step the models through the batch and hand on what they found."""
        for observer in self._observers:
            observer.on_read(batch)
        began = self._clock.monotonic()
        outcome = self.pipeline.process(batch.readings, now=self._clock.now_ns() if self._is_live else None)
        for partition, offset in batch.positions.items():
            if partition in self.partitions:
                self.partitions[partition] = offset
                self._dirty.setdefault(partition, set())
        for readings in batch.readings:
            if readings.partition in self._dirty:
                self._dirty[readings.partition].add(readings.system)
        self._hand_on(outcome, batch, self._clock.monotonic() - began)

    def _end(self) -> None:
        """The source ended: what was still open counts as complete."""
        for partition, systems in self._dirty.items():
            systems.update(self.pipeline.state(partition))
        self._hand_on(self.pipeline.finish(), Batch(), 0.0)

    def _hand_on(self, outcome: Outcome, batch: Batch, seconds: float) -> None:
        for observer in self._observers:
            observer.on_step(outcome, seconds)
        rejects = [*batch.rejects, *outcome.rejects]
        if self._is_live:
            _stamp(outcome, to_text(self._clock.now_ns()))
        if outcome.records:
            for sink in self._sinks:
                self._insist("write", partial(sink.write, outcome.records))
        if rejects:
            self._insist("write", partial(self._dead_letters.write, rejects))
        if outcome.records or rejects:
            self._flush()

    def _flush(self) -> None:
        began = self._clock.monotonic()
        for sink in self._sinks:
            self._insist("flush", sink.flush)
        self._insist("flush", self._dead_letters.flush)
        for observer in self._observers:
            observer.on_flush(self._clock.monotonic() - began)

    def _repeat(self) -> None:
        """Rows or none: what stands open, to the sinks that are due. Nothing waits for one that is away."""
        for sink in (sink for sink in self._repeating if sink.is_due()):
            for observer in self._observers:
                observer.on_attempt("repeat")
            try:
                sink.repeat(self.pipeline.standing())
            except DependencyError as error:
                for observer in self._observers:
                    observer.on_failure("repeat", error)
                log.warning("dependency away, reading on", extra={"what": "repeat", "error": str(error)})

    def _save(self) -> None:
        """Snapshots of what moved on, then the commit. Everything before it is flushed already."""
        began = self._clock.monotonic()
        if self._snapshots:
            for partition in sorted(self._dirty):
                self._insist("snapshot", partial(self._snapshot, partition))
        positions = {p: at for p in self._dirty if (at := self.partitions.get(p)) is not None}
        if positions:
            self._insist("commit", partial(self.source.commit, positions))
        self._dirty.clear()
        ended = self._clock.monotonic()
        self._save_at = max(began + self._every_s, ended + (ended - began) * (1 / self._share - 1))

    def _snapshot(self, partition: str) -> None:
        position = self.partitions.get(partition)
        if self._snapshots is None or position is None:  # it was revoked while we waited for the disk
            return
        began = self._clock.monotonic()
        changed = self._dirty[partition]
        saved = self._snapshots.save(partition, position, self.pipeline.state(partition), changed)
        for observer in self._observers:
            observer.on_snapshot(partition, saved, self._clock.monotonic() - began)

    def _insist(self, what: str, action: Callable[[], T]) -> T:
        """Do it, and again with growing pauses while the other end is away."""
        pause = self._settings.retry_first
        while True:
            for observer in self._observers:
                observer.on_attempt(what)
            try:
                return action()
            except DependencyError as error:
                if not error.retriable:
                    raise
                self._tell_failure(what, error, pause)
            self._wait(pause, is_reading=what != "read")
            pause = min(2 * pause, self._settings.retry_most)

    def _tell_failure(self, what: str, error: DependencyError, pause: float) -> None:
        for observer in self._observers:
            observer.on_failure(what, error)
        log.warning("dependency away, trying again", extra={"what": what, "error": str(error), "pause_s": pause})
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            raise GaveUpError(f"gave up to {what} while stopping: {error}") from error

    def _wait(self, seconds: float, *, is_reading: bool) -> None:
        """A pause. Where the source is well it is asked meanwhile, paused, so that its membership lives on."""
        was_stopping = self._deadline is not None
        until = self._clock.monotonic() + (min(seconds, self._settings.retry_first) if was_stopping else seconds)
        while (left := until - self._clock.monotonic()) > 0 and (self._deadline is not None) == was_stopping:
            began, slice_s = self._clock.monotonic(), min(left, self._settings.read_timeout)
            if is_reading:
                self._keep_alive(slice_s)
            self._repeat()
            self._clock.sleep(max(0.0, slice_s - (self._clock.monotonic() - began)))

    def _keep_alive(self, timeout_s: float) -> None:
        self.source.pause()
        try:
            self._take_over(self.source.read(timeout_s))
        except DependencyError as error:
            if not error.retriable:
                raise
        finally:
            self.source.resume()

    def _close(self) -> None:
        self.is_ready = False
        closings = [self.source.close, *(sink.close for sink in self._sinks), self._dead_letters.close]
        closings += [self._snapshots.close] if self._snapshots else []
        for close in closings:
            try:
                close()
            except DependencyError as error:
                log.warning("not closed cleanly", extra={"error": str(error)})


def _stamp(outcome: Outcome, observed_at: str) -> None:
    for record in outcome.records:
        if isinstance(record, VerdictRecord):
            record.observed_at = observed_at
