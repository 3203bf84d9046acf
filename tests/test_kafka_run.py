"""`tocsin run` as processes on a real broker: killed, paused, restarted, joined, fenced, stopped; nothing lost, no row
learned twice.

What a disturbed run found and learned is compared with an undisturbed replay of the same messages from a file.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
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
from stream.pipeline import SystemState
from stream.runner import Runner
from stream.settings import FileSettings, KafkaSettings, SnapshotSettings
from stream.sinks.discard import Discard
from stream.sinks.jsonlines import JsonLines
from stream.snapshot import Snapshots
from stream.snapshot_topic import TopicSnapshots
from stream.sources.file import FileSource
from stream.state_reader import state_reader

pytestmark = pytest.mark.kafka
WAIT_S = 60.0
ROWS, SYSTEMS, VARIABLES = 600, ("ship", "shop"), ("a.x", "a.y", "b.x", "b.y")
FLEET = ("ship", "shop", "mill", "pump")  # each on a partition of its own
BAD = (b"\xff\xfe no JSON", b'{"system": "shop"}', b'{"system": "shop", "ts": 1, "values": {"a.x": "text"}}', b"[1, 2]")


@dataclass(frozen=True)
class Setting:
    """One test's config file and what it says."""

    path: Path
    config: Config
    listen: str

    @property
    def topic(self) -> str:
        return self.config.kafka.consumer.topics[0]


@dataclass(frozen=True)
class Replay:
    """What an undisturbed run finds and learns."""

    findings: list[dict[str, Any]]
    state: dict[str, SystemState]
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


