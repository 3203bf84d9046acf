"""Readings from Kafka: a member of a consumer group that decides itself where each partition begins.

A partition is called `<topic>-<number>`, as in Kafka's own tools. It is paused from its assignment until
:meth:`KafkaSource.start`, so that nothing of it is delivered before its state is restored. Offsets are committed when
the caller says so, and only those it names. One thread owns the client's consumer. The client's own IO thread runs the
rebalance callbacks, which therefore remember, let others save what goes, and do nothing else; and it keeps up the
heartbeat, so that long work between two reads costs no membership.

A static member (instance_id) keeps its partitions over a restart. Another process with its id takes its place, which
only a commit tells: hence an idle member commits again what it had committed, and FencedError ends it.
"""

import logging
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    RetriableError,
    UnsupportedCodecError,
)

from stream.decode import Decoder
from stream.errors import DependencyError, FencedError, InputError
from stream.kafka_client import connect, milliseconds, warn_if_open
from stream.settings import KafkaSettings, Settings
from stream.sources.kafka_messages import Originals, columns_of
from stream.sources.protocol import Batch, Readings, Reject

log = logging.getLogger(__name__)

ASK_MS = 5_000  # for what the cluster answers at once, or not at all
LAG_EVERY_S = 1.0
CLOSE_MS = 5_000


def build(settings: Settings) -> "KafkaSource":
    return KafkaSource(settings.kafka)


