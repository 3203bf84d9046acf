"""What is away for a minute: the disk of the snapshots, Kafka as output. Nothing is lost, it is told, and it passes.

Alertmanager's own minute is in test_alertmanager_sink.py, a webhook's in test_webhook_sink.py.
"""

import dataclasses
import errno
import json
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
from broker import Broker as KafkaBroker
from fakes import Broker, FakeClock, FakeMonitor, ListRejects, ListSink, ListSource, row
from prometheus_client import CollectorRegistry

from stream.metrics import Metrics
from stream.pipeline import Pipeline
from stream.runner import Runner
from stream.settings import SnapshotSettings
from stream.sinks.kafka import KafkaFindings
from stream.snapshot import Snapshots
from stream.state_reader import state_reader

MINUTE_S = 60.0
TOLD = "dependency away, trying again"


class Outage(FakeClock):
    """Once the pauses have lasted for a minute what is away comes back."""

    def __init__(self, come_back: Callable[[], None]) -> None:
        super().__init__()
        self._come_back = come_back
        self.is_over = False

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if not self.is_over and sum(self.slept) >= MINUTE_S:
            self.is_over = True
            self._come_back()


def course() -> Broker:
    values = [1.0, 1.0, 15.0, *[1.0] * 20, 150.0, 1.0, 20.0, *[1.0] * 14]
    return Broker({"p": [row(place, place, {"a": value}) for place, value in enumerate(values)]})


@pytest.fixture
def undisturbed(tmp_path: Path) -> tuple[Broker, dict[str, str]]:
    broker, pipeline = course(), Pipeline(FakeMonitor)
    Runner(ListSource(broker), pipeline, [ListSink(broker)], ListRejects(broker), clock=FakeClock()).run()
    return broker, fakes.state_of(pipeline)


@dataclasses.dataclass
class Run:
    """A run that waits out an outage, with what it told."""

    broker: Broker
    source: ListSource
    pipeline: Pipeline
    registry: CollectorRegistry

    def failures(self, operation: str) -> float:
        return self.registry.get_sample_value("tocsin_dependency_failures_total", {"operation": operation}) or 0.0


def run(clock: FakeClock, *sinks: Any, snapshots: Snapshots | None = None) -> Run:
    broker, registry = course(), CollectorRegistry()
    source, pipeline = ListSource(broker), Pipeline(FakeMonitor)
    metrics = Metrics(registry, version="test", config_hash="c", clock=clock)
    options: dict[str, Any] = {"snapshots": snapshots, "every_s": 0.0, "clock": clock, "observers": [metrics]}
    Runner(source, pipeline, [ListSink(broker), *sinks], ListRejects(broker), **options).run()
    return Run(broker, source, pipeline, registry)


def assert_nothing_was_lost(ran: Run, undisturbed: tuple[Broker, dict[str, str]]) -> None:
    whole, state = undisturbed
    assert fakes.state_of(ran.pipeline) == state
    assert [finding.id for finding in ran.broker.findings] == [finding.id for finding in whole.findings]
    assert ran.source.reads_while_paused > 0


def test_a_full_disk_pauses_reading_is_told_and_saves_when_there_is_room(tmp_path, undisturbed, monkeypatch, caplog):
    sync, saved = os.fsync, Snapshots(SnapshotSettings(directory=str(tmp_path)), config_hash="c")
    clock = Outage(lambda: None)

    def full(handle: int) -> None:
        if not clock.is_over:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr("os.fsync", full)
    with caplog.at_level(logging.WARNING):
        ran = run(clock, snapshots=saved)
    assert_told_and_saved(ran, saved, caplog, undisturbed)


def test_a_file_system_that_is_really_full_is_no_other_matter(tmp_path, undisturbed, caplog, small_disk):
    filler = small_disk / "filler"
    fill(filler)
    saved = Snapshots(SnapshotSettings(directory=str(small_disk / "state")), config_hash="c")
    with caplog.at_level(logging.WARNING):
        ran = run(Outage(filler.unlink), snapshots=saved)
    assert_told_and_saved(ran, saved, caplog, undisturbed)


def assert_told_and_saved(ran: Run, saved: Snapshots, caplog: Any, undisturbed: Any) -> None:
    assert_nothing_was_lost(ran, undisturbed)
    told = [record.__dict__ for record in caplog.records if record.message == TOLD]
    assert ran.failures("snapshot") == len(told) >= 5
    assert all("No space left on device" in extra["error"] for extra in told)
    kept, state = saved.load("p"), ran.pipeline.state("p")
    assert kept is not None
    assert kept.position == 40
    assert kept.systems["shop"].plain == state["shop"].plain
    assert not [path for path in Path(saved._root).rglob("*.writing")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; only root may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.mark.kafka
def test_kafka_away_as_output_pauses_reading_is_told_and_gets_everything(
    broker: KafkaBroker, create_topics, undisturbed, caplog
):
    kafka = create_topics()
    impatient = dataclasses.replace(kafka.producer, acknowledge_timeout=0.5)
    sink = KafkaFindings(dataclasses.replace(kafka, producer=impatient))
    broker.kill()
    clock = Outage(broker.start)
    try:
        with caplog.at_level(logging.WARNING):
            ran = run(clock, sink)
    finally:
        if not clock.is_over:
            broker.start()
    assert_nothing_was_lost(ran, undisturbed)
    assert ran.failures("flush") >= 5
    assert [record for record in caplog.records if record.message == TOLD]
    with state_reader(kafka) as reader:
        topics = (kafka.producer.verdicts, kafka.producer.incidents)
        kept = {json.loads(record.value)["id"] for topic in topics for record in reader.records(topic, 0)}
    assert kept == {finding.id for finding in undisturbed[0].findings}
