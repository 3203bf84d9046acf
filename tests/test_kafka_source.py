"""The Kafka source on a real broker: what it delivers, where it begins, what it commits, when it stops."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from broker import Broker
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from source_contract import COUNT, SourceContract

from stream import topics
from stream.errors import DependencyError, FencedError, InputError
from stream.kafka_client import connect
from stream.settings import KafkaSettings
from stream.sources.kafka import KafkaSource
from stream.sources.protocol import Batch, Source

pytestmark = pytest.mark.kafka
WAIT_S = 20.0


@pytest.fixture
def sources() -> Iterator[Callable[[KafkaSettings], KafkaSource]]:
    """Opens sources, and closes them at the end."""
    opened: list[KafkaSource] = []

    def open_source(settings: KafkaSettings) -> KafkaSource:
        opened.append(KafkaSource(settings))
        return opened[-1]

    yield open_source
    for source in opened:
        source.close()


@pytest.fixture
def produce(kafka: KafkaSettings) -> Iterator[Callable[..., None]]:
    """Writes one message of `system` for each number, numbered as ts, and waits until they are there."""
    producer = connect(KafkaProducer, kafka)

    def send(numbers: range, *, partition: int = 0, system: str = "shop") -> None:
        for number in numbers:
            message = {"system": system, "ts": number, "values": {"a": number, "b": None}}
            producer.send(kafka.consumer.topics[0], json.dumps(message).encode(), system.encode(), partition=partition)
        producer.flush(timeout=WAIT_S)

    yield send
    producer.close(timeout=1)


def consumer_of(settings: KafkaSettings, **changes: Any) -> KafkaSettings:
    return dataclasses.replace(settings, consumer=dataclasses.replace(settings.consumer, **changes))


def read_until(source: Source, done: Callable[[Batch], bool], *, start: bool = True, wait_s: float = 0.05) -> Batch:
    """What one source gave until then, as one batch; assigned partitions are started at the group's commit."""
    whole, deadline = Batch(), time.monotonic() + WAIT_S
    while not done(whole):
        assert time.monotonic() < deadline, f"waited in vain, got {whole}"
        batch = source.read(wait_s)
        for partition in batch.assigned if start else ():
            source.start(partition, None)
        whole = Batch(
            whole.readings + batch.readings,
            whole.rejects + batch.rejects,
            whole.positions | batch.positions,
            whole.assigned + batch.assigned,
            whole.revoked + batch.revoked,
        )
    return whole


def values(batch: Batch) -> list[int]:
    return [int(value) for readings in batch.readings for value in readings.values[:, 0]]


def enough(count: int) -> Callable[[Batch], bool]:
    return lambda batch: len(values(batch)) >= count


def is_assigned(batch: Batch) -> bool:
    return bool(batch.assigned)


class TestContract(SourceContract):
    registered = "kafka"
    ends = False
    test_nothing_comes_before_a_partition_is_started = None  # a group takes longer to join: see the test of that name

    @pytest.fixture(autouse=True)
    def written(self, create_topics, sources, produce):
        self.kafka, self.sources = create_topics(), sources
        produce(range(COUNT))

    def open(self) -> Source:
        source: Source = self.sources(self.kafka)
        return source

    def collect(self, source: Source) -> list[tuple[int, float]]:
        whole = read_until(source, lambda batch: COUNT in batch.positions.values())
        return [pair for r in whole.readings for pair in zip(r.offsets.tolist(), r.values[:, 0].tolist(), strict=True)]


def test_messages_become_readings_and_bad_ones_rejects_with_their_bytes(create_topics, sources, produce):
    kafka = create_topics()
    produce(range(3))
    producer = connect(KafkaProducer, kafka)
    producer.send(kafka.consumer.topics[0], b"\xff not JSON", b"the key").get(10)
    producer.close()
    produce(range(3, 5))
    source = sources(kafka)
    assert isinstance(source, Source)
    batch = read_until(source, enough(5))
    partition = f"{kafka.consumer.topics[0]}-0"
    assert values(batch) == [0, 1, 2, 3, 4]
    assert {(r.system, r.partition, r.names, r.complete) for r in batch.readings} == {
        ("shop", partition, ("a", "b"), True)
    }
    (reject,) = batch.rejects
    assert (reject.reason, reject.key, reject.value, reject.offset) == ("not_json", b"the key", b"\xff not JSON", 3)
    assert batch.positions == {partition: 6}


def test_nothing_is_delivered_before_its_partition_is_started(create_topics, sources, produce):
    source = sources(create_topics())
    produce(range(5))
    batch = read_until(source, is_assigned, start=False)
    for _ in range(5):
        more = source.read(0.05)
        assert not more.readings and not more.positions
    source.start(batch.assigned[0], 2)
    assert values(read_until(source, enough(3))) == [2, 3, 4]


