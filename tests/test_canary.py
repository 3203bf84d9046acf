"""The canary: its anomalies are made when they can be seen, timed until the sinks have them, and page nobody."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import fakes
import numpy as np
import pytest
from comparison import findings
from fakes import SECOND, Broker, FakeClock, FakeMonitor, ListSource
from kafka import KafkaProducer
from keeper import Keeper
from process import Process
from prometheus_client import CollectorRegistry
from stage import write_config

from stream.assembly import check, make_pipeline
from stream.canary import Canary, CanaryRow
from stream.canary_rows import RARE, VARIABLES, row
from stream.canary_thread import CanaryThread
from stream.config import Config, load
from stream.errors import ConfigError, DependencyError
from stream.kafka_client import connect
from stream.metrics import Metrics
from stream.pipeline import Outcome, Pipeline
from stream.records import IncidentRecord, VerdictRecord
from stream.settings import CanarySettings, IncidentSettings, KafkaSettings
from stream.sources.protocol import Batch, Readings
from stream.state_reader import state_reader

EVERY, NAME = 5.0, "tocsin-canary"
SETTINGS = CanarySettings(enabled=True, every=EVERY, anomaly_every=RARE * EVERY, deadline=60.0)


class House:
    """A canary, its monitor and sinks that take flush_s; a row's time passes with each step."""

    def __init__(self, *, flush_s: float = 2.0, partitions: tuple[str, ...] = ("t-0",)) -> None:
        self.clock, self.registry = FakeClock(), CollectorRegistry()
        self.clock.now -= self.clock.now % SETTINGS.anomaly_every  # so that an anomaly is due at once
        self.canary = Canary(SETTINGS, "g", self.registry, clock=self.clock)
        self.pipeline, _ = make_pipeline(Config())
        self.source = ListSource(Broker({partition: [] for partition in partitions}))
        self.partitions: Mapping[str, int | None] = dict.fromkeys(partitions)
        self.flush_s, self.is_flushing = flush_s, True
        self.rows: list[CanaryRow] = []
        self.outcomes: list[Outcome] = []

    def step(self, rows: int = 1) -> None:
        for _ in range(rows):
            self.clock.sleep(EVERY - self.flush_s)
            made = self.canary.next_row()
            if made is not None:
                self.rows.append(made)
                self._process(made)
            self.clock.sleep(self.flush_s)
            if self.is_flushing:
                self.canary.on_flush(0.0)
            self.canary.on_turn(self)

    def _process(self, made: CanaryRow) -> None:
        times, offsets = np.array([made.time]), np.array([len(self.rows)])
        readings = Readings(made.system, made.partition, VARIABLES, times, np.array([made.values]), offsets)
        self.outcomes.append(self.pipeline.process([readings]))
        self.canary.on_step(self.outcomes[-1], 0.0)

    def sample(self, name: str) -> float:
        value = self.registry.get_sample_value(f"tocsin_canary_{name}")
        assert value is not None
        return value


def test_its_anomalies_pass_through_a_real_monitor_and_are_timed_until_the_flush():
    house = House()
    house.step(RARE - 1)
    assert house.sample("anomalies_total") == 0  # the first one was due before it was warm
    house.step(2 * RARE)
    assert house.sample("anomalies_total") == house.sample("delay_seconds_count") == 2
    assert house.sample("delay_seconds_sum") == 2 * 2.0
    assert house.sample("missed_total") == 0
    assert house.sample("interval_seconds") == RARE * EVERY
    told = [record for outcome in house.outcomes for record in outcome.records]
    assert {record.system for record in told} == {"tocsin-canary/g/t-0"}
    seen = max(made.time for made in house.rows if made.values[0] < 50) / SECOND
    assert seen - 2 * EVERY <= house.sample("last_seen_timestamp_seconds") <= seen + EVERY
    assert sum(isinstance(record, VerdictRecord) for record in told) <= 2 * 4  # two rows each, and two after them


