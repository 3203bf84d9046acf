"""SIGHUP: what can change does, nothing is lost, and what is wrong changes nothing."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alert_servers import Receiver, free_ports, wait_for
from fakes import FakeClock, FakeMonitor
from keeper import Keeper
from test_alertmanager_sink import incident as page
from test_pipeline import block, incidents

from detectors.block import Block
from detectors.combine.line import LineSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings
from stream.config import Config, load, state_hash
from stream.errors import ConfigError, DependencyError
from stream.pipeline import Pipeline
from stream.reload import Reloader, differing, is_reloadable
from stream.settings import (
    RELOADABLE,
    AlertmanagerSettings,
    HttpTargetSettings,
    IncidentSettings,
    Settings,
    SinkSettings,
    TlsSettings,
    WebhookSettings,
)
from stream.sinks.alertmanager import Alertmanager
from stream.sinks.protocol import Adjustable
from stream.sinks.webhook import Webhook

README = Path(__file__).resolve().parents[1] / "README.md"


class Part:
    """Takes configs, and writes down which."""

    def __init__(self) -> None:
        self.taken: list[Config] = []
        self.fault = ""

    def prepare(self, config: Config) -> Callable[[], None]:
        if self.fault:
            raise DependencyError(self.fault)
        return lambda: self.taken.append(config)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.yml"
    path.write_text("seed: 1\n")
    return path


@pytest.fixture
def reloader(file: Path) -> Reloader:
    reloader = Reloader(str(file))
    reloader.told = []  # type: ignore[attr-defined]
    reloader.tell = reloader.told.append  # type: ignore[attr-defined]
    return reloader


def reload(reloader: Reloader) -> list[bool]:
    reloader.ask(signal.SIGHUP, None)
    reloader.reload_if_asked()
    return reloader.told  # type: ignore[attr-defined]


def test_what_may_change_is_an_option_and_stands_in_the_readme():
    def option(path: str) -> Any:
        found: Any = Config()
        for name in path.split("."):
            found = getattr(found, name)
        return found

    (sentence,) = re.findall(r"What can change that way is (.*?)\. If anything else", README.read_text(), re.S)
    assert {name for name in re.findall(r"`([\w.]+)`", sentence)} == set(RELOADABLE)
    assert all(option(path) is not None for path in RELOADABLE)


def test_it_is_done_once_each_time_it_is_asked_for(reloader, file):
    part = Part()
    reloader.parts = [part.prepare]
    reloader.reload_if_asked()
    file.write_text("seed: 1\nincidents: {page_from: critical}\n")
    reload(reloader)
    reloader.reload_if_asked()
    assert [config.incidents.page_from for config in part.taken] == ["critical"]
    assert reloader.config is part.taken[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 1\nlog: {level: loud}", "c.yml:2: log.level must be one of debug"),
        ("sed: 1", "c.yml:1: unknown option sed; did you mean seed?"),
        (
            "seed: 2\nkafka: {client_id: x, sasl: {password: hidden}}\nlog: {level: debug}",
            "c.yml: a restart is needed to change seed, kafka.client_id, kafka.sasl.password",
        ),
        ("seed: 1\nsinks: {kinds: [kafka, jsonlines]}", "c.yml: a restart is needed to change sinks.kinds"),
        ("seed: 1\nmonitor: {warmup_rows: 9}", "c.yml: a restart is needed to change monitor.warmup_rows"),
        ("seed: 1\nhttp: {web_config_file: /nowhere}", "cannot read web config /nowhere"),
    ],
)
def test_what_is_wrong_or_needs_a_restart_is_told_and_changes_nothing(reloader, file, caplog, text, told):
    part, before = Part(), reloader.config
    reloader.parts = [part.prepare]
    file.write_text(text)
    assert reload(reloader) == [False]
    assert told in caplog.records[-1].error and "hidden" not in caplog.text
    assert (part.taken, reloader.config) == ([], before)
    file.write_text("seed: 1\nlog: {level: debug}")
    assert reload(reloader) == [False, True] and len(part.taken) == 1


def test_a_part_that_cannot_take_it_keeps_the_others_as_they_are(reloader, file, caplog):
    first, second = Part(), Part()
    second.fault = "the other end is away"
    reloader.parts = [first.prepare, second.prepare]
    file.write_text("seed: 1\nsnapshot: {every: 3s}\n")
    assert reload(reloader) == [False]
    assert first.taken == second.taken == []
    assert caplog.records[-1].error == "the other end is away"


def test_a_graph_whose_file_changed_needs_a_restart(tmp_path, caplog):
    graph, file = tmp_path / "graph.csv", tmp_path / "c.yml"
    graph.write_text("cause,effect\na,b\n")
    file.write_text(f"graph: {graph}\n")
    reloader = Reloader(str(file))
    graph.write_text("cause,effect\na,b\nb,c\n")
    reloader.ask()
    reloader.reload_if_asked()
    assert "a restart is needed to change graph" in caplog.records[-1].error


def test_options_that_differ_are_named_in_full():
    other = Config(seed=3, monitor=MonitorSettings(line=LineSettings(budget_per_1000_rows=2.0)))
    assert list(differing(Config(), other)) == ["seed", "monitor.line.budget_per_1000_rows"]
    assert not is_reloadable("logs") and not is_reloadable("snapshot")


def test_state_outlives_a_change_of_what_may_change_and_no_other():
    config = Config()
    line = dataclasses.replace(config.monitor, line=LineSettings(damped=False))
    kept = dataclasses.replace(config, incidents=IncidentSettings(quiet_rows=3), monitor=line)
    assert state_hash(kept) == state_hash(config) != state_hash(dataclasses.replace(config, seed=1))
    other = dataclasses.replace(config, monitor=MonitorSettings(warmup_rows=51))
    assert len({state_hash(config), state_hash(other), state_hash(config, [("a", "b")])}) == 3


def test_incidents_take_other_rules_and_what_is_open_goes_on():
    pipeline = Pipeline(FakeMonitor, incidents=IncidentSettings(), config_hash="before")
    (opened,) = incidents(pipeline.process([block([1, 1, 20, 1])]).records)
    assert opened.paged_at is not None
    window = whole_year()
    made: list[FakeMonitor] = []

    def make(variables: tuple[str, ...]) -> FakeMonitor:
        made.append(FakeMonitor(variables))
        return made[-1]

    rules = IncidentSettings(quiet_rows=2, maintenance=(window,))
    pipeline.use(make, incidents=rules, line=LineSettings(damped=False), config_hash="after")
    found = incidents(pipeline.process([block([1] * 4 + [20] + [1] * 3, 4)]).records)
    assert [(record.status, record.config_hash) for record in found] == [
        ("resolved", "after"),
        ("open", "after"),
        ("resolved", "after"),
    ]
    assert found[0].id == opened.id and not found[0].suppressed
    assert found[1].suppressed and found[1].paged_at is None
    pipeline.process([block([1], partition="another")])
    assert len(made) == 1


def whole_year() -> Any:
    """Covers all of 1970."""
    from stream.maintenance import MaintenanceWindow

    return MaintenanceWindow(start="1970-01-01T00:00:00Z", end="1971-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "line", [LineSettings(budget_per_1000_rows=20.0, budget_limit=9.0), LineSettings(damped=False)]
)
def test_a_monitor_whose_line_changes_goes_on_as_one_that_was_restored_with_it(line):
    values = np.random.default_rng(3).normal(0, 1, (400, 2))
    values[::25] += 6
    first, second = (Block(np.arange(at, at + 200), values[at : at + 200]) for at in (0, 200))
    running = Monitor(("a", "b"), MonitorSettings(line=LineSettings(budget_per_1000_rows=2.0)))
    running.step(first)
    restored = Monitor(("a", "b"), MonitorSettings(line=line))
    restored.load_state(running.state())
    unchanged = Monitor(("a", "b"), MonitorSettings(line=LineSettings(budget_per_1000_rows=2.0)))
    unchanged.load_state(running.state())
    running.set_line(line)
    found, wanted, without = running.step(second), restored.step(second), unchanged.step(second)
    assert np.array_equal(found.scores, wanted.scores)
    assert not np.array_equal(found.scores, without.scores)
    state = restored.state()
    for name, value in running.state().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def sinks(**settings: Any) -> Settings:
    return Settings(sinks=SinkSettings(kinds=(), **settings))


def test_a_webhook_sends_what_waits_to_its_new_url(receiver):
    sink = Webhook(WebhookSettings(url="http://127.0.0.1:1/"))
    assert isinstance(sink, Adjustable)
    sink.write([page()])
    with pytest.raises(DependencyError):
        sink.flush()
    tls = HttpTargetSettings(tls=TlsSettings(ca_file="/nowhere"))
    with pytest.raises(ConfigError):
        sink.prepare(sinks(webhook=WebhookSettings(url="https://h/", http=tls)))
    sink.prepare(sinks(webhook=WebhookSettings(url=f"{receiver.url}/new", secret="hush")))()
    sink.flush()
    (received,) = receiver.received
    assert (received.path, received.document["id"], "Tocsin-Signature" in received.headers) == ("/new", "i1", True)


def test_an_alertmanager_keeps_what_fires_and_says_it_under_its_new_labels(receiver):
    clock = FakeClock()
    sink = Alertmanager(AlertmanagerSettings(urls=(receiver.url,), resend=60.0), clock=clock)
    assert isinstance(sink, Adjustable)
    sink.write([page()])
    sink.flush()
    with pytest.raises(DependencyError):
        sink.prepare(sinks(alertmanager=AlertmanagerSettings(urls=("http://127.0.0.1:1",))))
    sink.prepare(sinks(alertmanager=AlertmanagerSettings(urls=(f"{receiver.url}/b",), labels={"cluster": "eu"})))()
    sink.repeat([page()])
    (old, new) = receiver.documents("/b/api/v2/alerts")[0]
    assert "cluster" not in old["labels"] and new["labels"] == {**old["labels"], "cluster": "eu"}
    assert old["endsAt"] < new["endsAt"]


def test_an_alertmanager_that_is_away_does_not_keep_other_options_from_changing(receiver):
    settings = AlertmanagerSettings(urls=(receiver.url,))
    sink = Alertmanager(settings)
    receiver.statuses = [500, 500]
    sink.prepare(sinks(alertmanager=settings))()
    assert len(receiver.statuses) == 2


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Path, str], subprocess.Popen[bytes]]]:
    """Starts `tocsin run` over standard input, its log in tmp_path/log."""
    keeper, started = Keeper(), []

    def start(config: Path) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("ab") as log:
            words = [sys.executable, "-m", "stream", "run", "--config", str(config), "--log-format", "json"]
            started.append(subprocess.Popen(words, stdin=subprocess.PIPE, stderr=log))
        keeper.keep(started[-1].pid)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    keeper.close()


def test_a_run_takes_a_new_config_by_signal_even_while_a_sink_is_away(run, receiver, tmp_path):
    """Its webhook leads nowhere, and it is stuck with an incident; then a config is wrong, one right."""
    listen, config = f"127.0.0.1:{free_ports(1)[0]}", tmp_path / "c.yml"
    document: dict[str, Any] = {
        "source": {"kind": "file"},
        "sinks": {
            "kinds": ["jsonlines", "webhook"],
            "dead_letters": "none",
            "jsonlines": {"path": str(tmp_path / "found.jsonl")},
            "webhook": {"url": "http://127.0.0.1:1/"},
        },
        "snapshot": {"directory": str(tmp_path / "state")},
        "runner": {"retry_most": "1s"},
        "http": {"listen": listen},
        "autoencoder": {"enabled": False},
    }
    config.write_text(json.dumps(document))
    process = run(config)
    assert process.stdin is not None
    process.stdin.write(rows())
    process.stdin.flush()
    log = tmp_path / "log"
    wait_for(lambda: "dependency away" in log.read_text(), 180)
    before = metrics(listen)
    assert before["tocsin_config_last_reload_successful"] == 1

    config.write_text(json.dumps({**document, "seed": 5}))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: metrics(listen).get("tocsin_config_last_reload_successful") == 0)
    assert "a restart is needed to change seed" in log.read_text()
    config.write_text(json.dumps({**document, "nonsense": 5}))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "unknown option nonsense" in log.read_text())
    assert receiver.received == [] and process.poll() is None

    document["sinks"]["webhook"]["url"] = f"{receiver.url}/hook"
    document["incidents"] = {"page_from": "critical"}
    config.write_text(json.dumps(document))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: receiver.received)
    found = metrics(listen)
    assert found["tocsin_config_last_reload_successful"] == 1
    name = "tocsin_config_last_reload_success_timestamp_seconds"
    assert found[name] > before[name]
    assert "changed" in log.read_text() and "incidents.page_from" in log.read_text()
    assert any(name.startswith("tocsin_config_info") for name in found.keys() - before.keys())
    process.stdin.close()
    assert process.wait(60) == 0
    manifest = json.loads(next((tmp_path / "state").glob("*/*/MANIFEST.json")).read_text())
    assert manifest["config_hash"] == state_hash(load(str(config)))
    assert manifest["position"] == rows().count(b"\n") - 1


def rows() -> bytes:
    """Calm, then something that pages, then calm."""
    values = np.random.default_rng(5).normal(1.0, 0.05, (300, 3))
    values[250:256, 1] += 5.0
    lines = [f"{1_700_000_000 + at}," + ",".join(f"{x:.4f}" for x in row) for at, row in enumerate(values)]
    return ("time,a.x,a.y,b.x\n" + "\n".join(lines) + "\n").encode()


def metrics(listen: str) -> dict[str, float]:
    """Every sample by name and labels; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
