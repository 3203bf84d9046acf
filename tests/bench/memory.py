"""Resident memory of one process over many rows: flat after warm-up, or it leaks.

    python tests/bench/memory.py --rows 1000000 --variables 4

Rows of one system go through the loop of `tocsin run` with the default config (without the autoencoder), snapshots on a
local directory and metrics. Every twentieth of the way a line: rows, resident memory, rows a second. At the end what
came on top in the second half, when everything that has a bound is full. Exit code 3 if that is more than a per cent.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from stream.assembly import make_pipeline
from stream.clock import Clock
from stream.config import Config
from stream.metrics import Metrics
from stream.observer import Observer, Running
from stream.pipeline import Outcome
from stream.runner import Runner
from stream.settings import SnapshotSettings
from stream.sinks.discard import Discard
from stream.snapshot import Snapshots
from stream.sources.protocol import Batch, Readings, Source

BLOCK = 500  # rows of one read
MOST_GROWTH = 0.01  # in the second half


class Waves:
    """A source of so many rows of slow waves with noise, and a disturbance every so many rows."""

    def __init__(self, rows: int, variables: int, *, block: int = BLOCK, disturbed_every: int = 5_000) -> None:
        self._left, self._block, self._every = rows, block, disturbed_every
        self._names = tuple(f"part{number // 2}.metric{number % 2}" for number in range(variables))
        self._rng = np.random.default_rng(0)
        self._next = 0
        self._is_assigned = False

    def read(self, timeout_s: float) -> Batch:
        if not self._is_assigned:
            self._is_assigned = True
            return Batch(assigned=("p",))
        count = min(self._block, self._left)
        if not count:
            return Batch(end=True)
        rows = np.arange(self._next, self._next + count)
        self._next, self._left = self._next + count, self._left - count
        times = (1_700_000_000 + rows) * 10**9
        return Batch([Readings("waves", "p", self._names, times, self._values(rows), rows)], [], {"p": self._next})

    def _values(self, rows: "np.ndarray") -> "np.ndarray":
        noise = self._rng.normal(0, 0.2, (len(rows), len(self._names)))
        values = np.sin(rows[:, None] / np.linspace(30, 300, len(self._names))) + noise
        values[rows % self._every > self._every - 10, 0] += 8.0
        return values

    def on_revoke(self, action: Callable[[Sequence[str]], None]) -> None: ...
    def start(self, partition: str, offset: int | None) -> None: ...
    def commit(self, positions: Mapping[str, int]) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...

    def lag(self) -> dict[str, int]:
        return {"p": self._left}


class Watch(Observer):
    """Measures memory at the first turn after each mark. after: called with the rows and what was measured."""

    def __init__(self, marks: Sequence[int], measure: Callable[[], int], after: Callable[[int, int], None]) -> None:
        self._marks, self._measure, self._after = list(marks), measure, after
        self._rows = 0

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        self._rows += outcome.rows

    def on_turn(self, runner: Running) -> None:
        if self._marks and self._rows >= self._marks[0]:
            self._marks.pop(0)
            self._after(self._rows, self._measure())


def run(source: Source, folder: Path, observers: Sequence[Observer], *, clock: Clock | None = None) -> None:
    """The rows of the source through a runner as `tocsin run` makes it."""
    pipeline, decides = make_pipeline(Config())
    metrics = Metrics(CollectorRegistry(), version="bench", config_hash=decides)
    Runner(
        source,
        pipeline,
        [Discard()],
        Discard(),
        snapshots=Snapshots(SnapshotSettings(directory=str(folder)), config_hash=decides),
        observers=[metrics, *observers],
        clock=clock,
    ).run()


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--variables", type=int, default=4)
    given = parser.parse_args()
    print(
        f"{given.rows:,} rows x {given.variables} variables, {platform.machine()}, {os.cpu_count()} cores", flush=True
    )
    began, curve = time.monotonic(), []

    def tell(rows: int, size: int) -> None:
        curve.append(size)
        print(f"{rows:>10,} rows  {size / 1e6:7.1f} MB  {rows / (time.monotonic() - began):6,.0f} rows/s", flush=True)

    marks = [given.rows * part // 20 for part in range(1, 21)]
    with tempfile.TemporaryDirectory() as folder:
        run(Waves(given.rows, given.variables), Path(folder), [Watch(marks, resident, tell)])
    middle = curve[len(curve) // 2 - 1]
    growth = (curve[-1] - middle) / middle
    print(f"the second half added {(curve[-1] - middle) / 1e6:+.1f} MB ({100 * growth:+.2f} %)")
    return 3 if growth > MOST_GROWTH else 0


if __name__ == "__main__":
    raise SystemExit(main())
