"""The dead letters of a Kafka topic, read without joining a group; replayed ones are told by receipts in the topic.

A receipt is a record with the header `tocsin_receipt` and a JSON list of ids. It is written to the partition of its
letters, after them, so that retention takes it after them.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from stream.dead_letters import Letter
from stream.kafka_outbox import Outbox
from stream.settings import KafkaSettings
from stream.state_reader import state_reader
from stream.topics import DEAD_LETTER_ROOM

RECEIPT = "tocsin_receipt"


class TopicLetters:
    """Raises DependencyError while the cluster does not answer, and if the topic is not there."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic

    def replayed(self) -> set[str]:
        return {name for record in self._records() if _is_receipt(record) for name in json.loads(record.value)}

    def letters(self) -> Iterator[Letter]:
        return (self._letter(record) for record in self._records() if not _is_receipt(record))

    def remember(self, letters: Sequence[Letter]) -> None:
        outbox = Outbox(self._kafka, {self._topic}, max_record=self._kafka.consumer.max_message + DEAD_LETTER_ROOM)
        try:
            for partition, group in groupby(letters, key=lambda letter: int(letter.place.partition("@")[0])):
                value = json.dumps([letter.id for letter in group]).encode()
                outbox.send(self._topic, None, value, [(RECEIPT, b"1")], partition=partition)
            outbox.flush()
        finally:
            outbox.close()

    def _records(self) -> Iterator[Any]:
        with state_reader(self._kafka) as reader:
            for number in range(reader.partitions(self._topic)):
                yield from reader.records(self._topic, number)

    def _letter(self, record: Any) -> Letter:
        """What others put there has no headers of ours: it is listed, and sent nowhere."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        number, offset = (headers.get(f"tocsin_{name}", "") for name in ("partition", "offset"))
        return Letter(
            self._topic,
            f"{record.partition}@{record.offset}",
            headers.get("tocsin_reason", "unknown"),
            headers.get("tocsin_detail", ""),
            headers.get("tocsin_topic", ""),
            int(number) if number.isdigit() else 0,
            int(offset) if offset.isdigit() else record.offset,
            record.key,
            record.value or b"",
        )


def _is_receipt(record: Any) -> bool:
    return any(name == RECEIPT for name, _ in record.headers)
