"""Which partitions are ours: taken over at their snapshot, advanced, saved as they move on, let go or handed over.

A partition's state is the pipeline's; its next offset is kept here, and the two are only ever saved together.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from stream.clock import Clock
from stream.errors import TocsinError
from stream.eviction import Evicted
from stream.observer import Observer
from stream.patience import Patience
from stream.pipeline import Pipeline
from stream.settings import RunnerSettings
from stream.snapshot_store import Snapshot, SnapshotStore
from stream.sources.protocol import Batch, Source

log = logging.getLogger(__name__)


class Ownership:
    """The partitions of this process. snapshots None: nothing is kept, and everything begins at the start."""

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        snapshots: SnapshotStore | None,
        patience: Patience,
        settings: RunnerSettings,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self.partitions: dict[str, int | None] = {}  # ours, with the next offset of each once it is known
        self._source = source
        self._pipeline = pipeline
        self._snapshots = snapshots
        self._patience = patience
        self._hand_over_s = settings.hand_over
        self._clock = clock
        self._observer = observer
        self._dirty: dict[str, set[str]] = {}  # partitions that moved on since their last snapshot, and their systems
        self._restoring: set[str] = set()
        self._tenures: Counter[str] = Counter()  # how often each partition came
        self._is_settled = False

    def take_over(self, batch: Batch) -> None:
        """What went is forgotten, for it is another's now. What came begins at its snapshot."""
        for partition in batch.revoked:
            self._drop(partition)
        self._restoring.update(batch.assigned)
        for partition in batch.assigned:
            self._restore(partition)
        if batch.assigned or batch.revoked:
            extra = {"assigned": len(batch.assigned), "revoked": len(batch.revoked), "partitions": len(self.partitions)}
            log.info("partitions changed", extra=extra)

    def _drop(self, partition: str) -> None:
        self.partitions.pop(partition, None)
        self._dirty.pop(partition, None)
        self._restoring.discard(partition)
        self._pipeline.drop(partition)
        if self._snapshots:
            self._snapshots.forget(partition)

    def _restore(self, partition: str) -> None:
        began = self._clock.monotonic()
        snapshot = self._patience.insist("restore", partial(self._load, partition))
        if partition not in self._restoring:  # it went while we waited for the store, and may have come again since
            return
        self._restoring.discard(partition)
        if snapshot:
            self._pipeline.load_state(partition, snapshot.systems, snapshot.evicted)
        else:
            self._pipeline.drop(partition)
        self._tenures[partition] += 1
        self.partitions[partition] = snapshot.position if snapshot else None
        self._observer.on_restore(partition, snapshot, self._clock.monotonic() - began)
        self._patience.insist("start", partial(self._source.start, partition, self.partitions[partition]))

    def _load(self, partition: str) -> Snapshot | None:
        is_ours = partition in self._restoring
        return self._snapshots.load(partition) if self._snapshots and is_ours else None

    def tenures(self) -> dict[str, int]:
        """Of each partition that is ours, a number that is another one when it came again."""
        return {partition: self._tenures[partition] for partition in self.partitions}

    def bring_back(self, wanted: Mapping[str, Sequence[str]]) -> None:
        """Partition -> systems that are needed in memory and are not there, as far as the partition stays ours."""
        for partition, names in wanted.items():
            self._patience.insist("restore", partial(self._fetch, partition, names))

    def _fetch(self, partition: str, names: Sequence[str]) -> None:
        missing = [name for name in names if self._pipeline.is_evicted(partition, name)]
        if self._snapshots and missing:
            self._pipeline.restore(partition, self._snapshots.fetch(partition, missing))
            log.debug("systems restored", extra={"partition": partition, "systems": len(missing)})

    def advance(self, batch: Batch) -> None:
        """The batch was processed: its partitions stand at their next offsets, with the systems that moved on."""
        for partition, offset in batch.positions.items():
            if partition in self.partitions:
                self.partitions[partition] = offset
                self._dirty.setdefault(partition, set())
        for readings in batch.readings:
            if readings.partition in self._dirty:
                self._dirty[readings.partition].add(readings.system)

    def advance_all_systems(self) -> None:
        """What is still open will count as complete, which moves on every system of what moved on."""
        for partition, systems in self._dirty.items():
            systems.update(self._pipeline.state(partition))

    def snapshot(self, *, evict: bool) -> dict[str, int]:
        """Save what moved on, state and position together; if so told, who should leave memory does, once it is saved.

        Returns the positions that may now be committed.
        """
        if self._snapshots:
            leaving = self._pipeline.leaving() if evict else {}
            for partition in sorted({*self._dirty, *leaving}):
                names = leaving.get(partition, ())
                self._patience.insist("snapshot", partial(self._snapshot, partition, names))
        return {p: at for p in self._dirty if (at := self.partitions.get(p)) is not None}

    def mark_saved(self) -> None:
        """All that moved on is saved and committed."""
        self._dirty.clear()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Meanwhile all that was found is flushed, so that what goes may be saved at any time."""
        self._is_settled = True
        try:
            yield
        finally:
            self._is_settled = False

    def hand_over(self, partitions: Sequence[str]) -> None:
        """Save what is about to go, so that its next owner need not read it again. Without it nothing is lost.

        Called while the source is read, in whatever thread that uses.
        """
        until = self._clock.monotonic() + self._hand_over_s
        for partition in partitions if self._is_settled else ():
            if partition in self._dirty and self._clock.monotonic() < until:
                try:
                    self._snapshot(partition)
                    del self._dirty[partition]
                    log.info("partition handed over", extra={"partition": partition})
                except TocsinError as error:
                    log.warning("partition not handed over", extra={"partition": partition, "error": str(error)})

    def _snapshot(self, partition: str, names: Sequence[str] = ()) -> None:
        """names: of systems that leave."""
        position, changed = self.partitions.get(partition), self._dirty.get(partition)
        leaving = self._pipeline.evictable(partition, names)
        # It may have gone while we waited for the store, and come again as it was last saved.
        if self._snapshots is None or position is None or (changed is None and not leaving):
            return
        began = self._clock.monotonic()
        saved = self._snapshots.save(partition, position, self._pipeline.state(partition), changed or (), leaving)
        self._evict(partition, leaving)
        self._observer.on_snapshot(partition, saved, self._clock.monotonic() - began)

    def _evict(self, partition: str, leaving: Mapping[str, Evicted]) -> None:
        if leaving:
            self._pipeline.evict(partition, leaving)
            log.info("systems evicted", extra={"partition": partition, "systems": len(leaving)})
