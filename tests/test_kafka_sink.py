"""The Kafka sinks on a real broker: what arrives, what a refusal costs, and that nothing is lost while it is away."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from broker import Broker
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from stream import topics
from stream.errors import DependencyError
from stream.kafka_client import connect
from stream.records import IncidentRecord, TriggerRecord, VerdictRecord
from stream.settings import KafkaSettings
from stream.sinks.kafka import KafkaDeadLetters, KafkaFindings
from stream.sinks.protocol import DeadLetters, Sink
from stream.sources.protocol import Reject

pytestmark = pytest.mark.kafka
WAIT_S = 20.0
MINUTE = 1_661_140_260_000


@pytest.fixture
def records(kafka: KafkaSettings) -> Iterator[Callable[[str, int], Sequence[Any]]]:
    """Reads so many records of a topic with one partition from its beginning."""
    consumer = connect(KafkaConsumer, kafka, group_id=None, enable_auto_commit=False)

    def read(topic: str, count: int) -> list[Any]:
        where = TopicPartition(topic, 0)
        consumer.assign([where])
        consumer.seek(where, 0)
        found: list[Any] = []
        deadline = time.monotonic() + WAIT_S
        while len(found) < count:
            assert time.monotonic() < deadline, f"waited in vain for {count} records of {topic}, got {found}"
            found += consumer.poll(timeout_ms=100).get(where, [])
        return found

    yield read
    consumer.close(autocommit=False)


@pytest.fixture
def open_sink() -> Iterator[Callable[..., Any]]:
    """Opens sinks, and closes them at the end."""
    opened: list[Any] = []

    def open_one(kind: Callable[[KafkaSettings], Any], settings: KafkaSettings) -> Any:
        opened.append(kind(settings))
        return opened[-1]

    yield open_one
    for sink in opened:
        sink.close()


def verdict(number: int, *, size: int = 1) -> VerdictRecord:
    return VerdictRecord(
        id=f"v{number}",
        system="shop",
        ts=MINUTE + number * 60_000,
        score=1.5,
        votes=[{"detector": "ewma", "state": "x" * size}],
        contributions=[],
        polled=[],
        rules={"weighted": True},
    )


def incident(status: str, score: float) -> IncidentRecord:
    return IncidentRecord(
        id="i1",
        system="shop",
        opened_at=MINUTE,
        updated_at=MINUTE + 60_000,
        status=status,
        severity="warning",
        opened_by="verdict",
        score=score,
        verdicts=3,
    )


TRIGGER = TriggerRecord(
    id="t1", system="shop", ts=MINUTE, detector="mssa", statistic=7.0, threshold=5.0, calibrated=True
)


def ids(found: Sequence[Any]) -> list[str]:
    return [json.loads(record.value)["id"] for record in found]


def test_findings_arrive_as_cloud_events_under_their_keys(create_topics, open_sink, records):
    kafka = create_topics()
    sink = open_sink(KafkaFindings, kafka)
    assert isinstance(sink, Sink)
    sink.write([verdict(0), TRIGGER, incident("open", 1.5), incident("resolved", 2.5)])
    sink.flush()
    first, second = records(kafka.producer.verdicts, 2)
    opened, resolved = records(kafka.producer.incidents, 2)
    assert [r.key for r in (first, second, opened, resolved)] == [b"shop", b"shop", b"i1", b"i1"]
    assert [json.loads(r.value)["kind"] for r in (first, second, opened)] == ["verdict", "trigger", "incident"]
    assert dict(first.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"v0",
        "ce_type": b"tocsin.verdict.v1",
        "ce_source": f"/tocsin/{kafka.consumer.group}".encode(),
        "ce_subject": b"shop",
        "ce_time": b"2022-08-22T03:51:00Z",
        "content-type": b"application/json",
    }
    assert dict(opened.headers)["ce_id"] != dict(resolved.headers)["ce_id"]


def test_a_repeated_finding_has_the_same_event_id(create_topics, open_sink, records):
    kafka = create_topics()
    sink = open_sink(KafkaFindings, kafka)
    sink.write([incident("open", 1.5)])
    sink.flush()
    sink.write([incident("open", 1.5)])
    sink.flush()
    one, two = records(kafka.producer.incidents, 2)
    assert dict(one.headers)["ce_id"] == dict(two.headers)["ce_id"]


def test_dead_letters_keep_key_and_bytes_and_tell_why(create_topics, open_sink, records):
    kafka = create_topics()
    keeper = open_sink(KafkaDeadLetters, kafka)
    assert isinstance(keeper, DeadLetters)
    topic = kafka.consumer.topics[0]
    largest = bytes(range(256)) * (kafka.consumer.max_message // 256)
    keeper.write(
        [
            Reject("not_json", "the message is not JSON: ü", f"{topic}-2", 17, b"\xffkey", b"\xff\x00 no JSON"),
            Reject("too_long", "-", f"{topic}-0", 18, None, largest),
            Reject("not_json", "-", f"{topic}-0", 19, None, b""),
        ]
    )
    keeper.flush()
    first, second, third = records(topics.dead_letter_topics(kafka)[topic], 3)
    assert (first.key, first.value) == (b"\xffkey", b"\xff\x00 no JSON")
    assert dict(first.headers) == {
        "tocsin_reason": b"not_json",
        "tocsin_detail": "the message is not JSON: ü".encode(),
        "tocsin_topic": topic.encode(),
        "tocsin_partition": b"2",
        "tocsin_offset": b"17",
    }
    assert (second.key, second.value, third.value) == (None, largest, b"")
    assert keeper.passed_over == 0


def test_a_finding_too_large_for_the_client_is_passed_over_and_told(create_topics, open_sink, records, caplog):
    kafka = create_topics()
    sink = open_sink(KafkaFindings, kafka)
    sink.write([verdict(0), verdict(1, size=kafka.producer.max_request), verdict(2)])
    sink.flush()
    sink.write([verdict(3)])
    sink.flush()
    assert ids(records(kafka.producer.verdicts, 3)) == ["v0", "v2", "v3"]
    assert sink.passed_over == 1
    assert "record passed over" in caplog.text


def test_a_finding_that_the_broker_refuses_does_not_stop_the_others(create_topics, open_sink, records):
    kafka = create_topics(**{"max.message.bytes": "20000"})
    sink = open_sink(KafkaFindings, with_compression(kafka, "none"))
    sink.write([verdict(0), verdict(1, size=30_000), verdict(2), verdict(3, size=30_000), verdict(4)])
    sink.flush()
    sink.write([verdict(5)])
    sink.flush()
    found = ids(records(kafka.producer.verdicts, 4))
    assert list(dict.fromkeys(found)) == ["v0", "v2", "v4", "v5"]
    assert sink.passed_over == 2


def test_while_the_broker_is_away_nothing_is_lost_and_what_waits_is_bounded(
    broker: Broker, create_topics, open_sink, records
):
    kafka = impatient(create_topics())
    sink = open_sink(KafkaFindings, kafka)
    bounded = open_sink(KafkaFindings, impatient(incidents_beside(kafka), max_unacknowledged=50_000))
    sink.write([verdict(0)])
    sink.flush()
    broker.kill()
    for number in range(1, 4):
        sink.write([verdict(number)])
        with pytest.raises(DependencyError, match="does not acknowledge"):
            sink.flush()
    written = 0
    with pytest.raises(DependencyError):
        for written in range(1000):
            bounded.write([verdict(written, size=1_000)])
    assert 30 <= written <= 50
    broker.start()
    flush_until_it_works(sink)
    flush_until_it_works(bounded)
    assert ids(records(kafka.producer.verdicts, 4)) == ["v0", "v1", "v2", "v3"]
    kept = [f"v{number}" for number in range(written + 1)]  # the one that raised, too
    assert ids(records(kafka.producer.incidents, len(kept))) == kept
    assert sink.passed_over == bounded.passed_over == 0


def test_a_topic_that_is_not_there_is_told(kafka, open_sink):
    with pytest.raises(DependencyError, match="topics create"):
        open_sink(KafkaFindings, kafka)


def test_existing_topics_are_left_as_they_are(create_topics):
    kafka = create_topics(partitions=3)
    made = topics.create(kafka, topics.planned(kafka, partitions=5))
    assert set(made.values()) == {"exists"}


def test_the_state_topic_has_as_many_partitions_as_the_input_and_is_compacted(create_topics):
    kafka = create_topics(partitions=3)
    later = f"{kafka.consumer.group}-later"
    assert topics.create(kafka, topics.planned(kafka, state=later))[later] == "created"
    admin = connect(KafkaAdminClient, kafka)
    for name in (topics.state_topic(kafka), later):
        (described,) = admin.describe_topics([name])
        assert len(described["partitions"]) == 3
        settings = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        assert settings["topic"][name]["cleanup.policy"]["value"] == "compact"
    admin.close()
    assert not [topic for topic in topics.planned(kafka, state=None) if topic.name.endswith("-state")]


def with_compression(kafka: KafkaSettings, compression: str) -> KafkaSettings:
    return dataclasses.replace(kafka, producer=dataclasses.replace(kafka.producer, compression=compression))


def impatient(kafka: KafkaSettings, **changes: Any) -> KafkaSettings:
    producer = dataclasses.replace(kafka.producer, acknowledge_timeout=0.5, **changes)
    return dataclasses.replace(kafka, producer=producer)


def incidents_beside(kafka: KafkaSettings) -> KafkaSettings:
    """The same with verdicts going where the incidents go, so that two sinks do not mix."""
    return dataclasses.replace(kafka, producer=dataclasses.replace(kafka.producer, verdicts=kafka.producer.incidents))


def flush_until_it_works(sink: Sink) -> None:
    """As the runner does."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return sink.flush()
        except DependencyError:
            assert time.monotonic() < deadline