def test_one_that_does_not_come_in_time_is_missed_once_and_still_timed():
    house = House()
    house.step(RARE - 1)
    began = house.sample("last_seen_timestamp_seconds")
    house.is_flushing = False
    house.step(30)
    assert (house.sample("anomalies_total"), house.sample("missed_total")) == (1, 1)
    assert house.sample("delay_seconds_count") == 0
    assert house.sample("last_seen_timestamp_seconds") == began
    house.is_flushing = True
    house.step(1)
    assert (house.sample("delay_seconds_count"), house.sample("missed_total")) == (1, 1)
    assert house.sample("delay_seconds_sum") > SETTINGS.deadline


def test_without_a_partition_there_is_none_and_with_another_one_it_begins_anew():
    house = House(partitions=())
    house.step(3)
    assert house.rows == []
    assert house.sample("last_seen_timestamp_seconds") == 0
    house.partitions = {"t-10": None, "t-9": None}
    house.step(RARE + 10)
    assert {made.partition for made in house.rows} == {"t-9"}
    assert house.sample("anomalies_total") == 1
    house.is_flushing = False
    house.step(RARE)
    house.partitions = {"t-10": None}
    house.step(40)
    assert house.rows[-1].system == "tocsin-canary/g/t-10"
    assert (house.sample("anomalies_total"), house.sample("missed_total")) == (2, 1)  # it was missed before that


def test_each_slot_is_made_once_and_what_was_slept_through_is_not_made_up():
    house = House()
    house.step(2)
    assert house.canary.next_row() is not None
    assert house.canary.next_row() is None
    house.clock.sleep(10 * EVERY)
    made = [house.canary.next_row() for _ in range(3)]
    assert made[0] is not None
    assert made[1:] == [None, None]
    assert made[0].time % (EVERY * SECOND) == 0
    assert made[0].values == row(round(made[0].time / SECOND / EVERY))
    house.clock.now -= 3600  # the clock is set back
    assert house.canary.next_row() is None


