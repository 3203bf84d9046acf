"""Many systems in random order: what a row costs when another system's state was touched in between.

One system learns; the others are copies of it, each with a state of its own in memory.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from contest import ours
from contest.inputs import names, series, times
from contest.rounds import Contestant, interleave
from contest.table import section, versus
from detectors.block import Block
from detectors.monitor import Monitor

TOUCHED = 256  # systems that are touched in a round
AIMS = {(1_000, 16): "1/1.4", (1_000, 1): "1/1.8", (10_000, 16): "1/1.5"}


def measure(
    counts: Sequence[int],
    rounds: int,
    *,
    variables: int = 38,
    learned: int = ours.LEARNED,
    touched: int = TOUCHED,
) -> None:
    """The ratio is one system's cost over that of many: 1 = flat."""
    state, rows = _learned(variables, learned)
    section(f"team, {variables} variables, many systems in random order, beside one", "us a row")
    for block in (16, 1):
        compare(counts, rounds, state, rows, block, touched)


def compare(counts: Sequence[int], rounds: int, state: object, rows: np.ndarray, block: int, touched: int) -> None:
    fleet = _copies(max(counts), state, rows.shape[1])
    contestants = [
        Contestant(str(count), touched * block, _visits(fleet[:count], rows, block, touched)) for count in counts
    ]
    costs = interleave(contestants, rounds)
    for count in counts[1:]:
        what = f"{count:,} systems, blocks of {block}"
        versus(what, costs, str(count), str(counts[0]), AIMS.get((count, block), "-"))


def _learned(variables: int, learned: int) -> tuple[object, np.ndarray]:
    watching, step = ours.by_rows("team", variables)
    rows = series(learned + 16 * 64, variables)
    step(rows[:learned])
    return watching.state(), rows[learned:]


def _copies(count: int, state: object, variables: int) -> list[Monitor]:
    fleet = [ours.monitor("team", names(variables)) for _ in range(count)]
    for one in fleet:
        one.load_state(state)  # type: ignore[arg-type]
    return fleet


def _visits(fleet: Sequence[Monitor], rows: np.ndarray, block: int, touched: int) -> Callable[[], None]:
    """A block of the next rows, from one system drawn at random after another."""
    rng, starts = np.random.default_rng(len(fleet)), itertools.cycle(range(0, len(rows) - block + 1, block))

    def run() -> None:
        for number in rng.integers(len(fleet), size=touched):
            one, start = fleet[number], next(starts)
            one.step(Block(times(block, one.rows), rows[start : start + block]))

    return run