def test_another_member_goes_on_at_the_commit(create_topics, sources, produce):
    kafka = create_topics()
    produce(range(5))
    first = sources(kafka)
    batch = read_until(first, enough(5))
    (partition,) = batch.positions
    first.commit({partition: 3, "elsewhere-0": 7})
    first.close()
    assert values(read_until(sources(kafka), enough(2))) == [3, 4]


def test_what_is_to_be_done_before_partitions_go_is_done_before_another_member_has_them(create_topics, sources):
    kafka = create_topics(2)
    first, second = sources(kafka), sources(kafka)
    events: list[tuple[str, tuple[str, ...]]] = []
    first.on_revoke(lambda names: events.append(("goes", tuple(names))))
    read_until(first, lambda batch: len(batch.assigned) == 2)
    deadline = time.monotonic() + WAIT_S
    while not any(what == "came" for what, _ in events):
        assert time.monotonic() < deadline, events
        went, came = first.read(0.05).revoked, second.read(0.05).assigned
        events += [(what, names) for what, names in (("went", went), ("came", came)) if names]
    assert [what for what, _ in events] == ["goes", "went", "came"]
    assert len({names for _, names in events}) == 1


def test_without_a_commit_latest_begins_at_the_end(create_topics, sources, produce):
    kafka = create_topics()
    produce(range(5))
    source = sources(consumer_of(kafka, start="latest"))
    read_until(source, is_assigned)
    source.read(0.0)
    produce(range(5, 7))
    assert values(read_until(source, enough(2))) == [5, 6]


@pytest.mark.parametrize(("decision", "expected"), [("earliest", [6, 7, 8, 9, 10, 11]), ("latest", [10, 11])])
def test_a_lost_offset_is_decided_told_and_counted(create_topics, sources, produce, caplog, decision, expected):
    kafka = create_topics()
    produce(range(10))
    forget(kafka, before=6)
    source = sources(consumer_of(kafka, on_missing_offset=decision))
    begin_at(source, 2)
    while not source.offset_jumps:
        source.read(0.05)
    produce(range(10, 12))
    assert values(read_until(source, enough(len(expected)))) == expected
    assert source.offset_jumps == 1
    assert "offset is gone" in caplog.text


def test_a_lost_offset_can_be_a_failure(create_topics, sources, produce):
    kafka = create_topics()
    produce(range(10))
    forget(kafka, before=6)
    source = sources(consumer_of(kafka, on_missing_offset="fail"))
    begin_at(source, 2)
    with pytest.raises(InputError, match="has no offset 2"):
        read_until(source, enough(1))


def test_an_offset_beyond_the_end_is_a_lost_one(create_topics, sources, produce):
    kafka = create_topics()
    produce(range(3))
    source = sources(kafka)
    begin_at(source, 500)
    assert values(read_until(source, enough(3))) == [0, 1, 2]


def test_a_partition_assigned_during_a_pause_waits_for_its_end(create_topics, sources, produce):
    source = sources(create_topics())
    produce(range(3))
    source.pause()
    read_until(source, is_assigned)
    assert all(not source.read(0.1).readings for _ in range(3))
    source.resume()
    assert values(read_until(source, enough(3))) == [0, 1, 2]


def test_a_second_member_takes_half_and_gives_it_back(create_topics, sources, produce):
    kafka = create_topics(partitions=2)
    first, second = sources(kafka), sources(kafka)
    both = read_until(first, lambda b: len(b.assigned) == 2)
    seen: dict[KafkaSource, list[str]] = {first: list(both.assigned), second: []}
    follow(seen, lambda: [len(p) for p in seen.values()] == [1, 1])
    assert set(seen[first]) | set(seen[second]) == set(both.assigned)
    second.close()
    del seen[second]
    follow(seen, lambda: sorted(seen[first]) == sorted(both.assigned))
    produce(range(2), partition=0)
    produce(range(2, 4), partition=1)
    assert sorted(values(read_until(first, enough(4)))) == [0, 1, 2, 3]


def test_commits_of_a_lost_partition_are_passed_over(create_topics, sources, produce):
    kafka = create_topics(partitions=2)
    first, second = sources(kafka), sources(kafka)
    both = read_until(first, lambda b: len(b.assigned) == 2).assigned
    seen: dict[KafkaSource, list[str]] = {first: list(both), second: []}
    follow(seen, lambda: [len(p) for p in seen.values()] == [1, 1])
    for partition in (0, 1):
        produce(range(2), partition=partition)
    first.commit(dict.fromkeys(both, 1))
    first.close()
    second.close()
    assert 0 in values(read_until(sources(kafka), enough(3)))  # had both been committed, two messages were left


