"""Records on their way to Kafka: each is kept here until the cluster has acknowledged it.

Promise: at least once. What :meth:`Outbox.send` took is written, in order for each key, once a :meth:`Outbox.flush`
returns; a crash before that, or a producer that had to be replaced, may write it twice. The exception is a record that
the cluster will never take (too large, a timestamp it refuses): it is counted, told and passed over.

The producer is idempotent, which orders records and drops the client's own repeats, and has three traps: its memory has
no bound, so ours has; a batch that expires leaves it waiting for ever, so its clock is set beyond any outage and ours
decides; and one bad record makes it fail for good, so it is replaced and what was not acknowledged is sent again, one
by one, until the bad one shows itself.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from stream.errors import DependencyError
from stream.kafka_client import connect, milliseconds
from stream.settings import KafkaSettings

log = logging.getLogger(__name__)

UNACCEPTABLE = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError, InvalidRecordError)
FOR_EVER_MS = 365 * 24 * 3600 * 1000
TOPIC_WAIT_MS = 5_000
CLOSE_S = 2.0
OVERHEAD = 100  # bytes of a record beside its key, value and headers: an upper bound


@dataclass(slots=True)
class Outgoing:
    """A record to be written. future: of the producer that has it; None while none has. refused: it never will.

    value None ends a key in a compacted topic. partition None: by the key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int | None = None
    future: Any = None
    refused: KafkaError | None = None

    @property
    def offset(self) -> int | None:
        """Where it is in its partition, once it was acknowledged; None where the cluster did not say."""
        if self.future is None or not self.future.succeeded():
            return None
        offset = int(self.future.value.offset)
        return offset if offset >= 0 else None

    def __len__(self) -> int:
        return len(self.key or b"") + len(self.value or b"") + sum(len(n) + len(v) for n, v in self.headers) + OVERHEAD


class Outbox:
    """Sends records to topics, which must exist. Raises DependencyError if one does not, or nobody answers.

    on_refused: called with each record that is passed over.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Iterable[str],
        *,
        max_record: int,
        on_refused: Callable[[Outgoing], None] = lambda record: None,
    ) -> None:
        self._settings = settings
        self._max_record = max_record
        self._on_refused = on_refused
        self._waiting: deque[Outgoing] = deque()  # in the order of sending
        self._bytes = 0
        self._producer: _Producer | None = self._connect()
        self.passed_over = 0
        for topic in topics:
            self._check_topic(self._producer, topic)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        *,
        partition: int | None = None,
    ) -> Outgoing:
        """Take a record. Waits as flush does if too many wait; should that raise, this one is kept, too."""
        record = Outgoing(topic, key, value, headers, partition)
        self._waiting.append(record)
        self._bytes += len(record)
        if self._bytes > self._settings.producer.max_unacknowledged:
            self.flush()
        elif self._producer is not None and (len(self._waiting) == 1 or self._waiting[-2].future is not None):
            with contextlib.suppress(KafkaError):  # then flush tries again, and tells
                self._hand_over(record)
        return record

    def flush(self) -> None:
        """Wait until all are acknowledged. Raises DependencyError, with all kept that are not."""
        deadline = time.monotonic() + self._settings.producer.acknowledge_timeout
        while self._waiting:
            for record in self._waiting:
                self._hand_over(record)
            try:
                self._settle(deadline)
            except KafkaError as error:
                self._one_by_one(error, deadline)

    def close(self) -> None:
        """Give up the connection; what was not flushed is lost."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError):  # it waits for what it could not send, and raises
                producer.close(timeout=CLOSE_S)

    def _hand_over(self, record: Outgoing) -> None:
        if record.future is not None or record.refused is not None:
            return
        producer = self._producer or self._replace()
        try:
            record.future = producer.send(record.topic, record.value, record.key, record.headers, record.partition)
        except UNACCEPTABLE as error:  # by the client itself, which goes on
            record.refused = error
        except KafkaTimeoutError as error:
            raise DependencyError(f"Kafka does not tell the partitions of topic {record.topic}: {error}") from error

    def _settle(self, deadline: float) -> None:
        while self._waiting:
            record = self._waiting[0]
            if record.refused is None:
                self._await(record, deadline)
            else:
                self._pass_over(record, record.refused)
            self._bytes -= len(self._waiting.popleft())

    def _await(self, record: Outgoing, deadline: float) -> None:
        try:
            record.future.get(timeout=max(0.0, deadline - time.monotonic()))
        except KafkaTimeoutError as error:
            waiting = f"{len(self._waiting)} records, the first for topic {record.topic}"
            raise DependencyError(f"Kafka does not acknowledge {waiting}: {error}") from error

    def _one_by_one(self, error: KafkaError, deadline: float) -> None:
        """The producer has failed for good, for any one of its records: send each alone until that one fails again."""
        self._replace()
        log.warning("Kafka producer replaced", extra={"error": str(error), "waiting": len(self._waiting)})
        while self._waiting:
            record = self._waiting[0]
            self._hand_over(record)
            if record.refused is not None:
                return
            try:
                self._await(record, deadline)
            except KafkaError as its_own:
                self.close()
                if isinstance(its_own, UNACCEPTABLE):
                    record.refused = its_own
                    return
                raise DependencyError(f"Kafka takes no record for topic {record.topic}: {its_own}") from its_own
            self._bytes -= len(self._waiting.popleft())

    def _pass_over(self, record: Outgoing, error: KafkaError) -> None:
        self.passed_over += 1
        self._on_refused(record)
        log.error("record passed over", extra={"topic": record.topic, "bytes": len(record), "error": str(error)})

    def _replace(self) -> "_Producer":
        """A new producer, to which nothing is handed over yet."""
        self.close()
        for record in self._waiting:
            if record.future is not None and not record.future.succeeded():
                record.future = None
        self._producer = self._connect()
        return self._producer

    def _connect(self) -> "_Producer":
        options = self._settings.producer
        return connect(
            _Producer,
            self._settings,
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=FOR_EVER_MS,
            max_block_ms=TOPIC_WAIT_MS,
            max_request_size=self._max_record,
            compression_type=None if options.compression == "none" else options.compression,
            linger_ms=milliseconds(options.linger),
            batch_size=256 << 10,
            allow_auto_create_topics=False,
        )

    def _check_topic(self, producer: "_Producer", topic: str) -> None:
        try:
            producer.partitions_for(topic)
        except KafkaError as error:
            self.close()
            raise DependencyError(f"Kafka has no topic {topic}; `tocsin topics create` makes it ({error})") from error


class _Producer(KafkaProducer):  # type: ignore[misc]
    def __del__(self) -> None:
        """Not the client's own, which waits and raises while the interpreter ends; we close it ourselves."""
