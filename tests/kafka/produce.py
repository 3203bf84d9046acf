"""Writes messages to a Kafka topic: a recording at a chosen speed, or a load of so many rows a second.

python tests/kafka/produce.py deploy/demo/recording.csv.gz --speed 60
python tests/kafka/produce.py --systems 10 --variables 38 --rate 1000 --seconds 60

One message is one row of one system; the key is the system, so that its rows stay in order.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from kafka import KafkaProducer

from stream.decode import encode_row
from stream.errors import TocsinError
from stream.kafka_client import connect
from stream.log_lines import set_up
from stream.settings import ConsumerSettings, FileSettings, KafkaSettings
from stream.sources.file import FileSource


class Row(NamedTuple):
    """due: seconds after the start when it is to be written."""

    due: float
    system: str
    message: bytes


def recording(path: Path, system: str, *, speed: float, until_now: bool = False) -> Iterator[Row]:
    """The rows of a recording, so many times as fast as they were recorded; 0 is all at once.

    until_now: moves the times so that the last row will be written at its own time, and none comes from the future.
    """
    times, rows, names = _table(path)
    dues = (times - times[0]) / 1e9 / speed if speed else np.zeros(len(times))
    shift = int((time.time() + dues[-1]) * 1e9) - int(times[-1]) if until_now else 0
    for due, ns, values in zip(dues, times, rows, strict=True):
        yield Row(float(due), system, encode_row(system, int(ns) + shift, names, values))


def load(systems: int, variables: int, *, rate: float, seconds: float, seed: int = 0) -> Iterator[Row]:
    """So many rows a second in all, from systems in turn: slow waves with noise, stamped with the time of writing."""
    rng = np.random.default_rng(seed)
    names = [f"part{number // 4}.metric{number % 4}" for number in range(variables)]
    level, period, phase = rng.uniform(1, 100, variables), rng.uniform(20, 200, variables), rng.uniform(0, 6, variables)
    began = time.time()
    for number in range(int(rate * seconds)):
        due = number / rate
        wave = np.sin(due / period * 2 * np.pi + phase) + rng.normal(0, 0.2, variables)
        system = f"system{number % systems}"
        yield Row(due, system, encode_row(system, int((began + due) * 1e9), names, level + wave))


def produce(rows: Iterator[Row], settings: KafkaSettings) -> int:
    """Write the rows when they are due; how many there were. Raises DependencyError."""
    producer: KafkaProducer = connect(KafkaProducer, settings, linger_ms=5, batch_size=256 << 10)
    began, count = time.monotonic(), 0
    try:
        for row in rows:
            ahead = row.due - (time.monotonic() - began)
            if ahead > 0.002:
                time.sleep(ahead)
            producer.send(settings.consumer.topics[0], row.message, row.system.encode())
            count += 1
        producer.flush(timeout=60)
    finally:
        producer.close(timeout=5)
    return count


def _table(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """times (T,) in ns, values (T, D) and names (D,) of a file with one system."""
    source = FileSource(FileSettings(path=str(path)))
    source.start(source.read(0).assigned[0], None)
    readings = []
    while not (batch := source.read(0)).end:
        readings += batch.readings
    readings += batch.readings
    source.close()
    return (
        np.concatenate([part.times for part in readings]),
        np.concatenate([part.values for part in readings]),
        readings[0].names,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a recording, CSV or JSON lines, plain or gzip")
    parser.add_argument("--servers", default="localhost:9092")
    parser.add_argument("--topic", default=KafkaSettings().consumer.topics[0])
    parser.add_argument("--speed", type=float, default=60.0, help="times the recording's own; 0: all at once")
    parser.add_argument("--system", help="its name (the file's)")
    parser.add_argument("--until-now", action="store_true", help="move its times so that it ends now")
    parser.add_argument("--systems", type=int, default=10)
    parser.add_argument("--variables", type=int, default=38)
    parser.add_argument("--rate", type=float, default=1000.0, help="rows a second of all systems together")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    set_up("error", "logfmt")
    settings = KafkaSettings(
        bootstrap_servers=tuple(given.servers.split(",")), consumer=ConsumerSettings(topics=(given.topic,))
    )
    rows = (
        recording(
            given.file, given.system or given.file.name.split(".")[0], speed=given.speed, until_now=given.until_now
        )
        if given.file
        else load(given.systems, given.variables, rate=given.rate, seconds=given.seconds)
    )
    try:
        print(f"{produce(rows, settings):,} rows written to {given.topic}", file=sys.stderr)
    except TocsinError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
