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


@dataclass(frozen=True, slots=True)
class Topic:
    """partitions and replication: -1 leaves it to the broker."""

    name: str
    partitions: int = -1
    replication: int = -1
    options: Mapping[str, str] = field(default_factory=dict)


def planned(settings: KafkaSettings, *, partitions: int = -1, replication: int = -1) -> list[Topic]:
    """Every topic that these settings name.

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
    ]


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
    wanted = {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": dict(topic.options),
    }
    try:
        admin.create_topics({topic.name: wanted}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return "exists"
    except KafkaError as error:
        if error.retriable:
            raise DependencyError(f"Kafka topic {topic.name}: {error}") from error
        raise ConfigError(f"Kafka topic {topic.name} cannot be made: {error}") from error
    return "created"
