"""`tocsin dlq`: dead letters are listed with their reasons, and go back to where they came from, each once."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from stream.cli import main
from stream.dead_letter_topics import TopicLetters
from stream.dead_letters import FileLetters, Letter, each_once
from stream.errors import DependencyError
from stream.kafka_client import connect
from stream.replay_letters import BATCH, HEADER, KafkaPostman, replay
from stream.settings import KafkaSettings
from stream.sinks.jsonlines import RejectLines
from stream.sinks.kafka import KafkaDeadLetters
from stream.sources.protocol import Reject
from stream.state_reader import state_reader
from stream.topics import dead_letter_topics

TOPIC = "telemetry.metrics.v1"


def letter(offset: int, *, topic: str = TOPIC, reason: str = "not_json", value: bytes = b"{") -> Letter:
    return Letter("kept", f"0@{offset}", reason, "a test", topic, 0, offset, b"key", value)


class Keeper:
    """Letters in memory. dies: remember() is never reached."""

    def __init__(self, letters: Sequence[Letter], *, dies: bool = False) -> None:
        self.kept = list(letters)
        self.dies = dies
        self.done: set[str] = set()

    def replayed(self) -> set[str]:
        return set(self.done)

    def letters(self) -> Iterator[Letter]:
        return iter(self.kept)

    def remember(self, letters: Sequence[Letter]) -> None:
        if self.dies:
            raise DependencyError("away")
        self.done |= {one.id for one in letters}


class Post:
    """Takes everything but values that say "large"."""

    def __init__(self) -> None:
        self.sent: list[Letter] = []

    def send(self, letters: Sequence[Letter]) -> list[Letter]:
        refused = [one for one in letters if one.value == b"large"]
        self.sent += [one for one in letters if one not in refused]
        return refused


def test_a_letter_is_replayed_once_however_often_it_is_kept_and_asked_for():
    keeper, post = Keeper([letter(1), letter(2), letter(1)]), Post()
    assert replay(keeper, post, topics=[TOPIC]) == {"sent": 2}
    assert replay(keeper, post, topics=[TOPIC]) == {"before": 2}
    keeper.kept.append(letter(9))
    assert replay(keeper, post, topics=[TOPIC]) == {"before": 2, "sent": 1}
    assert [one.offset for one in post.sent] == [1, 2, 9]


def test_another_message_at_the_same_place_is_another_letter():
    """A topic was made anew, so that its offsets begin again."""
    assert len(list(each_once([letter(1), letter(1, value=b"[")]))) == 2


def test_only_what_is_chosen_is_sent_the_oldest_first():
    keeper, post = Keeper([letter(n, reason=("late", "not_json")[n % 2]) for n in range(10)]), Post()
    assert replay(keeper, post, topics=[TOPIC], reasons=["late"], limit=2) == {"sent": 2}
    assert replay(keeper, post, topics=[TOPIC], reasons=["late"], limit=2) == {"before": 2, "sent": 2}
    assert [one.offset for one in post.sent] == [0, 2, 4, 6]


def test_a_dry_run_counts_and_sends_and_remembers_nothing():
    keeper = Keeper([letter(n) for n in range(BATCH + 1)])
    assert replay(keeper, None, topics=[TOPIC]) == {"sent": BATCH + 1}
    assert not keeper.done


def test_letters_of_other_topics_and_refused_ones_are_counted_and_not_remembered():
    keeper, post = Keeper([letter(1, topic="shop.csv"), letter(2, value=b"large"), letter(3)]), Post()
    assert replay(keeper, post, topics=[TOPIC]) == {"elsewhere": 1, "refused": 1, "sent": 1}
    assert keeper.done == {letter(3).id}


def test_a_death_before_it_is_remembered_repeats_one_batch_at_most():
    keeper, post = Keeper([letter(n) for n in range(2 * BATCH)], dies=True), Post()
    with pytest.raises(DependencyError):
        replay(keeper, post, topics=[TOPIC])
    assert len(post.sent) == BATCH
    keeper.dies = False
    replay(keeper, post, topics=[TOPIC])
    assert len(post.sent) == 3 * BATCH


REJECTS = [
    Reject("not_json", "no JSON", f"{TOPIC}-0", 3, b"shop", b"\xff{"),
    Reject("late", "5 s older", f"{TOPIC}-1", 4, None, b'{"ts": 1}'),
    Reject("late", "6 s older", f"{TOPIC}-1", 5, b"\xfe", b'{"ts": 2}'),
]


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "in.rejects.jsonl"
    keeper = RejectLines(str(path))
    keeper.write(REJECTS)
    keeper.flush()
    keeper.close()
    return path


@pytest.fixture
def config(tmp_path) -> str:
    path = tmp_path / "c.yml"
    path.write_text(f"sinks: {{dead_letters: jsonlines, rejects_path: {tmp_path / 'in.rejects.jsonl'}}}\n")
    return str(path)


def same(letters: Sequence[Letter], rejects: Sequence[Reject]) -> None:
    found = [
        (one.reason, one.detail, f"{one.topic}-{one.partition}", one.offset, one.key, one.value) for one in letters
    ]
    assert found == [(r.reason, r.detail, r.partition, r.offset, r.key, r.value) for r in rejects]


def test_a_file_gives_back_what_was_rejected_and_remembers_what_was_replayed(file, caplog):
    with file.open("ab") as more:
        more.write(b'{"reason": "la')  # torn by a crash
    keeper = FileLetters(str(file))
    letters = list(keeper.letters())
    same(letters, REJECTS)
    assert "not a dead letter" in caplog.text
    keeper.remember(letters[:1])
    keeper.remember(letters[2:])
    assert FileLetters(str(file)).replayed() == {letters[0].id, letters[2].id}


def test_the_list_counts_by_reason_and_shows_the_newest(file, config, capsys):
    keeper = FileLetters(str(file))
    keeper.remember(list(keeper.letters())[1:2])
    assert main(["dlq", "list", "--config", config, "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == [
        {"topic": TOPIC, "reason": "late", "count": 2, "replayed": 1},
        {"topic": TOPIC, "reason": "not_json", "count": 1, "replayed": 0},
    ]
    assert [one["offset"] for one in told["letters"]] == [3, 4, 5]
    assert told["letters"][0]["first_bytes"] == "\\xff{"
    assert [one["replayed"] for one in told["letters"]] == [False, True, False]
    assert main(["dlq", "list", str(file), "--config", config, "--limit", "1", "--reason", "late"]) == 0
    text = capsys.readouterr().out
    assert "2  telemetry.metrics.v1  late (1 replayed)" in text
    assert "telemetry.metrics.v1-1@5" in text
    assert "@3" not in text
    assert "@4" not in text


def test_a_letter_does_not_steer_the_terminal(tmp_path, config, capsys):
    keeper = RejectLines(str(tmp_path / "in.rejects.jsonl"))
    keeper.write([Reject("late", "\x1b[2J", f"{TOPIC}-0", 1, None, b"\x1b]0;x\x07\n")])
    keeper.flush()
    keeper.close()
    assert main(["dlq", "list", "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[-2:] == [r"    \x1b[2J", r"    \x1b]0;x\x07\n  (7 bytes)"]


def test_what_a_file_cannot_be_is_told(tmp_path, config, capsys):
    assert main(["dlq", "list", "--config", config]) == 1
    assert "there is no file" in capsys.readouterr().err
    assert main(["dlq", "list", "--config", config, "--reason", "rude"]) == 2
    assert "--reason must be one of not_json, " in capsys.readouterr().err
    assert main(["dlq", "list", "--config", config, "--limit", "0"]) == 2
    (tmp_path / "none.yml").write_text("sinks: {dead_letters: none}")
    assert main(["dlq", "list", "--config", str(tmp_path / "none.yml")]) == 2
    assert "no dead letters are kept" in capsys.readouterr().err


def records(kafka: KafkaSettings, topic: str) -> list[Any]:
    with state_reader(kafka) as reader:
        return [record for n in range(reader.partitions(topic)) for record in reader.records(topic, n)]


@pytest.fixture
def kept(create_topics: Callable[..., KafkaSettings]) -> KafkaSettings:
    """Two partitions of input, and three letters of them, one of them kept twice."""
    kafka = create_topics(2)
    keeper = KafkaDeadLetters(kafka)
    topic = kafka.consumer.topics[0]
    rejects = [Reject(r.reason, r.detail, r.partition.replace(TOPIC, topic), r.offset, r.key, r.value) for r in REJECTS]
    keeper.write([*rejects, rejects[1]])
    keeper.flush()
    keeper.close()
    return kafka


def write_config(kafka: KafkaSettings, folder: Path) -> str:
    consumer = {"topics": list(kafka.consumer.topics), "group": kafka.consumer.group}
    path = folder / "kafka.yml"
    path.write_text(json.dumps({"kafka": {"bootstrap_servers": list(kafka.bootstrap_servers), "consumer": consumer}}))
    return str(path)


@pytest.mark.kafka
def test_letters_of_a_topic_go_back_once_to_their_partition_with_their_key_and_bytes(kept, tmp_path, capsys):
    config, topic = write_config(kept, tmp_path), kept.consumer.topics[0]
    assert main(["dlq", "replay", "--config", config, "--dry-run"]) == 0
    assert capsys.readouterr().out == "3 would be sent\n"
    assert records(kept, topic) == []
    assert main(["dlq", "replay", "--config", config, "--reason", "late", "--limit", "1"]) == 0
    assert capsys.readouterr().out == "1 sent\n"
    assert main(["dlq", "replay", "--config", config, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "sent": 2,
        "before": 1,
        "elsewhere": 0,
        "refused": 0,
    }
    assert main(["dlq", "replay", "--config", config]) == 0
    assert capsys.readouterr().out == "0 sent; 3 replayed before\n"
    wanted = {(int(r.partition[-1]), r.key, r.value) for r in REJECTS}
    back = records(kept, topic)
    assert len(back) == 3
    assert {(record.partition, record.key, record.value) for record in back} == wanted
    assert {dict(record.headers)[HEADER].decode() for record in back} == TopicLetters(
        kept, dead_letter_topics(kept)[topic]
    ).replayed()
    main(["dlq", "list", "--config", config, "--output", "json"])
    told = json.loads(capsys.readouterr().out)
    assert {count["reason"]: (count["count"], count["replayed"]) for count in told["counts"]} == {
        "late": (2, 2),
        "not_json": (1, 1),
    }


@pytest.mark.kafka
def test_a_file_of_a_kafka_source_goes_back_too(create_topics, tmp_path, capsys):
    kafka = create_topics(2)
    path, topic = tmp_path / "rejects.jsonl", kafka.consumer.topics[0]
    keeper = RejectLines(str(path))
    keeper.write(
        [Reject("late", "late", f"{topic}-1", 4, b"shop", b"x"), Reject("late", "late", "in.csv", 4, None, b"y")]
    )
    keeper.flush()
    keeper.close()
    for told in ("1 sent; 1 of no topic of this config\n", "0 sent; 1 replayed before; 1 of no topic of this config\n"):
        assert main(["dlq", "replay", str(path), "--config", write_config(kafka, tmp_path)]) == 0
        assert capsys.readouterr().out == told
    assert [(r.partition, r.key, r.value) for r in records(kafka, topic)] == [(1, b"shop", b"x")]


@pytest.mark.kafka
def test_what_the_cluster_refuses_is_told_and_the_rest_goes(create_topics):
    kafka = create_topics(2, **{"max.message.bytes": "1000"})
    topic = kafka.consumer.topics[0]
    post = KafkaPostman(kafka, [topic])
    letters = [
        letter(1, topic=topic),
        letter(2, topic=topic, value=random.Random(0).randbytes(2000)),
        letter(3, topic=topic),
    ]
    assert post.send(letters) == [letters[1]]
    assert post.send(letters[:1]) == []
    post.close()
    assert [len(record.value) for record in records(kafka, topic)] == [1, 1, 1]


@pytest.mark.kafka
def test_a_letter_of_a_partition_that_is_gone_goes_where_its_key_says(create_topics):
    kafka = create_topics(1)
    topic = kafka.consumer.topics[0]
    post = KafkaPostman(kafka, [topic])
    moved = Letter("kept", "0@0", "late", "", topic, 7, 1, b"shop", b"x")
    assert post.send([moved]) == []
    post.close()
    assert [record.partition for record in records(kafka, topic)] == [0]


@pytest.mark.kafka
def test_what_others_put_among_the_letters_is_listed_and_sent_nowhere(create_topics):
    kafka = create_topics(1)
    kept_in = dead_letter_topics(kafka)[kafka.consumer.topics[0]]
    producer = connect(KafkaProducer, kafka)
    producer.send(kept_in, b"x").get(10)
    producer.close(timeout=1)
    keeper = TopicLetters(kafka, kept_in)
    (found,) = keeper.letters()
    assert (found.reason, found.topic, found.value) == ("unknown", "", b"x")
    assert replay(keeper, Post(), topics=kafka.consumer.topics) == {"elsewhere": 1}