class KafkaSource:
    """One member of the group. Raises DependencyError while the cluster is away, FencedError when it must stop.

    offset_jumps: how often an offset was gone (retention, a topic made anew) and reading went on elsewhere.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._options = settings.consumer
        self._decoder = Decoder(unit="ms", max_bytes=self._options.max_message)
        self._instance = instance_id(self._options.instance_id)
        self._started: set[str] = set()
        self._counts: dict[str, int] = {}  # partitions of each topic
        self._paused = False
        self._committed: dict[str, int] = {}  # or begun at: what may be committed again
        self._committed_at = time.monotonic()
        self._positions: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._ask_again_at = 0.0
        self.offset_jumps = 0
        warn_if_open(settings)
        self._listener = _Listener()
        self._consumer: Any = self._open()

    def read(self, timeout_s: float) -> Batch:
        """What arrived, by partition and system, at most max_poll_records messages of it."""
        if self._consumer is None:
            self._consumer = self._open()
        records = self._poll(timeout_s)
        assigned, revoked = self._listener.take()
        self._forget((*assigned, *revoked))
        self._tell_growth(assigned)
        self._commit_again_if_idle()
        readings: list[Readings] = []
        rejects: list[Reject] = []
        positions: dict[str, int] = {}
        delivered: dict[str, list[Any]] = {}
        for partition, messages in records.items():
            name = name_of(partition)
            if name not in self._started:  # start() seeks, so they come again
                continue
            good, bad = self._decoder.decode_columns(name, columns_of(messages))
            delivered[name] = messages
            readings += good
            rejects += bad
            positions[name] = messages[-1].offset + 1
        self._positions |= positions
        return Batch(readings, rejects, positions, assigned, revoked, originals=Originals(delivered))

    def on_revoke(self, action: Callable[[Sequence[str]], None]) -> None:
        """The client's IO thread calls it while :meth:`read` waits, and the group waits for it; heartbeats do, too."""
        self._listener.before_revoke = action

    def start(self, partition: str, offset: int | None) -> None:
        """Begin an assigned partition; None: at the group's commit, else where the settings say.

        Nothing happens if the partition has gone meanwhile: the next read tells.
        """
        which = partition_of(partition)
        if which not in self._consumer.assignment():
            return
        try:
            begin = self._last_commit_or_start(which) if offset is None else offset
        except KafkaError as error:
            raise DependencyError(f"Kafka does not tell where {partition} begins: {error}") from error
        self._consumer.seek(which, begin)
        self._started.add(partition)
        self._ask_again_at = 0.0  # for its lag
        self._positions[partition] = self._committed[partition] = begin
        if not self._paused:
            self._consumer.resume(which)
        log.info("partition started", extra={"partition": partition, "offset": begin, "restored": offset is not None})

    def commit(self, positions: Mapping[str, int]) -> None:
        """Commit these offsets, as far as their partitions are still ours. Raises FencedError.

        A failure is told and otherwise passed over: the next commit says more, and a rebalance is told by read().
        """
        offsets = {partition: offset for partition, offset in positions.items() if partition in self._started}
        if not offsets or self._consumer is None:
            return
        self._committed_at = time.monotonic()
        try:
            self._consumer.commit(
                {partition_of(name): OffsetAndMetadata(offset, "", -1) for name, offset in offsets.items()},
                timeout_ms=ASK_MS,
            )
            self._committed |= offsets
        except FencedInstanceIdError as error:
            raise self._fenced() from error
        except (CommitFailedError, RebalanceInProgressError, RetriableError) as error:
            log.info("offsets not committed", extra={"error": str(error), "partitions": len(offsets)})
        except KafkaError as error:
            raise DependencyError(f"Kafka does not take the offsets of group {self._options.group}: {error}") from error

    def pause(self) -> None:
        self._paused = True
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        if self._consumer is not None:
            self._consumer.resume(*(p for p in self._consumer.assignment() if name_of(p) in self._started))

    def lag(self) -> dict[str, int]:
        """Messages in the started partitions that were not delivered yet. Asks the cluster, at most once a second."""
        if time.monotonic() >= self._ask_again_at:
            self._ends = self._ask_ends()
            self._ask_again_at = time.monotonic() + (LAG_EVERY_S if self._ends else LAG_EVERY_S * 10)
        return {
            name: max(0, self._ends[name] - position)
            for name, position in self._positions.items()
            if name in self._ends
        }

    def close(self) -> None:
        """Leave the group (a static member keeps its place until its session ends)."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except KafkaError as error:
                log.info("consumer not closed cleanly", extra={"error": str(error)})

    def _open(self) -> Any:
        options = self._options
        consumer: Any = connect(
            KafkaConsumer,
            self._settings,
            group_id=options.group,
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=milliseconds(options.session_timeout),
            heartbeat_interval_ms=milliseconds(options.heartbeat_interval),
            max_poll_interval_ms=milliseconds(options.max_poll_interval),
            max_poll_records=options.max_poll_records,
            max_partition_fetch_bytes=options.max_partition_fetch,
            allow_auto_create_topics=False,
        )
        self._counts = {topic: len(consumer.partitions_for_topic(topic)) for topic in options.topics}
        missing = [topic for topic, count in self._counts.items() if not count]
        if missing:
            consumer.close(autocommit=False)
            raise DependencyError(f"Kafka has no topic {', '.join(missing)}; `tocsin topics create` makes it")
        self._listener.attach(consumer)
        consumer.subscribe(list(options.topics), listener=self._listener)
        return consumer

    def _poll(self, timeout_s: float) -> dict[TopicPartition, list[Any]]:
        try:
            records: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=milliseconds(timeout_s))
            self._finish_joining()
            return records
        except (NoOffsetForPartitionError, RetriableError):
            return {}  # start() seeks; the cluster is away, and the client's log says so
        except OffsetOutOfRangeError as error:
            for partition, offset in error.args[0].items():
                self._jump(partition, offset)
        except LogTruncationError as error:
            for partition, end in error.divergent_offsets.items():
                self._jump(partition, self._positions.get(name_of(partition), 0), end and end.offset)
        except FencedInstanceIdError as error:
            raise self._fenced() from error
        except UnsupportedCodecError as error:
            raise InputError(f"Kafka topic {', '.join(self._options.topics)}: {error.args[0]}; install them") from error
        except KafkaError as error:
            self._give_up()
            raise DependencyError(f"Kafka consumer of group {self._options.group}: {error}") from error
        return {}

    def _finish_joining(self) -> None:
        """A poll that ends while the leader joins anew for more partitions must not be the last one that cares.

        kafka-python 3.0.12 forgets such a join: once the leader has assigned, its view of the topic is up to date, so
        it sees no reason to join, what it is given is never taken, and no heartbeat is sent any more.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _give_up(self) -> None:
        """After an error inside the client its next poll may never return: the next read makes a new one."""
        gone = sorted(self._started)
        self.close()
        self._listener.take()
        self._listener.revoke(gone)

    def _jump(self, partition: TopicPartition, offset: int, to: int | None = None) -> None:
        """The log does not have the offset (any more): go on where the settings say, and tell."""
        if self._options.on_missing_offset == "fail":
            raise InputError(f"{name_of(partition)} has no offset {offset} (kafka.consumer.on_missing_offset: fail)")
        try:
            target = self._edge(partition, self._options.on_missing_offset) if to is None else to
        except KafkaError as error:
            raise DependencyError(f"Kafka does not tell where {name_of(partition)} begins: {error}") from error
        self._consumer.seek(partition, target)
        self._positions[name_of(partition)] = target
        self.offset_jumps += 1
        log.warning("offset is gone", extra={"partition": name_of(partition), "offset": offset, "instead": target})

    def _last_commit_or_start(self, partition: TopicPartition) -> int:
        committed = self._consumer.committed(partition, timeout_ms=ASK_MS)
        return self._edge(partition, self._options.start) if committed is None else int(committed)

    def _edge(self, partition: TopicPartition, where: str) -> int:
        ask = self._consumer.beginning_offsets if where == "earliest" else self._consumer.end_offsets
        return int(ask([partition], timeout_ms=ASK_MS)[partition])

    def _ask_ends(self) -> dict[str, int]:
        mine = [partition_of(name) for name in self._started]
        if self._consumer is None or not mine:
            return {}
        try:
            return {name_of(p): int(end) for p, end in self._consumer.end_offsets(mine, timeout_ms=1_000).items()}
        except KafkaError as error:
            log.debug("lag is not known", extra={"error": str(error)})
            return {}

    def _tell_growth(self, assigned: Iterable[str]) -> None:
        """More partitions: a key may now go to another one, and its system begins anew there."""
        for which in map(partition_of, assigned):
            before = self._counts.get(which.topic, 0)
            if which.partition >= before:
                self._counts[which.topic] = which.partition + 1
                log.error("partitions were added: systems that move start without their state", extra=which._asdict())

    def _commit_again_if_idle(self) -> None:
        idle = time.monotonic() - self._committed_at > self._options.session_timeout
        if self._instance is not None and idle:
            self._committed_at = time.monotonic()
            self.commit(self._committed)

    def _forget(self, partitions: Iterable[str]) -> None:
        for partition in partitions:
            self._started.discard(partition)
            for known in (self._positions, self._committed, self._ends):
                known.pop(partition, None)

    def _fenced(self) -> FencedError:
        group = self._options.group
        return FencedError(
            f"another process joined group {group} with instance id {self._instance}; "
            "each process needs its own (kafka.consumer.instance_id)"
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers, in the client's IO thread, what came and went; no call of the consumer that waits.

    before_revoke: called with what is about to go; not with what is lost, which others own already.
    """

    def __init__(self) -> None:
        self.before_revoke: Callable[[Sequence[str]], None] = lambda partitions: None
        self._events: deque[tuple[bool, list[str]]] = deque()
        self._consumer: Any = None

    def attach(self, consumer: Any) -> None:
        self._consumer = consumer

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._events.append((True, sorted(map(name_of, assigned))))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        names = sorted(map(name_of, revoked))
        self.before_revoke(names)
        self.revoke(names)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.revoke(sorted(map(name_of, lost)))

    def revoke(self, partitions: list[str]) -> None:
        self._events.append((False, partitions))

    def take(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What was assigned and revoked since the last call; what went and came again is in both."""
        assigned: dict[str, None] = {}
        revoked: dict[str, None] = {}
        while self._events:
            came, partitions = self._events.popleft()
            for partition in partitions:
                if came:
                    assigned[partition] = None
                elif partition in assigned:
                    del assigned[partition]
                else:
                    revoked[partition] = None
        return tuple(assigned), tuple(revoked)


def name_of(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}"


def partition_of(name: str) -> TopicPartition:
    """
    >>> partition_of("telemetry.metrics.v1-3")
    TopicPartition(topic='telemetry.metrics.v1', partition=3)
    """
    topic, _, number = name.rpartition("-")
    return TopicPartition(topic, int(number))


def instance_id(chosen: str) -> str | None:
    """The static member's id: what was chosen, for "auto" the host's name, for "" none.

    >>> instance_id("tocsin-0"), instance_id("")
    ('tocsin-0', None)
    """
    name = socket.gethostname() if chosen == "auto" else chosen
    return re.sub(r"[^A-Za-z0-9._-]", "-", name) or None
