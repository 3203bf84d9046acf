"""`tocsin run` as a process on a real broker: killed, restarted, fenced, stopped; nothing lost, no row learned twice.

What a disturbed run found and learned is compared with an undisturbed replay of the same messages from a file.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broker import PASSWORD, USER, Broker, free_ports
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from keeper import Keeper
from process import Process

from stream import topics
from stream.assembly import make_pipeline
from stream.config import Config, load
from stream.decode import encode_row
from stream.kafka_client import connect
from stream.runner import Runner
from stream.settings import FileSettings, KafkaSettings, SnapshotSettings
from stream.sinks.discard import Discard
from stream.sinks.jsonlines import JsonLines
from stream.snapshot import Snapshot, Snapshots
from stream.sources.file import FileSource

pytestmark = pytest.mark.kafka
WAIT_S = 60.0
ROWS, SYSTEMS, VARIABLES = 600, ("ship", "shop"), ("a.x", "a.y", "b.x", "b.y")
BAD = (b"\xff\xfe no JSON", b'{"system": "shop"}', b'{"system": "shop", "ts": 1, "values": {"a.x": "text"}}', b"[1, 2]")


@dataclass(frozen=True)
class Setting:
    """One test's config file and what it says."""

    path: Path
    config: Config
    listen: str

    @property
    def partition(self) -> str:
        return f"{self.config.kafka.consumer.topics[0]}-0"


@dataclass(frozen=True)
class Replay:
    """What an undisturbed run finds and learns."""

    findings: list[dict[str, Any]]
    state: Snapshot
    config_hash: str


@pytest.fixture
def setting(create_topics: Callable[..., KafkaSettings], tmp_path: Path) -> Setting:
    return write_config(create_topics(), tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Setting], Process]]:
    """Starts `tocsin run`; whatever still runs at the end is killed."""
    keeper, started = Keeper(), []

    def start(setting: Setting) -> Process:
        with (tmp_path / "run.log").open("ab") as log:
            started.append(Process(setting.path, setting.listen, keeper, log=log))
        return started[-1]

    yield start
    for process in started:
        if process.is_running():
            process.kill()
    keeper.close()


def write_config(kafka: KafkaSettings, folder: Path, **changes: Any) -> Setting:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    document = {
        "kafka": {
            "bootstrap_servers": list(kafka.bootstrap_servers),
            "connect_timeout": "5s",
            "consumer": {
                "topics": list(kafka.consumer.topics),
                "group": kafka.consumer.group,
                "instance_id": "tocsin-0",
                "max_poll_records": 20,  # so that a kill finds it between many snapshots
            },
            "producer": {"verdicts": kafka.producer.verdicts, "incidents": kafka.producer.incidents},
            **changes,
        },
        "snapshot": {"directory": str(folder / "state"), "every": "10ms"},
        "autoencoder": {"enabled": False},
        "http": {"listen": listen},
    }
    path = folder / "tocsin.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    return Setting(path, load(str(path)), listen)


def messages() -> list[bytes]:
    """Rows of two systems in turn, disturbed where the kills come and later, and a few bad messages among them."""
    rng = np.random.default_rng(7)
    values = {system: rng.normal(0, 1, (ROWS, len(VARIABLES))).cumsum(axis=0) * 0.02 + 10 for system in SYSTEMS}
    for rows in values.values():
        rows[:] += rng.normal(0, 0.1, rows.shape)
        for begin, size in ((150, 8), (300, 16), (480, 24)):
            rows[begin : begin + 4, :2] += size
    found = [
        encode_row(system, (1_700_000_000 + row) * 10**9, VARIABLES, values[system][row])
        for row in range(ROWS)
        for system in SYSTEMS
    ]
    for place, bad in enumerate(BAD):
        found.insert(100 + 50 * place, bad)
    return found


class Feed:
    """Writes the messages to the input topic, some at a time."""

    def __init__(self, setting: Setting) -> None:
        self._topic = setting.config.kafka.consumer.topics[0]
        self._producer = connect(KafkaProducer, setting.config.kafka)
        self._left = messages()

    def write(self, count: int) -> None:
        now, self._left = self._left[:count], self._left[count:]
        for message in now:
            self._producer.send(self._topic, message, b"key", partition=0)
        self._producer.flush(timeout=WAIT_S)

    def write_all(self) -> None:
        self.write(len(self._left))

    def close(self) -> None:
        self._producer.close(timeout=1)


def all_of(setting: Setting, topic: str) -> list[Any]:
    """Every record of a topic with one partition."""
    consumer: Any = connect(KafkaConsumer, setting.config.kafka, group_id=None, enable_auto_commit=False)
    where = TopicPartition(topic, 0)
    consumer.assign([where])
    consumer.seek(where, 0)
    end, found = consumer.end_offsets([where])[where], []
    while consumer.position(where) < end:
        found += consumer.poll(timeout_ms=100).get(where, [])
    consumer.close(autocommit=False)
    return found


def findings(setting: Setting) -> list[dict[str, Any]]:
    producer = setting.config.kafka.producer
    return [json.loads(r.value) for topic in (producer.verdicts, producer.incidents) for r in all_of(setting, topic)]


