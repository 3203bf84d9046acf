"""Does `tocsin run` keep up? Writes rows of many systems into a real Kafka, and watches the lag of a real process.

    python tests/bench/kafka_load.py --systems 10 --variables 38 --rate 1000 --seconds 60

Every few seconds: rows learned, lag (messages in the topic and not read yet), CPU of tocsin alone. The exit code is 3
if the lag grew. The broker, the producer and tocsin share this machine: the CPU's share tells more than the seconds.
"""

import argparse
import dataclasses
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "kafka"))

from broker import Broker, free_ports  # noqa: E402
from keeper import Keeper  # noqa: E402
from process import Process  # noqa: E402

from stream import topics  # noqa: E402
from stream.config import load  # noqa: E402

CONFIG = ROOT / "deploy" / "config" / "kafka.yml"
GROWTH_S = 1.0  # seconds of rows: if the lag of the last third is larger than that of the middle by more, it grew


@dataclasses.dataclass(frozen=True)
class Sample:
    """after: seconds since the first row. rows: learned so far. lag: messages not read. cpu_s: of tocsin."""

    after: float
    rows: float
    lag: float
    cpu_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=int, default=10)
    parser.add_argument("--variables", type=int, default=38)
    parser.add_argument("--rate", type=float, default=1000.0, help="rows a second of all systems together")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two lines")
    given = parser.parse_args()
    print(f"{given.systems} systems x {given.variables} variables, {given.rate:g} rows/s for {given.seconds:g} s")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with Broker() as broker:
        samples = measure(given, broker)
    return judge(samples, given.rate)


def measure(given: argparse.Namespace, broker: Broker) -> list[Sample]:
    """Samples from the first row until the last one is written, and one when all are read."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    os.environ.update(TOCSIN_KAFKA=broker.servers, TOCSIN_LISTEN=listen)
    kafka = load(str(CONFIG)).kafka
    topics.create(kafka, topics.planned(kafka, partitions=given.partitions, replication=1))
    keeper = Keeper()
    process = Process(CONFIG, listen, keeper)
    try:
        process.wait_until_ready()
        size = {name: getattr(given, name) for name in ("systems", "variables", "rate", "seconds")}
        options = [word for name, value in size.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "tests/kafka/produce.py", "--servers", broker.servers, *options]
        with subprocess.Popen(command, cwd=ROOT) as producer:
            samples = list(watch(process, producer, given))
        print_metrics(process)
    finally:
        process.stop()
        keeper.close()
    return samples


def watch(process: Process, producer: "subprocess.Popen[bytes]", given: argparse.Namespace) -> Iterator[Sample]:
    while not process.metrics().get("tocsin_rows_total"):
        time.sleep(0.1)
    began, before, total = time.monotonic(), take(process, time.monotonic()), int(given.rate * given.seconds)
    print(f"{'after s':>8} {'rows':>8} {'rows/s':>8} {'lag':>7} {'CPU %':>6}")
    while before.rows < total and before.after < 3 * given.seconds:
        time.sleep(given.every)
        sample, is_over = take(process, began), producer.poll() is not None
        passed = sample.after - before.after
        rate, share = (sample.rows - before.rows) / passed, 100 * (sample.cpu_s - before.cpu_s) / passed
        print(f"{sample.after:8.1f} {sample.rows:8.0f} {rate:8.0f} {sample.lag:7.0f} {share:6.0f}", flush=True)
        if not is_over:
            yield sample
        before = sample


def take(process: Process, began: float) -> Sample:
    metrics = process.metrics()
    lag = sum(value for name, value in metrics.items() if name.startswith("tocsin_lag_messages"))
    return Sample(time.monotonic() - began, metrics["tocsin_rows_total"], lag, process.cpu_s())


def print_metrics(process: Process) -> None:
    """The scrape's own words, without what is zero."""
    kept = (
        "tocsin_readings",
        "tocsin_rows",
        "tocsin_lag",
        "tocsin_verdicts",
        "tocsin_rejects",
        "tocsin_systems",
        "tocsin_snap",
    )
    for name, value in process.metrics().items():
        if name.startswith(kept) and value and "_created" not in name and "_bucket" not in name:
            print(f"  {name} {value:g}")


def judge(samples: list[Sample], rate: float) -> int:
    """0 if the lag did not grow while rows came in, else 3."""
    third = len(samples) // 3
    middle, last = (mean([s.lag for s in part]) for part in (samples[third : 2 * third], samples[2 * third :]))
    grew = last - middle > GROWTH_S * rate
    print(f"lag {middle:.0f} messages in the middle third, {last:.0f} in the last: {'it grew' if grew else 'steady'}")
    return 3 if grew else 0


if __name__ == "__main__":
    raise SystemExit(main())
