"""What a proof on a real broker needs: a config of its own, messages and a feed that writes them, waiting for progress.

Nothing here looks at a clock but to give up: whoever waits does so for a condition, with a generous deadline.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from broker import free_ports
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from process import Process

from stream.config import Config, load
from stream.decode import encode_row
from stream.kafka_client import connect
from stream.settings import KafkaSettings
from stream.state_reader import state_reader

WAIT_S = 60.0
ROWS, VARIABLES = 600, ("a.x", "a.y", "b.x", "b.y")
DISTURBANCES = ((150, 8), (300, 16), (480, 24))  # first of four rows, and by how much


@dataclass(frozen=True)
class Setting:
    """One config file and what it says."""

    path: Path
    config: Config
    listen: str

    @property
    def topic(self) -> str:
        return self.config.kafka.consumer.topics[0]


def write_config(
    kafka: KafkaSettings,
    folder: Path,
    *,
    instance: str = "tocsin-0",
    every: str = "10ms",
    consumer: dict[str, Any] | None = None,
    snapshot: dict[str, Any] | None = None,
    **changes: Any,
) -> Setting:
    """State is in Kafka, as is the default; nothing is shared with a config in another folder but the cluster."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    document = {
        "kafka": {
            "bootstrap_servers": list(kafka.bootstrap_servers),
            "connect_timeout": "5s",
            "consumer": {
                "topics": list(kafka.consumer.topics),
                "group": kafka.consumer.group,
                "instance_id": instance,
                "session_timeout": "6s",
                "max_poll_records": 20,  # so that a kill finds it between many snapshots
                **(consumer or {}),
            },
            "producer": {"verdicts": kafka.producer.verdicts, "incidents": kafka.producer.incidents},
            **changes,
        },
        "snapshot": {"every": every, "share": 1.0, **(snapshot or {})},
        "autoencoder": {"enabled": False},
        "http": {"listen": listen},
    }
    path = folder / "tocsin.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    return Setting(path, load(str(path)), listen)


def rows_of(systems: Sequence[str], rows: int = ROWS, seed: int = 7) -> dict[str, list[bytes]]:
    """The messages of each system, disturbed where the kills come and, of more than 600 rows, every 600 again."""
    rng = np.random.default_rng(seed)
    values = {system: rng.normal(0, 1, (rows, len(VARIABLES))).cumsum(axis=0) * 0.02 + 10 for system in systems}
    for course in values.values():
        course[:] += rng.normal(0, 0.1, course.shape)
        for start in range(0, rows, ROWS):
            for begin, size in DISTURBANCES:
                course[start + begin : start + begin + 4, :2] += size
    return {
        system: [encode_row(system, (1_700_000_000 + row) * 10**9, VARIABLES, course[row]) for row in range(rows)]
        for system, course in values.items()
    }


class Feed:
    """Writes messages to partitions of the input topic, some at a time."""

    def __init__(self, setting: Setting, partitions: Sequence[list[bytes]]) -> None:
        self._topic = setting.topic
        self._producer = connect(KafkaProducer, setting.config.kafka)
        self._left = [list(messages) for messages in partitions]
        self.written = 0  # of each partition

    def write(self, count: int) -> None:
        """The next so many messages of each partition."""
        for partition, left in enumerate(self._left):
            for message in left[:count]:
                self._producer.send(self._topic, message, b"key", partition=partition)
            del left[:count]
        self._producer.flush(timeout=WAIT_S)
        self.written += count

    def write_all(self) -> None:
        self.write(max(map(len, self._left)))

    def close(self) -> None:
        self._producer.close(timeout=1)


def all_of(setting: Setting, topic: str) -> list[Any]:
    """Every record of a topic."""
    with state_reader(setting.config.kafka) as reader:
        numbers = range(reader.partitions(topic))
        return [record for number in numbers for record in reader.records(topic, number)]


def wait_until(is_so: Callable[[], bool], what: Callable[[], str], timeout_s: float = WAIT_S) -> float:
    """Seconds until it was so. Raises RuntimeError, which tells what there is instead, after the time-out."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > timeout_s:
            raise RuntimeError(f"after {timeout_s:g} s: {what()}")
        time.sleep(0.02)
    return time.monotonic() - began


def wait_for_rows(process: Process, count: int, timeout_s: float = WAIT_S) -> None:
    """Until the process has learned so many rows since its start."""

    def is_so() -> bool:
        if not process.is_running():
            raise RuntimeError("tocsin run ended")
        return process.metrics().get("tocsin_rows_total", 0.0) >= count

    wait_until(is_so, lambda: f"{process.metrics().get('tocsin_rows_total')} of {count} rows", timeout_s)


def wait_for_commit(setting: Setting, counts: int | Sequence[int], *, timeout_s: float = WAIT_S) -> float:
    """Until so many messages of each partition are done with, for good; gives the seconds.

    counts: of each partition; a number: of the only one.
    """
    wanted = [counts] if isinstance(counts, int) else list(counts)
    consumer: Any = connect(KafkaConsumer, setting.config.kafka, group_id=setting.config.kafka.consumer.group)
    where = [TopicPartition(setting.topic, number) for number in range(len(wanted))]
    try:
        return wait_until(
            lambda: [consumer.committed(partition) for partition in where] == wanted,
            lambda: f"committed {[consumer.committed(partition) for partition in where]}, not {wanted}",
            timeout_s,
        )
    finally:
        consumer.close(autocommit=False)
