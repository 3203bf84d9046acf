"""What keeping state in Kafka costs: bytes and seconds of a snapshot, of a first one and of later ones, and a restore.

    python tests/bench/state_cost.py --systems 10 --variables 38 --rows 5000 --between 30

Systems that have seen so many rows are saved to a real broker, then again after each `between` more (30: half a minute
of one row a second), and restored as by another host. The first snapshot is that of a new owner, who writes all. Then
each system leaves memory, and comes back, alone; on a local directory, too.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "kafka"))

from broker import Broker  # noqa: E402

from stream import topics  # noqa: E402
from stream.assembly import make_background, make_pipeline  # noqa: E402
from stream.config import Config  # noqa: E402
from stream.log_lines import set_up  # noqa: E402
from stream.pipeline import Pipeline  # noqa: E402
from stream.settings import KafkaSettings, SnapshotSettings  # noqa: E402
from stream.snapshot import Snapshots  # noqa: E402
from stream.snapshot_store import SnapshotStore  # noqa: E402
from stream.snapshot_topic import TopicSnapshots  # noqa: E402
from stream.sources.protocol import Readings  # noqa: E402
from stream.state_reader import state_reader  # noqa: E402

PARTITION = f"{KafkaSettings().consumer.topics[0]}-0"


class Fleet:
    """Systems of slow waves with noise, one row a second each."""

    def __init__(self, systems: int, variables: int, *, autoencoder: bool) -> None:
        background = make_background(Config(), in_step=True) if autoencoder else None
        if isinstance(background, str):
            raise SystemExit(f"no autoencoder: {background}")
        self.pipeline: Pipeline = make_pipeline(Config(), background=background)[0]
        self._rng = np.random.default_rng(0)
        self._names = tuple(f"part{number // 4}.metric{number % 4}" for number in range(variables))
        self._systems = [f"system{number}" for number in range(systems)]
        self.rows = 0

    def step(self, rows: int) -> None:
        seconds = np.arange(self.rows, self.rows + rows)
        for system in self._systems:
            noise = self._rng.normal(0, 0.2, (rows, len(self._names)))
            waves = np.sin(seconds[:, None] / np.linspace(3, 30, len(self._names)))
            times = (1_700_000_000 + seconds) * 10**9
            self.pipeline.process([Readings(system, PARTITION, self._names, times, waves + noise, seconds)])
        self.rows += rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=int, default=10)
    parser.add_argument("--variables", type=int, default=38)
    parser.add_argument("--rows", type=int, default=5_000, help="seen before the first snapshot")
    parser.add_argument("--between", type=int, default=30, help="rows between two snapshots")
    parser.add_argument("--snapshots", type=int, default=10, help="after the first")
    parser.add_argument("--autoencoder", action="store_true", help="with its models, too")
    given = parser.parse_args()
    set_up("error", "logfmt")
    print(f"{given.systems} systems x {given.variables} variables, {platform.machine()}, {os.cpu_count()} cores")
    fleet = Fleet(given.systems, given.variables, autoencoder=given.autoencoder)
    while fleet.rows < given.rows:
        fleet.step(100)
    with Broker() as broker:
        measure(fleet, KafkaSettings(bootstrap_servers=(broker.servers,)), given)
    return 0


def measure(fleet: Fleet, kafka: KafkaSettings, given: argparse.Namespace) -> None:
    topics.create(kafka, topics.planned(kafka, partitions=1, replication=1))
    first, second = (TopicSnapshots(kafka, SnapshotSettings(), config_hash="bench") for _ in range(2))
    first.load(PARTITION)
    whole = save(first, fleet, given.systems, "first snapshot")
    later = []
    for _ in range(given.snapshots):
        fleet.step(given.between)
        later.append(save(first, fleet, given.systems, f"{given.between} rows later"))
    cost = sum(later) / len(later) / given.between
    print(f"a row each second: {100 * cost:.2f} % of the time, a first snapshot {whole:.2f} s")
    began = time.perf_counter()
    restored = second.load(PARTITION)
    seconds = time.perf_counter() - began
    with state_reader(kafka) as reader:
        size = sum(len(r.value or b"") + len(r.key) for r in reader.records(topics.state_topic(kafka), 0))
    print(f"restored {len(restored.systems) if restored else 0} systems from {size / 1e6:.1f} MB in {seconds:.2f} s")
    come_and_go(second, fleet, "the topic")
    with tempfile.TemporaryDirectory() as folder:
        directory = Snapshots(SnapshotSettings(directory=folder), config_hash="bench")
        directory.save(PARTITION, fleet.rows, fleet.pipeline.state(PARTITION))
        come_and_go(directory, fleet, "a directory")
    for store in (first, second):
        store.close()


def come_and_go(store: SnapshotStore, fleet: Fleet, where: str) -> None:
    """Evict each system with a snapshot of its own, beside one that writes nothing new, and restore it."""
    pipeline, out, back = fleet.pipeline, [], []
    for name in list(pipeline.state(PARTITION)):
        leaving = pipeline.evictable(PARTITION, [name])
        began = time.perf_counter()
        store.save(PARTITION, fleet.rows, pipeline.state(PARTITION), (), leaving)
        pipeline.evict(PARTITION, leaving)
        out.append(time.perf_counter() - began)
        began = time.perf_counter()
        pipeline.restore(PARTITION, store.fetch(PARTITION, [name]))
        back.append(time.perf_counter() - began)
    evicting, restoring = (1e3 * statistics.median(seconds) for seconds in (out, back))
    print(f"{where}: a system is evicted in {evicting:.0f} ms, with the snapshot, and back in {restoring:.0f} ms")


def save(store: TopicSnapshots, fleet: Fleet, systems: int, what: str) -> float:
    """Seconds."""
    began = time.perf_counter()
    saved = store.save(PARTITION, fleet.rows, fleet.pipeline.state(PARTITION))
    seconds = time.perf_counter() - began
    state, written = saved.bytes / systems / 1e3, saved.written / systems / 1e3
    print(f"{what:>15}: {state:6.0f} kB a system, {written:6.0f} kB written, {1e3 * seconds / systems:5.1f} ms")
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