def told(documents: list[dict[str, Any]]) -> set[str]:
    """What was found, free of repeats and of what a live run adds: the clock, and where it was read."""
    private = ("observed_at", "source")
    return {json.dumps({k: v for k, v in d.items() if k not in private}, sort_keys=True) for d in documents}


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """The same messages from a file, undisturbed. It compiles the kernels, too, before a process is waited for."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "input.jsonl").write_bytes(b"\n".join(messages()) + b"\n")
    pipeline, decides = make_pipeline(Config())
    snapshots = Snapshots(SnapshotSettings(directory=str(folder / "state")), config_hash=decides)
    source = FileSource(FileSettings(path=str(folder / "input.jsonl"), time_unit="iso"))
    Runner(source, pipeline, [JsonLines(str(folder / "found.jsonl"))], Discard(), snapshots=snapshots).run()
    state = snapshots.load("input.jsonl")
    assert state is not None
    return Replay([json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()], state, decides)


def assert_like_the_replay(setting: Setting, replay: Replay) -> None:
    """Every finding is there, and the state is that of each row learned once."""
    assert {finding["kind"] for finding in replay.findings} >= {"verdict", "trigger", "incident"}
    assert told(findings(setting)) == told(replay.findings)
    mine = Snapshots(setting.config.snapshot, config_hash=replay.config_hash).load(setting.partition)
    assert mine is not None
    assert mine.position == replay.state.position == len(messages())
    assert mine.systems.keys() == replay.state.systems.keys() == set(SYSTEMS)
    for name in SYSTEMS:
        ours, wanted = mine.systems[name], replay.state.systems[name]
        assert ours.plain == wanted.plain
        assert ours.arrays.keys() == wanted.arrays.keys()
        different = [part for part in wanted.arrays if ours.arrays[part].tobytes() != wanted.arrays[part].tobytes()]
        assert not different


def wait_for_rows(process: Process, count: int) -> None:
    """Until the process has learned so many rows since its start."""
    deadline = time.monotonic() + WAIT_S
    while (rows := process.metrics().get("tocsin_rows_total", 0.0)) < count:
        assert process.is_running(), "tocsin run ended"
        assert time.monotonic() < deadline, f"{rows} rows"
        time.sleep(0.02)


def wait_for_commit(setting: Setting, count: int) -> None:
    """Until so many messages are done with, for good."""
    consumer: Any = connect(KafkaConsumer, setting.config.kafka, group_id=setting.config.kafka.consumer.group)
    where, deadline = TopicPartition(setting.config.kafka.consumer.topics[0], 0), time.monotonic() + WAIT_S
    while (offset := consumer.committed(where)) != count:
        assert time.monotonic() < deadline, f"committed {offset}"
        time.sleep(0.05)
    consumer.close(autocommit=False)


def test_kills_at_random_moments_lose_no_finding_and_learn_each_row_once(setting, run, replay):
    chance = random.Random(5)
    feed = Feed(setting)
    for _ in range(3):
        process = run(setting)
        process.wait_until_ready()
        feed.write(300)
        wait_for_rows(process, chance.randrange(1, 250))
        time.sleep(chance.uniform(0.0, 0.05))
        assert process.kill() == -9
    last = run(setting)
    last.wait_until_ready()
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    assert last.stop() == 0
    assert_like_the_replay(setting, replay)
    kept = all_of(setting, topics.dead_letter_topics(setting.config.kafka)[setting.config.kafka.consumer.topics[0]])
    assert {(record.key, record.value) for record in kept} == {(b"key", bad) for bad in BAD}


def test_a_broker_restart_is_told_in_few_words_and_costs_nothing(broker: Broker, setting, run, replay, tmp_path):
    feed = Feed(setting)
    process = run(setting)
    process.wait_until_ready()
    feed.write(606)  # to the midst of a disturbance
    wait_for_rows(process, 500)
    broker.kill()
    time.sleep(2.0)
    log = (tmp_path / "run.log").read_text()
    broker.start()
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    assert process.stop() == 0
    assert_like_the_replay(setting, replay)
    assert log.count("Kafka client") <= 3
    assert "level=error" not in log


def test_a_second_process_with_one_instance_id_ends_the_first_with_1(setting, run, tmp_path):
    (tmp_path / "second").mkdir()
    first = run(setting)
    first.wait_until_ready()
    second = run(write_config(setting.config.kafka, tmp_path / "second"))
    second.wait_until_ready()
    assert first.wait(WAIT_S) == 1
    assert "instance id tocsin-0" in (tmp_path / "run.log").read_text()
    assert second.stop() == 0


def test_what_is_wrong_at_start_is_told_within_10_s_with_exit_code_4(broker: Broker, kafka, run, tmp_path):
    right = {"security_protocol": "SASL_PLAINTEXT", "bootstrap_servers": [broker.sasl_servers]}
    sasl = {"mechanism": "PLAIN", "username": USER, "password": PASSWORD}
    wrong = {
        "ECONNREFUSED": {**right, "sasl": sasl, "bootstrap_servers": [f"127.0.0.1:{free_ports(1)[0]}"]},
        "password": {**right, "sasl": {**sasl, "password": "no"}},
        "has no topic": {**right, "sasl": sasl},
    }
    began, started = time.monotonic(), []
    for reason, changes in wrong.items():
        folder = tmp_path / reason
        folder.mkdir()
        started.append(run(write_config(kafka, folder, **changes)))
    assert [process.wait(WAIT_S) for process in started] == [4, 4, 4]
    assert time.monotonic() - began < 30  # 10 s for each, and they share the machine
    log = (tmp_path / "run.log").read_text()
    assert all(reason in log for reason in wrong)
    assert "Traceback" not in log
    assert "Unable to bootstrap" not in log
