"""`tocsin run` as processes on a real broker: killed, paused, restarted, joined, fenced, stopped; nothing lost, no row
learned twice.

What a disturbed run found and learned is compared with an undisturbed replay of the same messages from a file.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broker import PASSWORD, USER, Broker, free_ports
from comparison import Replay, differences, replay_of
from keeper import Keeper
from killing import kill_somewhere
from process import Process
from stage import ROWS, WAIT_S, Feed, Setting, all_of, rows_of, wait_for_commit, wait_for_rows, wait_until, write_config

from stream import topics
from stream.settings import KafkaSettings

pytestmark = pytest.mark.kafka
KILLS = 30
SERVED_S = 30.0  # from the end of a worker until each of its partitions is read by another
SYSTEMS = ("ship", "shop")
FLEET = ("ship", "shop", "mill", "pump")  # each on a partition of its own
BAD = (b"\xff\xfe no JSON", b'{"system": "shop"}', b'{"system": "shop", "ts": 1, "values": {"a.x": "text"}}', b"[1, 2]")


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


def messages() -> list[bytes]:
    """Rows of two systems in turn, and a few bad messages among them."""
    found = [message for pair in zip(*rows_of(SYSTEMS).values(), strict=True) for message in pair]
    for place, bad in enumerate(BAD):
        found.insert(100 + 50 * place, bad)
    return found


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """The same messages from a file, undisturbed. It compiles the kernels, too, before a process is waited for."""
    return replay_of(messages(), tmp_path_factory.mktemp("replay"))


def test_kills_at_random_moments_lose_no_finding_and_learn_each_row_once(setting, run, replay):
    """As `make soak` does a thousand times: anywhere from the start of the process to the end of its work."""
    feed, chance = Feed(setting, [messages()]), random.Random(5)
    for number in range(KILLS):
        process = run(setting)
        feed.write(len(messages()) // KILLS)
        kill_somewhere(process, chance, begun=number % 2 == 0)
    last = run(setting)
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    assert last.stop() == 0
    assert differences(setting, replay, [len(messages())]) == []
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
        done = (lambda: process.metrics()[ok] == 0) if wrong else (lambda last=before: process.metrics()[when] > last)
        wait_until(done, lambda: "the config was not read again")
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    assert process.stop() == 0
    assert differences(setting, replay, [len(messages())]) == []


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
    feed.write(20)
    wait_for_commit(settings[0], [feed.written] * len(FLEET), timeout_s=SERVED_S)
    wait_for_rows(paused, 20)
    paused.pause()
    feed.write(130)
    wait_for_commit(settings[0], [feed.written] * len(FLEET))
    paused.go_on()
    feed.write_all()
    feed.close()
    wait_for_commit(settings[0], [ROWS] * len(FLEET))
    paused.wait_until_ready()
    assert [first.stop(), paused.stop()] == [0, 0]
    assert differences(settings[0], replay, [ROWS] * len(FLEET)) == []


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
    assert differences(setting, replay, [len(course)]) == []


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
    time.sleep(8.0)  # longer than a session
    log = (tmp_path / "run.log").read_text()
    broker.start()
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    wait_until(lambda: lag(process) == 0, lambda: f"lag {lag(process)}")
    assert process.stop() == 0
    assert differences(setting, replay, [len(messages())]) == []
    assert log.count("Kafka client") <= 3
    assert "level=error" not in log


def lag(process: Process) -> float:
    """Messages not read yet; none known is not none."""
    counts = [count for name, count in process.metrics().items() if name.startswith("tocsin_lag_messages")]
    return sum(counts) if counts else math.inf


def test_a_broker_that_comes_late_is_waited_for_by_whoever_starts_tocsin_again(broker: Broker, setting, run, replay):
    feed = Feed(setting, [messages()])
    feed.write(100)
    broker.kill()
    try:
        assert run(setting).wait(WAIT_S) == 4
    finally:
        broker.start()
    process = run(setting)
    feed.write_all()
    feed.close()
    wait_for_commit(setting, len(messages()))
    assert process.stop() == 0
    assert differences(setting, replay, [len(messages())]) == []


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
