"""A `tocsin run` as a real process: started, watched over HTTP, stopped, killed; it never outlives its owner."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from keeper import Keeper

TOCSIN = (sys.executable, "-m", "stream")


class Process:
    """One run of a config. listen: its http.listen; log: where its standard error goes, None for our own."""

    def __init__(
        self, config: Path, listen: str, keeper: Keeper, *, log: IO[bytes] | None = None, **environment: str
    ) -> None:
        self._listen = listen
        self._keeper = keeper
        self._process = subprocess.Popen(
            [*TOCSIN, "run", "--config", str(config)],
            env={**os.environ, **environment},
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the owner, who then stops us
        )
        keeper.keep(self._process.pid)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Until it has its partitions. Raises RuntimeError if it ends before, or never has."""
        deadline = time.monotonic() + timeout_s
        while self._get("/-/ready") is None:
            if self._process.poll() is not None:
                raise RuntimeError(f"tocsin run ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"tocsin run was not ready after {timeout_s} s")
            time.sleep(0.05)

    def metrics(self) -> dict[str, float]:
        """Every sample of its /metrics by name and labels; empty while it does not answer."""
        lines = (self._get("/metrics") or "").splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def is_running(self) -> bool:
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds it has used so far (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """SIGKILL; its exit code."""
        return self._end(signal.SIGKILL, 10.0)

    def reload(self) -> None:
        """As an operator does after a change of the config: SIGHUP."""
        self._process.send_signal(signal.SIGHUP)

    def pause(self) -> None:
        """As a machine that stands still does: SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> int:
        """Its exit code, when it ends by itself."""
        code = self._process.wait(timeout_s)
        self._keeper.release(self._process.pid)
        return code

    def _end(self, how: signal.Signals, timeout_s: float) -> int:
        self._process.send_signal(how)
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.wait(10.0)
            raise

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://{self._listen}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None