def write_config(
    kafka: KafkaSettings,
    folder: Path,
    *,
    instance: str = "tocsin-0",
    every: str = "10ms",
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


def rows_of(systems: Sequence[str]) -> dict[str, list[bytes]]:
    """The messages of each, disturbed where the kills come and later."""
    rng = np.random.default_rng(7)
    values = {system: rng.normal(0, 1, (ROWS, len(VARIABLES))).cumsum(axis=0) * 0.02 + 10 for system in systems}
    for rows in values.values():
        rows[:] += rng.normal(0, 0.1, rows.shape)
        for begin, size in ((150, 8), (300, 16), (480, 24)):
            rows[begin : begin + 4, :2] += size
    return {
        system: [encode_row(system, (1_700_000_000 + row) * 10**9, VARIABLES, rows[row]) for row in range(ROWS)]
        for system, rows in values.items()
    }


def messages() -> list[bytes]:
    """Rows of two systems in turn, and a few bad messages among them."""
    found = [message for pair in zip(*rows_of(SYSTEMS).values(), strict=True) for message in pair]
    for place, bad in enumerate(BAD):
        found.insert(100 + 50 * place, bad)
    return found


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
    return replay_of(messages(), tmp_path_factory.mktemp("replay"))


def replay_of(input_messages: list[bytes], folder: Path) -> Replay:
    (folder / "input.jsonl").write_bytes(b"\n".join(input_messages) + b"\n")
    pipeline, decides = make_pipeline(Config())
    snapshots = Snapshots(SnapshotSettings(directory=str(folder / "state")), config_hash=decides)
    source = FileSource(FileSettings(path=str(folder / "input.jsonl"), time_unit="iso"))
    Runner(source, pipeline, [JsonLines(str(folder / "found.jsonl"))], Discard(), snapshots=snapshots).run()
    state = snapshots.load("input.jsonl")
    assert state is not None
    assert state.position == len(input_messages)
    found = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
    return Replay(found, state.systems, decides)


def assert_like_the_replay(setting: Setting, replay: Replay, ends: Sequence[int]) -> None:
    """Every finding is there, and the state is that of each row learned once. ends: of each partition."""
    assert {finding["kind"] for finding in replay.findings} >= {"verdict", "trigger", "incident"}
    assert told(findings(setting)) == told(replay.findings)
    store = TopicSnapshots(setting.config.kafka, setting.config.snapshot, config_hash=replay.config_hash)
    mine: dict[str, SystemState] = {}
    for number, end in enumerate(ends):
        snapshot = store.load(f"{setting.topic}-{number}")
        assert snapshot is not None
        assert snapshot.position == end
        mine |= snapshot.systems | store.fetch(f"{setting.topic}-{number}", tuple(snapshot.evicted))
    store.close()
    assert store.passed_over.keys() <= {"outdated"}  # what the paused one may have written when it woke
    assert mine.keys() == replay.state.keys()
    for name, wanted in replay.state.items():
        assert mine[name].plain == wanted.plain
        assert mine[name].arrays.keys() == wanted.arrays.keys()
        arrays = mine[name].arrays
        assert not [part for part in wanted.arrays if arrays[part].tobytes() != wanted.arrays[part].tobytes()]


def wait_for_rows(process: Process, count: int) -> None:
    """Until the process has learned so many rows since its start."""
    deadline = time.monotonic() + WAIT_S
    while (rows := process.metrics().get("tocsin_rows_total", 0.0)) < count:
        assert process.is_running(), "tocsin run ended"
        assert time.monotonic() < deadline, f"{rows} rows"
        time.sleep(0.02)


def wait_for_commit(setting: Setting, count: int, *, partitions: int = 1) -> None:
    """Until so many messages of each partition are done with, for good."""
    consumer: Any = connect(KafkaConsumer, setting.config.kafka, group_id=setting.config.kafka.consumer.group)
    where, deadline = [TopicPartition(setting.topic, n) for n in range(partitions)], time.monotonic() + WAIT_S
    while {*(offsets := [consumer.committed(partition) for partition in where])} != {count}:
        assert time.monotonic() < deadline, f"committed {offsets}"
        time.sleep(0.05)
    consumer.close(autocommit=False)


def test_kills_at_random_moments_lose_no_finding_and_learn_each_row_once(setting, run, replay):
    chance = random.Random(5)
    feed = Feed(setting, [messages()])
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
    assert_like_the_replay(setting, replay, [len(messages())])
    kept = all_of(setting, topics.dead_letter_topics(setting.config.kafka)[setting.topic])
    assert {(record.key, record.value) for record in kept} == {(b"key", bad) for bad in BAD}


def test_reloads_in_mid_stream_lose_nothing_and_wrong_configs_change_nothing(setting, run, replay):
    feed, process = Feed(setting, [messages()]), run(setting)
    process.wait_until_ready()
    document = json.loads(setting.path.read_text())
    ok, when = "tocsin_config_last_reload_successful", "tocsin_config_last_reload_success_timestamp_seconds"
    for number, wrong in enumerate(({}, {"seed": 5}, {"nonsense": 1}, {})):
        feed.write(250)
        wait_for_rows(process, 250 * number + 1)
        before = process.metrics()[when]
        document["snapshot"]["every"] = f"{20 + number}ms"
        setting.path.write_text(json.dumps({**document, **wrong}))
        process.reload()
        wait_until(process, lambda seen, bad=bool(wrong), before=before: seen[ok] == 0 if bad else seen[when] > before)
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    assert process.stop() == 0
    assert_like_the_replay(setting, replay, [len(messages())])


def wait_until(process: Process, is_so: Callable[[dict[str, float]], bool]) -> None:
    """Until its metrics are so."""
    deadline = time.monotonic() + WAIT_S
    while not is_so(process.metrics()):
        assert process.is_running() and time.monotonic() < deadline
        time.sleep(0.02)


def test_state_moves_with_its_partitions_between_workers_that_share_no_disk(create_topics, run, tmp_path):
    """1 worker, then 3; then one is killed, and one paused so long that it loses its partitions; then 2."""
    kafka, settings = create_topics(len(FLEET)), []
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
        settings.append(write_config(kafka, tmp_path / f"{number}", instance=f"tocsin-{number}"))
    courses = rows_of(FLEET)
    replay = replay_of([message for course in courses.values() for message in course], tmp_path)
    feed = Feed(settings[0], list(courses.values()))
    first = run(settings[0])
    first.wait_until_ready()
    feed.write(160)
    wait_for_rows(first, 100)
    killed, paused = run(settings[1]), run(settings[2])
    feed.write(150)
    for process in (killed, paused):
        process.wait_until_ready()
    feed.write(60)
    wait_for_rows(killed, 20)
    killed.kill()
    wait_for_rows(paused, 20)
    paused.pause()
    feed.write(130)
    wait_for_commit(settings[0], feed.written, partitions=len(FLEET))
    paused.go_on()
    feed.write_all()
    feed.close()
    wait_for_commit(settings[0], ROWS, partitions=len(FLEET))
    paused.wait_until_ready()
    assert [first.stop(), paused.stop()] == [0, 0]
    assert_like_the_replay(settings[0], replay, [ROWS] * len(FLEET))


def test_systems_leave_memory_and_come_back_whoever_is_killed(create_topics, run, tmp_path):
    """Four systems in turn, of which one may be in memory; killed twice, and handed over at the end."""
    kafka, few = create_topics(1), {"max_systems_in_memory": 1}
    setting = write_config(kafka, tmp_path, snapshot=few)
    courses = [rows_of(FLEET)[name] for name in FLEET]
    turns = [course[begin : begin + 75] for begin in range(0, ROWS, 75) for course in courses]
    course = [message for turn in turns for message in turn]
    replay = replay_of(course, tmp_path)
    feed = Feed(setting, [course])
    for _ in range(2):
        process = run(setting)
        process.wait_until_ready()
        feed.write(800)
        wait_for_rows(process, 500)
        process.kill()
    last = run(setting)
    last.wait_until_ready()
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(course))
    counts = last.metrics()
    assert counts["tocsin_systems_evicted_total"] > 4 < counts["tocsin_systems_restored_total"]
    assert counts["tocsin_systems"] == len(FLEET) > counts["tocsin_systems_in_memory"]
    assert last.stop() == 0
    assert_like_the_replay(setting, replay, [len(course)])


def test_who_gives_up_a_partition_saves_it_and_the_next_owner_reads_nothing_twice(create_topics, run, tmp_path):
    kafka, settings = create_topics(2), []
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        settings.append(write_config(kafka, tmp_path / f"{number}", instance=f"tocsin-{number}", every="1h"))
    feed = Feed(settings[0], list(rows_of(SYSTEMS).values()))
    first = run(settings[0])
    first.wait_until_ready()
    feed.write(100)
    wait_for_rows(first, 200)
    second = run(settings[1])
    second.wait_until_ready()
    feed.write(50)
    wait_for_rows(second, 50)
    wait_for_rows(first, 250)
    assert [process.metrics()["tocsin_rows_total"] for process in (first, second)] == [250, 50]
    assert [first.stop(), second.stop()] == [0, 0]
    assert (tmp_path / "run.log").read_text().count("partition handed over") == 1


def test_a_broker_restart_is_told_in_few_words_and_costs_nothing(broker: Broker, setting, run, replay, tmp_path):
    feed = Feed(setting, [messages()])
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
    assert_like_the_replay(setting, replay, [len(messages())])
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
