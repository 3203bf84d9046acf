"""One partition of a Kafka topic, from its beginning, or an offset, to the end that it had when it was asked for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from stream.errors import DependencyError
from stream.kafka_client import connect
from stream.settings import KafkaSettings

ASK_MS = 5_000
SILENT_S = 10.0  # without a record: the cluster is away
FETCH_BYTES = 8 << 20  # twice as fast as with the client's 1 MB


class StateReader:
    """Raises DependencyError while the cluster does not answer."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def partitions(self, topic: str) -> int:
        """How many the topic has; 0 if it is not there."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    def records(self, topic: str, number: int, begin: int | None = None) -> Iterator[Any]:
        """begin: the offset of the first record; None: the beginning."""
        where = TopicPartition(topic, number)
        self._consumer.assign([where])
        if begin is None:
            self._consumer.seek_to_beginning(where)
        else:
            self._consumer.seek(where, begin)
        end = self._consumer.end_offsets([where], timeout_ms=ASK_MS)[where]
        heard = time.monotonic()
        while self._position(where) < end:  # compaction leaves gaps, so no record's offset tells
            records = self._consumer.poll(timeout_ms=500).get(where, [])
            yield from records
            heard = time.monotonic() if records else heard
            if time.monotonic() - heard > SILENT_S:
                raise DependencyError(f"Kafka gives nothing more of {topic}-{number}")

    def _position(self, where: TopicPartition) -> int:
        return self._consumer.position(where, timeout_ms=ASK_MS) or 0


@contextmanager
def state_reader(settings: KafkaSettings, *, fetch_bytes: int = FETCH_BYTES) -> Iterator[StateReader]:
    """A consumer of its own, outside any group, closed at the end. fetch_bytes: that it asks for at once.

    The one that is a member must not be polled meanwhile: it would deliver other partitions' records.
    """
    consumer: Any = connect(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=fetch_bytes,
        max_poll_records=5_000,
        allow_auto_create_topics=False,
    )
    try:
        yield StateReader(consumer)
    except KafkaError as error:
        raise DependencyError(f"Kafka does not give the state: {error}") from error
    finally:
        consumer.close(autocommit=False)
