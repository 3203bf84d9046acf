"""The real Prometheus and Alertmanager on free loopback ports, and an HTTP server that takes webhooks.

They are Debian's packages; what is found on the PATH is used. Nothing is left behind, not even when the owner of a
server is killed (see kafka/keeper.py).
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from broker import free_ports
from keeper import Keeper
from loopback import LoopbackServer

INSTALL = "apt-get install --no-install-recommends prometheus prometheus-alertmanager"
EXCUSE = "TOCSIN_TEST_WITHOUT_PROMETHEUS"  # set by .ci/run where it could not install them
PROGRAMS = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),  # the second is Debian's name
    "amtool": ("amtool",),
}
DEADLINE_S = 30.0


def find(program: str) -> str | None:
    return next((path for name in PROGRAMS[program] if (path := shutil.which(name))), None)


def missing() -> list[str]:
    """Programs that this machine lacks."""
    return [program for program in PROGRAMS if find(program) is None]


def is_excused() -> bool:
    """Whether tests may be skipped for want of them."""
    return os.environ.get("CI") != "true" or bool(os.environ.get(EXCUSE))


def command(program: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool."""
    path = find(program)
    assert path is not None
    return subprocess.run([path, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def wait_for(what: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """The first true answer."""
    until = time.monotonic() + deadline_s
    while not (answer := what()):
        assert time.monotonic() < until, f"waited {deadline_s} s in vain; the last answer was {answer!r}"
        time.sleep(0.05)
    return answer


def get(url: str) -> Any:
    """A JSON document; None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


class Server(ABC):
    """A process that serves HTTP. It keeps its port and its folder when it is stopped and started again."""

    def __init__(self, program: str, folder: Path, keeper: Keeper) -> None:
        self._path = find(program)
        self._folder = folder
        self._keeper = keeper
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_ports(1)[0]
        self.prefix = ""
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @abstractmethod
    def options(self) -> Sequence[str]:
        """Its command line."""

    def start(self) -> Self:
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen([str(self._path), *self.options()], stdout=log, stderr=log)
        self._keeper.keep(self._process.pid)
        wait_for(self._is_ready)
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            self._keeper.release(process.pid)

    def _is_ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Alertmanager(Server):
    """config: its YAML.  prefix: of its paths, such as /alerts.  web: a file for basic authentication and TLS."""

    def __init__(self, folder: Path, keeper: Keeper, config: str, *, prefix: str = "", web: Path | None = None) -> None:
        super().__init__("alertmanager", folder, keeper)
        self.prefix = prefix
        self._web = web
        (folder / "alertmanager.yml").write_text(config)

    def options(self) -> Sequence[str]:
        return [
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.route-prefix={self.prefix or '/'}",
            "--cluster.listen-address=",
            *([f"--web.config.file={self._web}"] if self._web else []),
        ]

    def _is_ready(self) -> bool:
        return super()._is_ready() if self._web is None else self._log_says("Listening")

    def _log_says(self, word: str) -> bool:
        return word in (self._folder / "log").read_text()

    def alerts(self) -> list[dict[str, Any]]:
        """What fires now."""
        return list(get(f"{self.url}/api/v2/alerts") or [])

    def labels(self, name: str = "TocsinIncident") -> list[dict[str, str]]:
        return [alert["labels"] for alert in self.alerts() if alert["labels"]["alertname"] == name]


class Prometheus(Server):
    def __init__(self, folder: Path, keeper: Keeper, config: str, rules: str) -> None:
        super().__init__("prometheus", folder, keeper)
        (folder / "prometheus.yml").write_text(config)
        (folder / "tocsin.rules.yml").write_text(rules)

    def options(self) -> Sequence[str]:
        return [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def firing(self) -> set[str]:
        """Names of the rules that fire."""
        answer = get(f"{self.url}/api/v1/alerts")
        alerts = answer["data"]["alerts"] if answer else []
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver(LoopbackServer):
    """Takes what is posted to it. statuses: what it answers from now on, in order, then 200."""

    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    port: int = 0

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200 and method == "POST":
            self.received.append(Received(path, headers, body))
        return status, b""

    def documents(self, path: str) -> list[Any]:
        """What arrived there, in order."""
        return [received.document for received in list(self.received) if received.path == path]
