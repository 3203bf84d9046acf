"""The topics that tocsin reads and writes, and how they must be made: `tocsin topics create`.

Brokers that make topics by themselves make them without these options, so none of our clients lets them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from stream.errors import ConfigError, DependencyError
from stream.kafka_client import connect
from stream.settings import KafkaSettings

Made: TypeAlias = Literal["created", "exists"]

# An original of the largest size and the reason beside it must fit into a dead letter.
DEAD_LETTER_ROOM = 64 << 10

# A segment that is written to is never compacted, and a restart reads all that is there: so segments are small.
# Deletions are kept for readers who keep what they have read; ours begin anew each time.
STATE = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 << 20),
    "segment.ms": str(3600 * 1000),
    "min.cleanable.dirty.ratio": "0.3",
    "delete.retention.ms": "60000",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """partitions and replication: -1 leaves it to the broker. like: has as many partitions as the largest of these."""

    name: str
    partitions: int = -1
    replication: int = -1
    options: Mapping[str, str] = field(default_factory=dict)
    like: tuple[str, ...] = ()


def planned(
    settings: KafkaSettings, *, partitions: int = -1, replication: int = -1, state: str | None = ""
) -> list[Topic]:
    """Every topic that these settings name. state: the topic of the snapshots; empty: <group>-state, None: none.

    Readings are stamped by the broker on arrival, so that a replayed recording of last year is not older than its
    retention at once. Incidents are compacted: the last word on each stays.
    """
    consumer, producer = settings.consumer, settings.producer
    arrival = {"message.timestamp.type": "LogAppendTime"}
    largest = {"max.message.bytes": str(consumer.max_message + DEAD_LETTER_ROOM)}
    return [
        *(Topic(name, partitions, replication, arrival) for name in consumer.topics),
        Topic(producer.verdicts, partitions, replication),
        Topic(producer.incidents, partitions, replication, {"cleanup.policy": "compact"}),
        *(Topic(name, 1, replication, largest) for name in dead_letter_topics(settings).values()),
        *([] if state is None else [Topic(state_topic(settings, state), -1, replication, STATE, consumer.topics)]),
    ]


def state_topic(settings: KafkaSettings, name: str = "") -> str:
    """Where the state of the partitions is kept."""
    return name or f"{settings.consumer.group}-state"


def dead_letter_topics(settings: KafkaSettings) -> dict[str, str]:
    """Where the dead letters of each input topic go."""
    consumer, name = settings.consumer, settings.producer.dead_letters
    return {topic: name or f"{consumer.group}.{topic}.dlq" for topic in consumer.topics}


def create(settings: KafkaSettings, topics: Iterable[Topic]) -> dict[str, Made]:
    """Make the topics that are not there; those that are stay as they are. Raises DependencyError, ConfigError."""
    admin: KafkaAdminClient = connect(KafkaAdminClient, settings)
    try:
        return {topic.name: _create(admin, topic) for topic in {topic.name: topic for topic in topics}.values()}
    finally:
        admin.close()


def _create(admin: KafkaAdminClient, topic: Topic) -> Made:
    try:
        wanted = {
            "num_partitions": _most_partitions(admin, topic.like) if topic.like else topic.partitions,
            "replication_factor": topic.replication,
            "configs": dict(topic.options),
        }
        admin.create_topics({topic.name: wanted}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return "exists"
    except KafkaError as error:
        if error.retriable:
            raise DependencyError(f"Kafka topic {topic.name}: {error}") from error
        raise ConfigError(f"Kafka topic {topic.name} cannot be made: {error}") from error
    return "created"


def _most_partitions(admin: KafkaAdminClient, topics: Iterable[str]) -> int:
    return max(len(described["partitions"]) for described in admin.describe_topics(list(topics)))
