"""The loop of a running tocsin: read, step, flush the sinks, snapshot, commit. The whole house meets here.

    source  --readings-->  pipeline  --findings-->  sinks
       \\--rejects-->  dead letters      \\--state + position-->  snapshots     then: commit to the source

What it promises: at least once to the sinks, exactly once to the models. A finding is flushed before the position
after it is saved, and the state is saved together with its position: whenever the process dies, the state that is
found again has learned each row before its position once, and none after it. What was said twice has the same id.

:mod:`stream.ownership` knows which partitions are ours and what is to be saved. :mod:`stream.patience` waits for what
is away, and reading pauses meanwhile.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from stream.clock import Clock, LatestClock, SystemClock
from stream.errors import DependencyError, InputError
from stream.event_time import to_text
from stream.observer import Observer, Observers
from stream.ownership import Ownership
from stream.patience import Patience
from stream.pipeline import Outcome, Pipeline
from stream.records import VerdictRecord
from stream.settings import RunnerSettings, SnapshotSettings
from stream.sinks.protocol import DeadLetters, Repeating, Sink
from stream.snapshot_store import SnapshotStore
from stream.sources.protocol import Batch, Source

log = logging.getLogger(__name__)


class Runner:
    """One process. snapshots None: a replay, which begins at the start and keeps nothing.

    is_live: readings are judged against the wall clock (the future is refused, records say when they were made).
    between: called between two batches, and while something that is away is waited for.
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
        between: Callable[[], None] = lambda: None,
    ) -> None:
        settings, clock, observer = settings or RunnerSettings(), clock or SystemClock(), Observers(observers)
        self.source = source
        self.pipeline = pipeline
        self.is_ready = False  # assigned and restored
        self.sinks = sinks
        self._repeating = [sink for sink in sinks if isinstance(sink, Repeating)]
        self._dead_letters = dead_letters
        self._snapshots = snapshots
        self._read_timeout_s = settings.read_timeout
        self._between = between
        self._observer = observer
        self._clock = clock
        self._is_live = is_live
        self._latest = LatestClock(clock, observer.on_clock_jump)
        self._patience = Patience(settings, clock, observer, keep_alive=self._keep_alive, meanwhile=self._meanwhile)
        self._insist = self._patience.insist
        self._ours = Ownership(source, pipeline, snapshots, self._patience, settings, clock, observer)
        self._save_at = float("inf")
        self.save_every(every_s, share)
        source.on_revoke(self._ours.hand_over)

    @property
    def partitions(self) -> Mapping[str, int | None]:
        """Ours, with the next offset of each once it is known."""
        return self._ours.partitions

    def save_every(self, every_s: float, share: float) -> None:
        """How often snapshots are made from now on, and the most of the time that they may take."""
        self._every_s, self._share = every_s, share
        self._save_at = min(self._save_at, self._clock.monotonic() + every_s)

    def stop(self) -> None:
        """Finish the batch, save and leave run(), within settings.drain. Safe to call from a signal handler."""
        self._patience.stop()

    def run(self) -> None:
        """Until the source ends or stop() is called. Raises what cannot be waited out; closes everything."""
        try:
            while not self._patience.is_stopping and not self._turn():
                pass
            self._save(evict=False)
        except InputError:  # damaged from here on; what was read before is good
            self._end()
            self._save(evict=False)
            raise
        finally:
            self._close()

    def _turn(self) -> bool:
        """One batch, through all the rooms; True at the source's end."""
        batch = self._insist("read", self._read)
        tenures = self._ours.tenures()
        self._take_over(batch)
        self._ours.bring_back(self.pipeline.evicted_among(batch.readings))
        self._step(self._still_ours(batch, tenures))
        if batch.end:
            self._end()
        elif self._clock.monotonic() >= self._save_at or self._is_crowded:
            self._save()
        self._meanwhile()
        self._observer.on_turn(self)
        return batch.end

    def _read(self) -> Batch:
        if self._patience.is_stopping:
            return Batch()
        with self._ours.settled():
            return self.source.read(self._read_timeout_s)

    def _take_over(self, batch: Batch) -> None:
        self._ours.take_over(batch)
        self.is_ready = bool(self.partitions)

    def _still_ours(self, batch: Batch, tenures: Mapping[str, int]) -> Batch:
        """The batch without partitions that went, or went and came, while something was waited for after the read."""
        now = self._ours.tenures()
        if all(now.get(partition) == tenure for partition, tenure in tenures.items()):
            return batch
        return batch.only({partition for partition, tenure in tenures.items() if now.get(partition) == tenure})

    @property
    def _is_crowded(self) -> bool:
        return self._snapshots is not None and self.pipeline.is_crowded

    def _step(self, batch: Batch) -> None:
        """Step the models through the batch and deliver what they found."""
        self._observer.on_read(batch)
        began = self._clock.monotonic()
        outcome = self.pipeline.process(batch.readings, now=self._latest.now_ns() if self._is_live else None)
        self._ours.advance(batch)
        self._deliver(outcome, batch, self._clock.monotonic() - began)

    def _end(self) -> None:
        """The source ended: what was still open counts as complete."""
        self._ours.bring_back(self.pipeline.unfinished())
        self._ours.advance_all_systems()
        self._deliver(self.pipeline.finish(), Batch(), 0.0)

    def _deliver(self, outcome: Outcome, batch: Batch, seconds: float) -> None:
        """Findings to the sinks, rejects to the dead letters."""
        self._observer.on_step(outcome, seconds)
        self._tell_clocks(outcome)
        rejects = [*batch.rejects, *map(batch.as_it_came, outcome.rejects)]
        if self._is_live:
            _stamp(outcome, to_text(self._clock.now_ns()))
        if outcome.records:
            for sink in self.sinks:
                self._insist("write", partial(sink.write, outcome.records))
        if rejects:
            self._insist("write", partial(self._dead_letters.write, rejects))
        if outcome.records or rejects:
            self._flush()

    def _tell_clocks(self, outcome: Outcome) -> None:
        """Which producers' clocks are wrong since now, or right again."""
        for change in outcome.clocks:
            off = f"{change.off_s:+.0f}"
            extra = {"what": f"{change.system}/{change.entity}", "clock": change.direction, "off_s": off}
            if change.direction == "right":
                log.info("a producer's clock is right again", extra=extra)
            else:
                log.warning("a producer's clock is wrong, or it delivers late", extra=extra)

    def _flush(self) -> None:
        began = self._clock.monotonic()
        for sink in self.sinks:
            self._insist("flush", sink.flush)
        self._insist("flush", self._dead_letters.flush)
        self._observer.on_flush(self._clock.monotonic() - began)

    def _meanwhile(self) -> None:
        """What goes on whether or not there are rows, or a batch is stuck."""
        self._between()
        self._repeat()

    def _repeat(self) -> None:
        """Rows or none: what stands open, to the sinks that are due. Nothing waits for one that is away."""
        for sink in (sink for sink in self._repeating if sink.is_due()):
            self._observer.on_attempt("repeat")
            try:
                sink.repeat(self.pipeline.standing())
            except DependencyError as error:
                self._observer.on_failure("repeat", error)
                log.warning("dependency away, reading on", extra={"what": "repeat", "error": str(error)})

    def _save(self, *, evict: bool = True) -> None:
        """Snapshots of what moved on, then the commit. Everything before it is flushed already."""
        began = self._clock.monotonic()
        positions = self._ours.snapshot(evict=evict)
        if positions:
            self._insist("commit", partial(self.source.commit, positions))
        self._ours.mark_saved()
        ended = self._clock.monotonic()
        self._save_at = max(began + self._every_s, ended + (ended - began) * (1 / self._share - 1))

    def _keep_alive(self, timeout_s: float) -> None:
        """The source is asked though something else is away, so that our membership of its group lives on."""
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
        closings = [self.source.close, *(sink.close for sink in self.sinks), self._dead_letters.close]
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