def test_lag_counts_what_was_not_delivered(create_topics, sources, produce):
    source = sources(create_topics())
    produce(range(8))
    batch = read_until(source, is_assigned, start=False)
    source.start(batch.assigned[0], 3)
    assert source.lag() == {batch.assigned[0]: 5}
    read_until(source, enough(5))
    assert source.lag() == {batch.assigned[0]: 0}


@pytest.mark.parametrize("by_commit", [True, False], ids=["at its commit", "while idle"])
def test_a_second_process_with_one_instance_id_ends_the_first(create_topics, sources, produce, by_commit):
    kafka = consumer_of(create_topics(), instance_id="tocsin-0", session_timeout=1.0, heartbeat_interval=0.3)
    produce(range(3))
    first, second = sources(kafka), sources(kafka)
    batch = read_until(first, enough(3))
    first.commit(batch.positions)
    read_until(second, is_assigned)
    with pytest.raises(FencedError, match="instance id tocsin-0"):
        if by_commit:
            first.commit(batch.positions)
        for _ in range(100):
            first.read(0.05)


def test_a_static_member_gets_its_partitions_back_at_once(create_topics, sources, produce):
    kafka = consumer_of(create_topics(), instance_id="tocsin-0")
    first = sources(kafka)
    read_until(first, is_assigned)
    first.close()
    began = time.monotonic()
    read_until(sources(kafka), is_assigned)
    assert time.monotonic() - began < kafka.consumer.session_timeout


@pytest.mark.parametrize("wait_s", [0.05, 0.001])  # the second is over before the group has answered
def test_added_partitions_are_read_and_told(create_topics, sources, produce, caplog, monkeypatch, wait_s):
    monkeypatch.setattr("stream.kafka_client.METADATA_MS", 300)
    kafka = create_topics()
    source = sources(kafka)
    read_until(source, is_assigned)
    admin = connect(KafkaAdminClient, kafka)
    admin.create_partitions({kafka.consumer.topics[0]: 2})
    admin.close()
    assert read_until(source, is_assigned, wait_s=wait_s).assigned == (f"{kafka.consumer.topics[0]}-1",)
    assert "partitions were added" in caplog.text


def test_a_topic_that_is_not_there_is_told(kafka, sources):
    with pytest.raises(DependencyError, match=r"has no topic .*topics create"):
        sources(kafka)


def test_compression_that_cannot_be_read_is_told(create_topics, sources, produce):
    source = sources(create_topics(**{"compression.type": "zstd"}))
    produce(range(3))
    with pytest.raises(InputError, match="zstd"):
        read_until(source, enough(3))


def test_reading_survives_a_broker_restart(broker: Broker, create_topics, sources, produce):
    source = sources(create_topics())
    produce(range(3))
    batch = read_until(source, enough(3))
    broker.kill()
    for _ in range(5):
        assert not source.read(0.1).readings
    source.commit(batch.positions)
    assert source.lag() == {}
    broker.start()
    produce(range(3, 6))
    assert values(read_until(source, enough(3))) == [3, 4, 5]
    source.commit(batch.positions)


def test_a_partition_keeps_its_name(create_topics):
    kafka = create_topics()
    assert topics.dead_letter_topics(kafka) == {
        kafka.consumer.topics[0]: f"{kafka.consumer.group}.{kafka.consumer.topics[0]}.dlq"
    }


def begin_at(source: KafkaSource, offset: int) -> None:
    for partition in read_until(source, is_assigned, start=False).assigned:
        source.start(partition, offset)


def forget(kafka: KafkaSettings, *, before: int) -> None:
    """As retention would."""
    admin = connect(KafkaAdminClient, kafka)
    admin.delete_records({TopicPartition(kafka.consumer.topics[0], 0): before})
    admin.close()


def follow(seen: dict[KafkaSource, list[str]], done: Callable[[], bool]) -> None:
    """Let the sources read in turn, and keep who has which partition, until done."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"waited in vain, got {list(seen.values())}"
        for source, mine in seen.items():
            batch = source.read(0.05)
            mine[:] = [p for p in mine if p not in batch.revoked] + list(batch.assigned)
            for partition in batch.assigned:
                source.start(partition, None)


@pytest.mark.parametrize(("stamp", "is_known"), [("LogAppendTime", True), ("CreateTime", False)])
def test_a_reading_tells_when_it_arrived_if_the_broker_says_so(kafka, sources, produce, create_topics, stamp, is_known):
    create_topics(**{"message.timestamp.type": stamp})
    began = time.time_ns()
    produce(range(3))
    (readings,) = read_until(sources(kafka), enough(3)).readings
    if is_known:
        assert readings.arrived is not None
        assert ((readings.arrived >= began - 10**9) & (readings.arrived <= time.time_ns() + 10**9)).all()
    else:
        assert readings.arrived is None
