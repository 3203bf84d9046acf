"""Metrics start at 0, count what the runner does, and are served as Prometheus asks."""

import re
import urllib.error
import urllib.request

import pytest
from fakes import Broker, FakeClock, FakeMonitor, ListRejects, ListSink, ListSource, reject, row
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from detectors.online.registry import DETECTORS
from stream.decode import REASONS
from stream.errors import ConfigError, DependencyError
from stream.maintenance import MaintenanceWindow
from stream.metrics import OPERATIONS, Count, Metrics
from stream.pipeline import Pipeline
from stream.runner import Runner
from stream.settings import IncidentSettings, SnapshotSettings
from stream.snapshot import Snapshots
from stream.web import WebServer

VALUES = [1.0, 1.0, 20.0, 150.0, *[1.0] * 15]


def scrape(registry: CollectorRegistry) -> dict[str, float]:
    """Sample name with labels -> value."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {f"{sample.name}{labels(sample.labels)}": sample.value for family in families for sample in family.samples}


def labels(pairs: dict[str, str]) -> str:
    return "{" + ",".join(f"{name}={value}" for name, value in sorted(pairs.items())) + "}" if pairs else ""


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry) -> Metrics:
    counts: dict[str, tuple[str, Count]] = {
        "tocsin_background_dropped_total": ("Rows dropped.", lambda: 3),
        "tocsin_snapshots_passed_over_total": ("Snapshots not used.", lambda: {"damaged": 0, "outdated": 2}),
    }
    return Metrics(registry, version="0.1", config_hash="c", counts=counts, clock=FakeClock())


def test_everything_is_there_at_0(registry, metrics):
    seen = scrape(registry)
    for reason in REASONS:
        assert seen[f"tocsin_rejects_total{{reason={reason}}}"] == 0
    for operation in OPERATIONS:
        assert seen[f"tocsin_dependency_attempts_total{{operation={operation}}}"] == 0
        assert seen[f"tocsin_dependency_failures_total{{operation={operation}}}"] == 0
    for name in ("readings", "rows", "verdicts", "silences", "triggers", "incidents_opened", "incidents_resolved"):
        assert seen[f"tocsin_{name}_total"] == 0
    for name in ("pages", "pages_held", "pages_suppressed"):
        assert seen[f"tocsin_{name}_total"] == 0
    assert seen["tocsin_build_info{version=0.1}"] == 1
    assert seen["tocsin_config_info{hash=c}"] == 1
    assert seen["tocsin_background_dropped_total"] == 3
    assert seen["tocsin_snapshots_passed_over_total{reason=damaged}"] == 0
    assert seen["tocsin_snapshots_passed_over_total{reason=outdated}"] == 2
    for name in DETECTORS:
        assert seen[f"tocsin_detectors_warming{{detector={name}}}"] == 0


def test_names_keep_the_conventions(registry, metrics):
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert re.fullmatch(r"tocsin_[a-z_]+", family.name)
        assert family.documentation.endswith(".")


def test_a_run_is_counted(registry, metrics, tmp_path):
    items = [row(i, i, {"a": value}) for i, value in enumerate(VALUES)]
    broker = Broker({"p": [*items, reject(len(items)), row(len(items) + 1, 3, {"a": 1})]})
    sink, source = ListSink(broker), ListSource(broker)
    sink.failures = [DependencyError("away")] * 2
    runner = Runner(
        source,
        Pipeline(FakeMonitor),
        [sink],
        ListRejects(broker),
        snapshots=Snapshots(SnapshotSettings(directory=str(tmp_path)), config_hash="c"),
        every_s=0.0,
        observers=[metrics],
        clock=FakeClock(),
    )
    runner.run()
    seen = scrape(registry)
    assert seen["tocsin_readings_total"] == len(VALUES) + 1
    assert seen["tocsin_rows_total"] == len(VALUES)
    assert seen["tocsin_verdicts_total"] == 2
    assert seen["tocsin_triggers_total"] == 1
    assert seen["tocsin_incidents_opened_total"] == seen["tocsin_incidents_resolved_total"] == 1
    assert seen["tocsin_incidents_open"] == seen["tocsin_incidents_paging"] == 0
    assert (seen["tocsin_pages_total"], seen["tocsin_pages_held_total"]) == (1, 0)
    assert seen["tocsin_rejects_total{reason=not_json}"] == 1
    assert seen["tocsin_rejects_total{reason=late}"] == 1
    assert seen["tocsin_dependency_failures_total{operation=flush}"] == 2
    assert seen["tocsin_dependency_attempts_total{operation=flush}"] > 2
    assert 0 < seen["tocsin_snapshot_bytes"] <= seen["tocsin_snapshot_written_bytes_total"]
    assert seen["tocsin_restore_duration_seconds_count"] == 1
    assert seen["tocsin_snapshot_timestamp_seconds"] == pytest.approx(1_700_000_000, abs=100)
    assert (
        seen["tocsin_snapshot_duration_seconds_count"] == seen["tocsin_dependency_attempts_total{operation=snapshot}"]
    )
    assert seen["tocsin_lag_messages{partition=p}"] >= 0
    assert (seen["tocsin_systems"], seen["tocsin_systems_in_memory"], seen["tocsin_partitions"]) == (1, 1, 1)
    assert seen["tocsin_newest_row_timestamp_seconds"] == len(VALUES) - 1
    assert seen["tocsin_step_duration_seconds_count"] > 0


def test_pages_are_counted_once_each_whatever_is_told_of_them(registry, metrics):
    windows = (MaintenanceWindow(start="1970-01-01T00:00:40Z", end="1970-01-01T00:01:00Z"),)
    settings = IncidentSettings(quiet_rows=3, pages_per_day=1.0, maintenance=windows)
    values = [15.0, 25.0, *[1.0] * 8] * 6
    pipeline = Pipeline(FakeMonitor, incidents=settings)
    for place, value in enumerate(values):
        metrics.on_step(pipeline.process([row(place, place, {"a": value})]), 0.0)
    seen = scrape(registry)
    told = (seen["tocsin_pages_total"], seen["tocsin_pages_held_total"], seen["tocsin_pages_suppressed_total"])
    assert told == (1, 3, 2)
    assert seen["tocsin_incidents_opened_total"] == 6


def test_muted_detectors_and_the_line_are_told(registry):
    clock = FakeClock()
    metrics = Metrics(registry, version="0.1", config_hash="c", clock=clock)
    broker = Broker({"p": [row(i, i, {"a": 1.0}) for i in range(5)]})
    runner = Runner(
        ListSource(broker), Pipeline(FakeMonitor), [ListSink(broker)], ListRejects(broker), observers=[metrics]
    )
    seen = scrape(registry)
    assert (seen["tocsin_muted_detectors"], seen["tocsin_alert_ratio"]) == (0, 0)
    runner.run()
    clock.sleep(10.0)
    metrics.on_turn(runner)
    seen = scrape(registry)
    assert (seen["tocsin_muted_detectors"], seen["tocsin_line_ratio"], seen["tocsin_alert_ratio"]) == (1, 1.25, 0.002)


def test_silence_and_the_progress_of_warming_are_shown(registry, metrics):
    nothing = {"a": float("nan")}
    broker = Broker({"p": [row(0, 0, {"a": 1.0}), row(1, 1, nothing), row(0, 0, {"a": 1.0}, system="new")]})
    runner = Runner(ListSource(broker), Pipeline(FakeMonitor), [], ListRejects(broker), observers=[metrics])
    runner.run()
    metrics._look(runner)
    seen = scrape(registry)
    assert (seen["tocsin_silences_total"], seen["tocsin_variables_silent"]) == (1, 1)
    assert seen["tocsin_systems_warming"] == 1
    assert seen["tocsin_warmup_progress_ratio"] == 0.5
    assert seen["tocsin_detectors_warming{detector=level}"] == 2


def get(server: WebServer, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_it_is_served_with_health_and_readiness(registry, metrics):
    ready = False
    server = WebServer("127.0.0.1:0", registry, lambda: ready)
    try:
        status, text, kind = get(server, "/metrics")
        assert (status, "tocsin_rows_total 0.0" in text, kind.startswith("text/plain")) == (200, True, True)
        assert get(server, "/-/healthy")[0] == 200
        assert get(server, "/-/ready")[0] == 503
        ready = True
        assert get(server, "/-/ready")[:2] == (200, "tocsin is ready.\n")
        assert get(server, "/nothing")[0] == 404
        with pytest.raises(ConfigError, match=r"cannot listen on .*Address already in use"):
            WebServer(f"127.0.0.1:{server.port}", registry, lambda: True)
    finally:
        server.close()


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:x", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_told(registry, listen):
    with pytest.raises(ConfigError, match="listen"):
        WebServer(listen, registry, lambda: True)
