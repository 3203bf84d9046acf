"""Memory is flat after warm-up: what a process keeps does not grow with the rows that it has seen."""

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from memory import Watch, Waves, run

from stream.observer import Observer
from stream.pipeline import Outcome

WARM, ROWS = 4_200, 7_200  # with 1,440 quiet rows of history and 2,880 of polling behind it
MOST = 10  # bytes a row; the smallest object that somebody could keep for each has more than twice as many


class Seconds(Observer):
    """A turn takes a second, so that snapshots come at the same rows each time."""

    def __init__(self) -> None:
        self.clock = FakeClock()

    def on_turn(self, runner: Any) -> None:
        self.clock.sleep(1.0)


class Hoarder(Observer):
    """Keeps a number for each row."""

    def __init__(self) -> None:
        self._kept: list[float] = []

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        for step in outcome.steps:
            self._kept += step.findings.scores.tolist()


def waves(rows: int) -> Waves:
    return Waves(rows, 3, block=100, disturbed_every=600)


def growth(folder: Path, *observers: Observer) -> float:
    """Bytes that Python and numpy keep more after ROWS than after WARM rows, for each row between."""
    sizes: list[int] = []

    def measure() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    watch, seconds = Watch([WARM, ROWS], measure, lambda rows, size: sizes.append(size)), Seconds()
    tracemalloc.start()
    try:
        run(waves(ROWS), folder, [watch, *observers, seconds], clock=seconds.clock)
    finally:
        tracemalloc.stop()
    return (sizes[1] - sizes[0]) / (ROWS - WARM)


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: Any) -> None:
    """The kernels, and what is made once, before anything is measured."""
    run(waves(1_200), tmp_path_factory.mktemp("first"), [])


def test_a_process_keeps_nothing_of_a_row(tmp_path):
    assert growth(tmp_path) < MOST


def test_one_number_a_row_would_be_seen(tmp_path):
    assert growth(tmp_path, Hoarder()) > 2 * MOST
