"""Findings and dead letters as Kafka records.

Promise: at least once, in order for each key (stream.kafka_outbox). A repeat after a crash has the same `ce_id`.

A finding is a CloudEvent in binary mode: its attributes are headers, its JSON document is the value.

| topic | key | what |
|---|---|---|
| anomaly.verdicts.v1 | the system | verdicts, triggers and silences |
| anomaly.incidents.v1 | the incident's id | each incident as it develops: the last one stands |
| <group>.<topic>.dlq | the original key | rejected input: the original bytes, the reason in the headers |

The time of a record is the time of its writing, so that no retention looks at the age of what is told; `ce_time` is
the time of what happened.
"""

from collections.abc import Sequence

import msgspec

from stream.event_time import from_record, to_text
from stream.kafka_outbox import Outbox
from stream.records import FindingRecord, IncidentRecord, Time, content_id
from stream.settings import KafkaSettings, Settings
from stream.sources.protocol import Reject
from stream.topics import DEAD_LETTER_ROOM, dead_letter_topics


def build_sink(settings: Settings) -> "KafkaFindings":
    return KafkaFindings(settings.kafka)


def build_dead_letters(settings: Settings) -> "KafkaDeadLetters":
    return KafkaDeadLetters(settings.kafka)


class KafkaFindings:
    """A sink of findings. Raises DependencyError if the topics are not there or nobody answers."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topics = settings.producer
        self._source = f"/tocsin/{settings.consumer.group}"
        self._outbox = Outbox(
            settings, {self._topics.verdicts, self._topics.incidents}, max_record=settings.producer.max_request
        )

    @property
    def passed_over(self) -> int:
        """Findings that the cluster refuses to take, so far."""
        return self._outbox.passed_over

    def write(self, findings: Sequence[FindingRecord]) -> None:
        for finding in findings:
            value = msgspec.json.encode(finding)
            is_incident = isinstance(finding, IncidentRecord)
            topic, key = (
                (self._topics.incidents, finding.id) if is_incident else (self._topics.verdicts, finding.system)
            )
            self._outbox.send(topic, key.encode(), value, cloud_event(finding, value, self._source))

    def flush(self) -> None:
        self._outbox.flush()

    def close(self) -> None:
        self._outbox.close()


class KafkaDeadLetters:
    """A keeper of rejected input, beside the topic that it came from."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topics = dead_letter_topics(settings)
        largest = settings.consumer.max_message + DEAD_LETTER_ROOM
        self._outbox = Outbox(settings, set(self._topics.values()), max_record=largest)

    @property
    def passed_over(self) -> int:
        """Dead letters that the cluster refuses to take, so far."""
        return self._outbox.passed_over

    def write(self, rejects: Sequence[Reject]) -> None:
        for reject in rejects:
            topic, _, number = reject.partition.rpartition("-")
            place = {"topic": topic, "partition": number, "offset": str(reject.offset)}
            why = {"reason": reject.reason, "detail": reject.detail}
            headers = [(f"tocsin_{name}", text.encode()) for name, text in (why | place).items()]
            self._outbox.send(self._topics[topic], reject.key, reject.value, headers)

    def flush(self) -> None:
        self._outbox.flush()

    def close(self) -> None:
        self._outbox.close()


def cloud_event(finding: FindingRecord, value: bytes, source: str) -> list[tuple[str, bytes]]:
    """The headers of a CloudEvent 1.0 (Kafka protocol binding, binary mode).

    An incident keeps its id while it develops, and each of its revisions is an event of its own: its document is in
    the event's id.
    """
    is_incident = isinstance(finding, IncidentRecord)
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": f"{finding.id}-{content_id(value.decode())}" if is_incident else finding.id,
        "ce_type": f"tocsin.{finding.__struct_config__.tag}.v{finding.schema_version}",
        "ce_source": source,
        "ce_subject": finding.system,
        "content-type": "application/json",
    }
    moment = rfc3339(finding.updated_at if isinstance(finding, IncidentRecord) else finding.ts)
    if moment is not None:
        attributes["ce_time"] = moment
    return [(name, text.encode()) for name, text in attributes.items()]


def rfc3339(time: Time) -> str | None:
    """The time of a finding as CloudEvents want it, or None where the input's time does not tell.

    >>> rfc3339(1_661_140_260_500), rfc3339("2022-08-22 03:51:00")
    ('2022-08-22T03:51:00.5Z', '2022-08-22T03:51:00Z')
    """
    try:
        return to_text(from_record(time))
    except ValueError:
        return None
