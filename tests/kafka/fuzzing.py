"""Bad records among the valid rows of two systems, through `tocsin run` on a real broker: what became of each of them.

Every bad one must be counted by its reason and kept byte for byte; what is learned and found must be what the valid
rows alone lead to.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bad_records import Fuzz, Record
from comparison import Replay, findings, learned, replay_of, state_hash, told
from kafka import KafkaProducer
from process import Process
from stage import WAIT_S, Setting, rows_of, wait_for_commit

from stream import topics
from stream.kafka_client import connect
from stream.state_reader import state_reader

SYSTEMS = ("ship", "shop")
ROWS = 600
CONSUMER = {"max_message": "64KiB", "max_poll_records": 2000}


@dataclass
class Sent:
    """By offset: of each bad record a hash of its bytes, and its family."""

    bad: dict[int, int] = field(default_factory=dict)
    families: Counter[str] = field(default_factory=Counter)
    count: int = 0


@dataclass(frozen=True)
class Result:
    reasons: dict[str, int]  # rejected, by what /metrics says
    families: Counter[str]
    faults: list[str]  # none, if all is as it should be
    seconds: float


def fuzz(setting: Setting, process: Process, folder: Path, *, records: int, seed: int) -> Result:
    """Sends so many bad records to a process that runs, waits until all are done with, stops it and looks."""
    valid = [message for row in zip(*rows_of(SYSTEMS, ROWS).values(), strict=True) for message in row]
    replay = replay_of(valid, folder)
    process.wait_until_ready()
    began = time.monotonic()
    sent = _send(setting, mixed(valid, Fuzz(valid, seed), records))
    wait_for_commit(setting, sent.count, timeout_s=WAIT_S + records / 500)
    seconds = time.monotonic() - began
    metrics = process.metrics()
    faults = [] if process.stop() == 0 else ["tocsin run did not end well"]
    start = 'tocsin_rejects_total{reason="'
    reasons = {name[len(start) : -2]: int(count) for name, count in metrics.items() if name.startswith(start) and count}
    faults += _miscounted(sent, reasons, metrics, len(valid)) + _other_letters(setting, sent)
    faults += _poisoned(setting, replay, sent.count)
    return Result(reasons, sent.families, faults, seconds)


def mixed(valid: list[bytes], fuzz: Fuzz, records: int) -> Iterator[Record]:
    """The first row of each system, and then the others at even distances among the bad records."""
    rows = iter(valid)
    yield from (Record("valid", b"key", next(rows)) for _ in SYSTEMS)
    for number, record in enumerate(fuzz.records(records)):
        yield record
        if (number + 1) * len(valid) // records > number * len(valid) // records:
            yield from (Record("valid", b"key", row) for row in islice(rows, 1 + len(valid) // records))
    yield from (Record("valid", b"key", row) for row in rows)


def _send(setting: Setting, records: Iterator[Record]) -> Sent:
    sent = Sent()
    producer: Any = connect(KafkaProducer, setting.config.kafka, linger_ms=20, batch_size=256 << 10)
    for offset, (family, key, value) in enumerate(records):
        producer.send(setting.topic, value, key, partition=0)
        sent.count += 1
        if family != "valid":
            sent.families[family] += 1
            sent.bad[offset] = hash((key, value or b""))
        if offset % 10_000 == 9_999:
            producer.flush(timeout=WAIT_S)
    producer.flush(timeout=WAIT_S)
    producer.close(timeout=1)
    return sent


def _miscounted(sent: Sent, reasons: dict[str, int], metrics: dict[str, float], valid: int) -> list[str]:
    faults = []
    if sum(reasons.values()) != len(sent.bad):
        faults.append(f"{len(sent.bad)} bad records were sent, and {sum(reasons.values())} counted: {reasons}")
    if metrics["tocsin_rows_total"] != valid:
        faults.append(f"{metrics['tocsin_rows_total']:g} rows were learned, and not {valid}")
    return faults


def _other_letters(setting: Setting, sent: Sent) -> list[str]:
    """Whether there is one dead letter for each bad record, with its key and its bytes."""
    topic, left, odd = topics.dead_letter_topics(setting.config.kafka)[setting.topic], dict(sent.bad), Counter[str]()
    with state_reader(setting.config.kafka) as reader:
        for letter in reader.records(topic, 0):
            headers = {name: value.decode() for name, value in letter.headers}
            wanted = left.pop(int(headers["tocsin_offset"]), None)
            if wanted != hash((letter.key, letter.value or b"")):
                odd[headers["tocsin_reason"]] += 1
    faults = [f"dead letters with other bytes, or twice: {dict(odd)}"] if odd else []
    return faults + ([f"{len(left)} bad records have no dead letter"] if left else [])


def _poisoned(setting: Setting, replay: Replay, end: int) -> list[str]:
    faults = [] if told(findings(setting)) == told(replay.findings) else ["other findings than of the valid rows alone"]
    same = state_hash(learned(setting, replay, [end])) == state_hash(replay.state)
    return faults if same else [*faults, "another state than that of the valid rows alone"]
