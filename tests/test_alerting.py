"""A fault in a stream, from `tocsin run` to whoever is woken, and its end: Alertmanager, Prometheus, webhooks."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alert_servers import Alertmanager, Prometheus, Receiver, command, free_ports, wait_for
from keeper import Keeper

from stream.clock import SystemClock
from stream.sinks.webhook import signature

pytestmark = pytest.mark.alerting
HOME = Path(__file__).resolve().parents[1] / "deploy" / "prometheus"
SECRET = "hush"
COMPILED_S = 180.0  # kernels may have to be compiled first
CALM, FAULT, AFTER = 200, 6, 60
NAMES = ("orders.cpu", "orders.p50", "stock.cpu", "stock.p50")


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


@pytest.fixture
def alertmanager(keeper: Keeper, receiver: Receiver, tmp_path: Path) -> Iterator[Alertmanager]:
    """The example, quicker, with all its receivers in our hands."""
    config = re.sub(r"http://localhost:8080", receiver.url, (HOME / "alertmanager.yml").read_text())
    config = re.sub(r"group_wait: \w+", "group_wait: 0s", re.sub(r"group_interval: \w+", "group_interval: 1s", config))
    server = Alertmanager(tmp_path / "alertmanager", keeper, config)
    yield server.start()  # type: ignore[misc]
    server.stop()


@pytest.fixture
def listen() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def prometheus(keeper: Keeper, alertmanager: Alertmanager, listen: str, tmp_path: Path) -> Iterator[Prometheus]:
    """The example with its rules, quicker."""
    config = (HOME / "prometheus.yml").read_text().replace("15s", "1s")
    config = config.replace("localhost:9464", listen).replace("localhost:9093", f"127.0.0.1:{alertmanager.port}")
    rules = re.sub(r"for: \w+", "for: 0s", (HOME / "tocsin.rules.yml").read_text())
    server = Prometheus(tmp_path / "prometheus", keeper, config, rules)
    yield server.start()  # type: ignore[misc]
    server.stop()


class Tocsin:
    """`tocsin run` over standard input."""

    def __init__(self, config: Path, keeper: Keeper) -> None:
        words = [sys.executable, "-m", "stream", "run", "--config", str(config)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE)
        self._keeper = keeper
        keeper.keep(self._process.pid)

    def feed(self, lines: list[str]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self._process.stdin.flush()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()
            self._keeper.release(self._process.pid)
        return self._process.returncode


@pytest.fixture
def tocsin(
    keeper: Keeper, alertmanager: Alertmanager, receiver: Receiver, listen: str, tmp_path: Path
) -> Iterator[Tocsin]:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    settings: dict[str, Any] = {
        "source": {"kind": "file"},
        "sinks": {
            "kinds": ["jsonlines", "alertmanager", "webhook"],
            "dead_letters": "none",
            "jsonlines": {"path": str(tmp_path / "findings.jsonl")},
            "alertmanager": {"urls": [alertmanager.url]},
            "webhook": {"url": f"{receiver.url}/hook", "secret_file": str(tmp_path / "secret")},
        },
        "snapshot": {"directory": str(tmp_path / "state")},
        "http": {"listen": listen},
        "autoencoder": {"enabled": False},
    }
    config = tmp_path / "tocsin.yml"
    config.write_text(json.dumps(settings))
    process = Tocsin(config, keeper)
    yield process
    process.stop()


def rows() -> list[str]:
    """A minute's fault of one service after minutes of calm, a row a second, all of it just past."""
    count = CALM + FAULT + AFTER
    values = np.random.default_rng(5).normal(1.0, 0.05, (count, len(NAMES)))
    values[CALM : CALM + FAULT, 2] += 5.0
    begin_ms = SystemClock().now_ns() // 10**6 - 1000 * count
    return [
        json.dumps({"system": "shop", "ts": begin_ms + 1000 * place, "values": dict(zip(NAMES, row, strict=True))})
        for place, row in enumerate(values.tolist())
    ]


def test_a_fault_is_told_to_everybody_within_seconds_and_so_is_its_end(alertmanager, prometheus, receiver, tocsin):
    lines = rows()
    tocsin.feed(lines[: CALM + FAULT])
    wait_for(lambda: "stock" in {labels.get("entity") for labels in alertmanager.labels()}, COMPILED_S)
    listed = command("amtool", f"--alertmanager.url={alertmanager.url}", "alert", "query", "entity=stock")
    assert "TocsinIncident" in listed.stdout, listed.stderr
    wait_for(lambda: "TocsinIncidentOpen" in prometheus.firing())
    wait_for(lambda: alertmanager.labels("TocsinIncidentOpen"))
    assert "resolved" not in told(receiver)

    tocsin.feed(lines[CALM + FAULT :])
    wait_for(lambda: not alertmanager.labels())
    wait_for(lambda: "TocsinIncidentOpen" not in prometheus.firing())
    wait_for(lambda: told(receiver)[-1:] == ["resolved"])
    wait_for(lambda: {"firing", "resolved"} <= notified(receiver))
    for received in receiver.received:
        if received.path == "/hook":
            expected = signature(SECRET, received.headers["Tocsin-Timestamp"], received.body)
            assert received.headers["Tocsin-Signature"] == expected
    assert tocsin.stop() == 0


def notified(receiver: Receiver) -> set[str]:
    """What Alertmanager said of our incident to its own receivers."""
    return {notice["status"] for path in ("/on-call", "/team") for notice in receiver.documents(path)}


def told(receiver: Receiver) -> list[str]:
    return [document["status"] for document in receiver.documents("/hook") if document["status"] != "revised"]