def test_every_rule_flags_its_jump_and_nothing_else():
    """team: in test_its_anomalies_pass above. polling needs partners that move together, majority each variable."""
    values = np.array(
        [row(slot, slot // RARE if slot % RARE < 2 and slot >= RARE else None) for slot in range(RARE + 2)]
    )
    assert np.abs(np.corrcoef(values[:RARE], rowvar=False)).min() > 0.95
    assert (values[RARE] < values[:RARE].min(axis=0) - 5 * np.ptp(values[:RARE], axis=0)).all()


def test_its_incidents_are_suppressed_and_the_totals_leave_it_out():
    pipeline = Pipeline(FakeMonitor, canary=NAME, incidents=IncidentSettings(page_from="info"))
    rows = [fakes.row(n, n, {"a": 20.0}, system=system) for system in (f"{NAME}/g/p", "shop") for n in range(3)]
    outcome = pipeline.process(rows)
    incidents = {record.system: record for record in outcome.records if isinstance(record, IncidentRecord)}
    assert (incidents["shop"].pages, incidents["shop"].suppressed, incidents["shop"].note) == (True, False, "")
    told = incidents[f"{NAME}/g/p"]
    assert (told.pages, told.suppressed, told.note) == (False, True, "suppressed as canary")
    assert len(pipeline) == pipeline.open_incidents == pipeline.paging_incidents == 1
    assert pipeline.standings().keys() == pipeline.warm_ups().keys() == {"shop"}
    progress = pipeline.warm_up_of("p", f"{NAME}/g/p")
    assert progress is not None
    assert progress.rows == 2
    assert len(pipeline.state("p")) == 2  # it is saved like any other
    registry = CollectorRegistry()
    metrics = Metrics(registry, version="0", config_hash="c", canary=NAME)
    metrics.on_read(Batch(rows))
    metrics.on_step(outcome, 0.1)
    names = ("readings_total", "rows_total", "verdicts_total", "incidents_opened_total", "pages_suppressed_total")
    assert [registry.get_sample_value(f"tocsin_{name}") for name in names] == [3, 3, 3, 1, 0]


def test_a_system_of_nearly_the_same_name_pages():
    pipeline = Pipeline(FakeMonitor, canary=NAME)
    records = pipeline.process([fakes.row(n, n, {"a": 20.0}, system=f"{NAME}2") for n in range(3)]).records
    assert all(record.pages for record in records if isinstance(record, IncidentRecord))


class Made:
    """Gives rows, one at each call, and tells when there are no more."""

    def __init__(self, count: int) -> None:
        self.left = [CanaryRow("t-0", "c", n, (0.0, 0.0, 0.0)) for n in range(count)]
        self.is_empty = Event()

    def next_row(self) -> CanaryRow | None:
        if self.left:
            return self.left.pop(0)
        self.is_empty.set()
        return None


class Taken:
    """Takes rows, once the cluster is there."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.times: list[int] = []
        self.is_closed = False

    def put(self, row: CanaryRow) -> None:
        if self.failures:
            self.failures -= 1
            raise DependencyError("away")
        self.times.append(row.time)

    def close(self) -> None:
        self.is_closed = True


def test_the_thread_outlives_an_outage_which_it_tells_once(caplog):
    caplog.set_level(logging.WARNING)
    made, taken = Made(6), Taken(3)
    thread = CanaryThread(made, lambda: taken, every_s=0.004)  # type: ignore[arg-type]
    assert made.is_empty.wait(30)
    thread.close()
    assert taken.times == [3, 4, 5]
    assert taken.is_closed
    assert [record.getMessage() for record in caplog.records] == ["canary not produced"]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="anomaly_every must be at least 360 times every=5s"):
        CanarySettings(anomaly_every=600.0)
    with pytest.raises(ValueError, match="system must be a name without /"):
        CanarySettings(system="a/b")


def test_it_needs_a_kafka_source(tmp_path):
    path = tmp_path / "c.yml"
    path.write_text("source: {kind: file}\ncanary: {enabled: true}\n")
    with pytest.raises(ConfigError, match=r"canary.enabled needs source.kind kafka, got file"):
        check(load(str(path)))


@pytest.fixture
def running(create_topics: Callable[..., KafkaSettings], tmp_path: Path) -> Iterator[Any]:
    """A `tocsin run` whose canary is in a hurry, and its setting."""
    setting, keeper = write_config(create_topics(2), tmp_path), Keeper()
    document = json.loads(setting.path.read_text())
    document["canary"] = {"enabled": True, "every": "50ms", "anomaly_every": "18s", "deadline": "60s"}
    document["snapshot"]["every"] = "1s"
    setting.path.write_text(json.dumps(document))
    with (tmp_path / "run.log").open("ab") as log:
        process = Process(setting.path, setting.listen, keeper, log=log)
    yield process, setting
    if process.is_running():
        process.kill()
    keeper.close()


@pytest.mark.kafka
def test_through_a_real_broker_it_is_seen_timed_and_pages_nobody(running):
    process, setting = running
    process.wait_until_ready()
    producer = connect(KafkaProducer, setting.config.kafka)
    producer.send(setting.topic, b'{"system": "shop", "ts": 1700000000000, "values": {"a": 1}}', b"shop").get(10)
    producer.close(timeout=1)
    deadline = time.monotonic() + 120
    while not (metrics := process.metrics()).get("tocsin_canary_delay_seconds_count"):
        assert process.is_running()
        assert time.monotonic() < deadline, {n: v for n, v in metrics.items() if "canary" in n}
        time.sleep(0.2)
    assert metrics["tocsin_canary_delay_seconds_sum"] < 60
    assert abs(metrics["tocsin_canary_last_seen_timestamp_seconds"] - time.time()) < 60
    assert (metrics["tocsin_canary_missed_total"], metrics["tocsin_pages_suppressed_total"]) == (0, 0)
    assert (metrics["tocsin_systems"], metrics["tocsin_readings_total"]) == (1, 1)
    assert process.stop() == 0
    told = findings(setting)
    assert {finding["kind"] for finding in told} >= {"verdict", "incident"}
    name = f"tocsin-canary/{setting.config.kafka.consumer.group}/{setting.topic}-0"
    assert {finding["system"] for finding in told} == {name}
    incidents = [finding for finding in told if finding["kind"] == "incident"]
    assert all(incident["suppressed"] for incident in incidents)
    assert all("suppressed as canary" in incident["note"] for incident in incidents)
    with state_reader(setting.config.kafka) as reader:
        rows = [json.loads(record.value) for record in reader.records(setting.topic, 0)]
    assert {row["system"] for row in rows} - {"shop"} == {name}
