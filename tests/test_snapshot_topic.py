"""Snapshots in a real compacted topic: whole or not at all, the newest owner's, little written for little change."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from stream.errors import StateError
from stream.eviction import Evicted
from stream.kafka_client import connect
from stream.pipeline import SystemState
from stream.settings import KafkaSettings, SnapshotSettings
from stream.snapshot_topic import TopicSnapshots
from stream.state_reader import state_reader
from stream.topics import state_topic

pytestmark = pytest.mark.kafka
ROWS = 2_000
Open = Callable[..., TopicSnapshots]


@pytest.fixture
def stores(create_topics: Callable[..., KafkaSettings]) -> Iterator[Open]:
    """Opens stores over one topic, each a process of its own."""
    kafka, opened = create_topics(2), []

    def open_store(config_hash: str = "c", **options: Any) -> TopicSnapshots:
        opened.append(TopicSnapshots(kafka, SnapshotSettings(**options), config_hash=config_hash))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def partition(kafka: KafkaSettings) -> str:
    return f"{kafka.consumer.topics[0]}-1"


def state(rows: int) -> SystemState:
    """The last ROWS rows of a series of which so many were seen, in order and as a ring by columns."""
    seen = np.random.default_rng(0).normal(size=(rows, 8))
    ring = np.zeros((8, ROWS))
    ring[:, np.arange(rows - ROWS, rows) % ROWS] = seen[-ROWS:].T
    return SystemState(
        {"rows": rows, "note": [1, None, "x"]}, {"history": seen[-ROWS:], "ring": ring, "flag": np.array(True)}
    )


def systems(rows: int) -> dict[str, SystemState]:
    return {"shop": state(rows), "ship": state(2 * rows)}


def records(kafka: KafkaSettings) -> list[Any]:
    with state_reader(kafka) as reader:
        return list(reader.records(state_topic(kafka), 1))


def live(kafka: KafkaSettings) -> dict[str, bytes]:
    """What compaction would leave."""
    found = {record.key.decode(): record.value for record in records(kafka)}
    return {key: value for key, value in found.items() if value is not None}


def write(kafka: KafkaSettings, key: str, value: bytes | None) -> None:
    producer = connect(KafkaProducer, kafka)
    producer.send(state_topic(kafka), value, key.encode(), partition=1).get(10)
    producer.close(timeout=1)


def manifest_key(kafka: KafkaSettings) -> str:
    """Of the newest owner."""
    return max((key for key in live(kafka) if key.endswith("/manifest")), key=lambda key: int(key.split("/")[1]))


def assert_holds(store: TopicSnapshots, partition: str, rows: int, position: int) -> None:
    found = store.load(partition)
    assert found is not None
    assert found.position == position
    assert found.systems.keys() == {"shop", "ship"}
    for name, wanted in systems(rows).items():
        assert found.systems[name].plain == wanted.plain
        assert found.systems[name].arrays.keys() == wanted.arrays.keys()
        for key, array in wanted.arrays.items():
            assert found.systems[name].arrays[key].dtype == array.dtype
            np.testing.assert_array_equal(found.systems[name].arrays[key], array)


def test_the_next_owner_finds_what_was_saved_and_nothing_of_other_partitions(stores, partition):
    first = stores()
    assert first.load(partition) is None
    first.save(partition, 7, systems(3_000))
    assert_holds(stores(), partition, 3_000, 7)
    assert stores().load(partition.replace("-1", "-0")) is None


def test_a_small_change_writes_little_and_what_is_not_needed_is_deleted(stores, partition, kafka):
    store = stores()
    store.load(partition)
    whole = store.save(partition, 1, systems(3_000))
    assert whole.written > whole.bytes / 2  # each series is in it twice
    later = store.save(partition, 2, systems(3_030))
    assert later.written < later.bytes / 5
    kept = sum(map(len, live(kafka).values()))
    store.save(partition, 3, systems(9_000))
    assert sum(map(len, live(kafka).values())) < 1.1 * kept
    assert_holds(stores(), partition, 9_000, 3)


def test_only_the_systems_that_changed_are_asked_for(stores, partition):
    store = stores()
    store.load(partition)
    store.save(partition, 1, systems(3_000))

    class OnlyShop(dict[str, SystemState]):
        def __getitem__(self, name: str) -> SystemState:
            assert name == "shop"
            return super().__getitem__(name)

    store.save(partition, 2, OnlyShop(systems(3_000)), changed={"shop"})
    assert_holds(stores(), partition, 3_000, 2)


def fetched(store: TopicSnapshots, partition: str, name: str) -> dict[str, Any]:
    state = store.fetch(partition, [name])[name]
    return {"plain": state.plain, **{key: array.tobytes() for key, array in state.arrays.items()}}


def wanted(rows: int) -> dict[str, Any]:
    return {"plain": state(rows).plain, **{key: array.tobytes() for key, array in state(rows).arrays.items()}}


def test_a_system_that_left_is_found_again_and_handed_over(stores, partition, kafka):
    store = stores()
    store.load(partition)
    store.save(partition, 1, systems(3_000))
    store.save(partition, 2, systems(3_000), changed=(), leaving={"ship": Evicted(17, True)})
    for turn in range(3):  # and others move on
        store.save(partition, 3 + turn, {"shop": state(3_030 + turn)}, changed={"shop"})
    assert fetched(store, partition, "ship") == wanted(6_000)
    second = stores()
    found = second.load(partition)
    assert (found.position, found.systems.keys(), found.evicted) == (5, {"shop"}, {"ship": Evicted(17, True)})
    assert fetched(second, partition, "ship") == wanted(6_000)
    second.save(partition, 6, {"shop": state(3_100)})
    assert {key.split("/")[1] for key in live(kafka)} == {str(second._owned[partition].claim), "claim"}
    assert fetched(second, partition, "ship") == wanted(6_000)
    second.save(partition, 7, systems(3_200))  # it is back
    found = stores().load(partition)
    assert (found.systems.keys(), found.evicted) == ({"shop", "ship"}, {})


def test_it_is_found_without_its_offset_and_told_where_a_piece_is_missing(stores, partition):
    store = stores()
    store.load(partition)
    store.save(partition, 1, systems(3_000), leaving={"ship": Evicted(17)})
    kept = store._owned[partition].kept["ship"]
    assert kept.offset is not None
    kept.offset = None
    assert fetched(store, partition, "ship") == wanted(6_000)
    kept.pieces = bytes(len(kept.pieces))
    with pytest.raises(StateError, match="system ship: a piece is missing"):
        store.fetch(partition, ["ship"])
    assert store.passed_over["damaged"] == 1


def test_a_former_owner_that_wakes_deletes_nothing_that_the_new_one_kept(stores, partition):
    old = stores()
    old.load(partition)
    old.save(partition, 1, systems(3_000), leaving={"ship": Evicted(17)})
    new = stores()
    new.load(partition)
    old.save(partition, 2, systems(3_300))  # it was paused, and does not know: ship is back there
    assert fetched(new, partition, "ship") == wanted(6_000)
    new.save(partition, 5, {"shop": state(3_500)})
    old.save(partition, 3, systems(3_400))
    last = stores()
    assert last.load(partition).evicted == {"ship": Evicted(17)}
    assert fetched(last, partition, "ship") == wanted(6_000)


def test_a_new_owner_clears_away_the_old_one_with_its_first_save(stores, partition, kafka):
    for turn in range(3):
        store = stores()
        store.load(partition)
        store.save(partition, turn, systems(3_000))
    assert len({key.split("/")[1] for key in live(kafka)} - {"claim"}) == 1


def test_a_process_that_was_replaced_overwrites_nothing(stores, partition, kafka):
    old, new = stores(), stores()
    old.load(partition)
    old.save(partition, 1, systems(3_000))
    assert_holds(new, partition, 3_000, 1)
    new.save(partition, 5, systems(3_500))
    old.save(partition, 3, systems(3_200))  # it was paused, and does not know
    last = stores()
    assert_holds(last, partition, 3_500, 5)
    assert last.passed_over == {"outdated": 1}
    last.save(partition, 6, systems(3_600))
    again = stores()
    assert_holds(again, partition, 3_600, 6)
    assert not again.passed_over


def test_a_death_before_the_manifest_leaves_the_snapshot_before_it(stores, partition, kafka):
    first = stores()
    first.load(partition)
    first.save(partition, 1, systems(3_000))
    whole = manifest_key(kafka)
    second = stores()
    second.load(partition)
    sent, second._outbox.send = second._outbox.send, lambda *a, **k: None if b"manifest" in a[1] else sent(*a, **k)
    second._clean = lambda *ignored: None
    second.save(partition, 2, systems(3_300))
    assert manifest_key(kafka) == whole
    assert_holds(stores(), partition, 3_000, 1)


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_one_is_passed_over_loudly_for_the_owners_before(stores, partition, kafka, caplog, damage):
    first, second = stores(), stores()
    first.load(partition)
    first.save(partition, 1, systems(3_000))
    second.load(partition)
    second._clean = lambda *ignored: None
    second.save(partition, 2, systems(3_300))
    claim = manifest_key(kafka).split("/")[1]
    piece = next(key for key in live(kafka) if f"/{claim}/" in key and "manifest" not in key)
    write(kafka, piece, None if damage == "gone" else b"x")
    third = stores()
    assert_holds(third, partition, 3_000, 1)
    assert third.passed_over["damaged"] == 1
    assert "snapshot damaged" in caplog.text


def test_if_all_are_damaged_somebody_must_decide(stores, partition, kafka):
    store = stores()
    store.load(partition)
    store.save(partition, 1, systems(3_000))
    for nonsense in (b"{", b"[1]"):
        write(kafka, manifest_key(kafka), nonsense)
        with pytest.raises(StateError, match=r"are damaged .* another snapshot.topic starts fresh"):
            stores().load(partition)


def test_state_of_another_configuration_or_version_is_not_used(stores, partition, kafka, caplog):
    store = stores()
    store.load(partition)
    store.save(partition, 1, systems(3_000))
    other = stores("d")
    assert other.load(partition) is None
    assert other.passed_over["other_config"] == 1
    assert "another configuration" in caplog.text
    with pytest.raises(StateError, match=r"of another configuration \(c, this is d\)"):
        stores("d", other_config="refuse").load(partition)
    key = manifest_key(kafka)
    write(kafka, key, json.dumps({**json.loads(live(kafka)[key]), "schema_version": 99}).encode())
    with pytest.raises(StateError, match="has schema version 99; this version of tocsin reads up to 3"):
        stores().load(partition)


def test_a_changed_number_of_partitions_is_refused_until_somebody_decides(stores, partition, kafka):
    store = stores()
    store.load(partition)
    store.save(partition, 1, systems(3_000))
    admin = connect(KafkaAdminClient, kafka)
    admin.create_partitions({kafka.consumer.topics[0]: 3})
    with pytest.raises(StateError, match=rf"has 3 partitions, and {state_topic(kafka)}, .* 2: give it as many"):
        stores().load(partition)
    admin.create_partitions({state_topic(kafka): 3})
    admin.close()
    refusing = stores()
    with pytest.raises(StateError, match="is of a topic with 2 partitions, and it has 3 now"):
        refusing.load(partition)
    assert refusing.passed_over["other_partitions"] == 1
    willing = stores(other_partitions="fresh")
    assert willing.load(partition) is None
    willing.save(partition, 9, systems(3_000))
    assert_holds(stores(), partition, 3_000, 9)


def test_a_compacted_log_holds_what_is_needed(create_topics, partition):
    eager = {"segment.ms": "200", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "200"}
    kafka = create_topics(2, **eager, **{"delete.retention.ms": "0"})
    store = TopicSnapshots(kafka, SnapshotSettings(), config_hash="c")
    store.load(partition)
    rows, deadline = 3_000, time.monotonic() + 60
    while len(left := records(kafka)) > left[-1].offset / 2:  # until the broker has thrown away half of it
        assert time.monotonic() < deadline, len(left)
        rows += 500
        store.save(partition, rows, systems(rows))
    last = TopicSnapshots(kafka, SnapshotSettings(), config_hash="c")
    assert_holds(last, partition, rows, rows)
    for opened in (store, last):
        opened.close()
