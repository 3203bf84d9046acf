"""`tocsin state inspect`: what is kept of each partition, on a directory and in the topic, and nothing is changed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMonitor, row
from kafka import KafkaProducer

from stream.assembly import check
from stream.cli import main
from stream.config import load
from stream.errors import ConfigError, InputError
from stream.event_time import from_text
from stream.eviction import Evicted
from stream.inspection import Expected
from stream.inspection_directory import inspect_directory
from stream.inspection_topic import inspect_topic
from stream.kafka_client import connect
from stream.pipeline import Pipeline, SystemState
from stream.settings import KafkaSettings, SnapshotSettings
from stream.snapshot import MANIFEST, Snapshots
from stream.snapshot_topic import TopicSnapshots
from stream.state_reader import state_reader
from stream.topics import state_topic

PARTITION = "telemetry.metrics.v1-0"


def states(rows: int, systems: tuple[str, ...] = ("shop",)) -> dict[str, SystemState]:
    pipeline = Pipeline(FakeMonitor)
    for place, system in enumerate(systems):  # no two alike, or the topic would keep them once
        pipeline.process([row(n, n, {"a": place, "b": 2.0}, system=system, partition=PARTITION) for n in range(rows)])
    return dict(pipeline.state(PARTITION))


def save(folder: Path, position: int, rows: int, *, config_hash: str = "c", partition: str = PARTITION) -> None:
    store = Snapshots(SnapshotSettings(directory=str(folder)), config_hash=config_hash)
    store.save(partition, position, states(rows, ("shop", "ship")))


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def everything_in(folder: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(f): (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns) for f in files}


def test_a_directory_tells_what_each_snapshot_holds_newest_first_and_stays_as_it_is(tmp_path):
    save(tmp_path, 60, 40)
    save(tmp_path, 100, 70)
    save(tmp_path, 7, 5, config_hash="d", partition="other/topic-3")
    before = everything_in(tmp_path)
    found = inspect_directory(tmp_path, Expected("c", warmup_rows=50))
    told = [(s.partition, s.generation, s.position, s.status, s.config_matches, s.schema_version) for s in found]
    assert told == [
        ("other/topic-3", 1, 7, "whole", False, 3),
        (PARTITION, 2, 100, "whole", True, 3),
        (PARTITION, 1, 60, "whole", True, 3),
    ]
    assert [(s.name, s.variables, s.rows, s.is_warm) for s in found[1].systems] == [
        ("shop", 2, 70, True),
        ("ship", 2, 70, True),
    ]
    assert [s.is_warm for s in found[2].systems] == [False, False]
    folder = tmp_path / PARTITION / "00000002"
    assert found[1].bytes == sum(file.stat().st_size for file in folder.iterdir())
    assert found[1].saved_at is not None
    assert abs(from_text(found[1].saved_at) - (folder / MANIFEST).stat().st_mtime_ns) < 1_000_000
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("0.state", b"x", "0.state: the checksum differs"),
        ("1.json", None, "1.json: No such file or directory"),
        (MANIFEST, b"[1]", "MANIFEST.json: TypeError"),
    ],
)
def test_what_is_damaged_is_shown_as_that(tmp_path, file, content, reason):
    save(tmp_path, 60, 40)
    path = tmp_path / PARTITION / "00000001" / file
    path.write_bytes(content) if content else path.unlink()
    (found,) = inspect_directory(tmp_path, Expected())
    assert (found.status, found.systems) == ("damaged", ())
    assert reason in found.detail


def test_a_system_that_left_memory_is_shown_with_its_rows(tmp_path):
    store = Snapshots(SnapshotSettings(directory=str(tmp_path)), config_hash="c")
    store.save(PARTITION, 60, states(40, ("shop", "ship")), leaving={"ship": Evicted(last=39)})
    (found,) = inspect_directory(tmp_path, Expected())
    shown = [(system.name, system.rows) for system in found.systems]
    assert (found.status, shown) == ("whole", [("shop", 40), ("ship", 40)])


def test_a_newer_one_is_shown_as_that_and_its_systems_are_not_read(tmp_path):
    save(tmp_path, 60, 40)
    change_manifest(tmp_path / PARTITION / "00000001", schema_version=9)
    (found,) = inspect_directory(tmp_path, Expected())
    assert (found.status, found.schema_version, found.position) == ("newer_version", 9, 60)
    assert found.detail == "schema version 9; this version reads up to 3"


def test_the_command_prints_tables_or_json_and_its_code_tells_of_damage(tmp_path, capsys):
    state, config = tmp_path / "state", tmp_path / "c.yml"
    config.write_text(f"source: {{kind: file}}\nsnapshot: {{directory: {state}}}\n")
    save(state, 60, 40, config_hash=check(load(str(config))))
    assert main(["state", "inspect", str(state)]) == 0
    text = capsys.readouterr().out
    assert PARTITION in text
    assert "shop" in text
    assert "?" in text  # nobody told what the configuration is
    assert main(["state", "inspect", "--config", str(config), "--output", "json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["config_matches"] is True
    assert [system["is_warm"] for system in told["systems"]] == [False, False]
    (state / PARTITION / "00000001" / "0.json").write_bytes(b"x")
    assert main(["state", "inspect", str(state)]) == 3
    assert "damaged: 0.json: the checksum differs" in capsys.readouterr().out


def test_a_name_that_looks_like_markup_is_printed_as_it_is(tmp_path, capsys):
    save(tmp_path, 1, 1, partition="[red]-0")
    assert main(["state", "inspect", str(tmp_path)]) == 0
    assert "[red]-0" in capsys.readouterr().out


def test_nowhere_to_look_is_told(tmp_path, capsys):
    with pytest.raises(InputError, match="there is no directory"):
        inspect_directory(tmp_path / "none", Expected())
    assert main(["state", "inspect"]) == ConfigError.exit_code
    assert "needs a DIRECTORY of snapshots or a --config" in capsys.readouterr().err
    assert main(["state", "inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no snapshots\n"


def end_of(kafka: KafkaSettings) -> list[int]:
    """Records of the state topic, by partition: what a claim or a save would add to."""
    with state_reader(kafka) as reader:
        numbers = range(reader.partitions(state_topic(kafka)))
        return [len(list(reader.records(state_topic(kafka), number))) for number in numbers]


@pytest.fixture
def store(create_topics: Callable[..., KafkaSettings], kafka: KafkaSettings) -> Any:
    create_topics(2)
    opened = TopicSnapshots(kafka, SnapshotSettings(), config_hash="c")
    yield opened
    opened.close()


@pytest.mark.kafka
def test_the_topic_tells_owner_claim_position_and_systems_and_stays_as_it_is(store, kafka):
    first, second = (f"{kafka.consumer.topics[0]}-{number}" for number in range(2))
    store.load(first)
    store.load(second)
    store.save(first, 70, states(70, ("shop", "ship")))
    before = end_of(kafka)
    whole, claimed = inspect_topic(kafka, "", Expected("d", warmup_rows=50))
    assert (whole.partition, whole.position, whole.status, whole.config_matches) == (first, 70, "whole", False)
    assert [(s.name, s.rows, s.is_warm) for s in whole.systems] == [("shop", 70, True), ("ship", 70, True)]
    assert whole.bytes >= sum(system.bytes for system in whole.systems) > 500
    assert "process" in whole.owner
    assert whole.saved_at is not None
    assert (claimed.partition, claimed.status, claimed.position) == (second, "claimed", None)
    assert end_of(kafka) == before


@pytest.mark.kafka
def test_a_topics_damaged_and_newer_snapshots_are_shown_as_that(store, kafka):
    partition = f"{kafka.consumer.topics[0]}-1"
    store.load(partition)
    store.save(partition, 70, states(70))
    (owned,) = store._owned.values()
    producer = connect(KafkaProducer, kafka)

    def write(what: str, value: bytes | None) -> None:
        producer.send(state_topic(kafka), value, owned.key(what).encode(), partition=1).get(10)

    with state_reader(kafka) as reader:
        records = list(reader.records(state_topic(kafka), 1))
    manifest = next(json.loads(r.value) for r in reversed(records) if r.key == owned.key("manifest").encode())
    write("manifest", json.dumps({**manifest, "schema_version": 9}).encode())
    (newer,) = inspect_topic(kafka, "", Expected())
    assert (newer.status, newer.detail) == (
        "newer_version",
        "schema version 9; this version reads up to 3",
    )
    write("manifest", b"{")
    (damaged,) = inspect_topic(kafka, "", Expected())
    assert damaged.status == "damaged"
    assert "Expecting property name" in damaged.detail
    store.save(partition, 71, states(71))
    write(next(iter(owned.written)).hex(), None)
    (damaged,) = inspect_topic(kafka, "", Expected())
    assert "is missing" in damaged.detail
    producer.close(timeout=1)


@pytest.mark.kafka
def test_a_snapshot_of_another_number_of_partitions_says_so(store, kafka):
    partition = f"{kafka.consumer.topics[0]}-0"
    store.load(partition)
    next(iter(store._owned.values())).counted = 3
    store.save(partition, 70, states(70))
    (found,) = inspect_topic(kafka, "", Expected())
    assert found.detail == "of a topic with 3 partitions, and it has 2 now"


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_told(kafka):
    with pytest.raises(InputError, match=r"has no topic .*-state; `tocsin topics create` makes it"):
        inspect_topic(kafka, "", Expected())
