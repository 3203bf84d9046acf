"""Contestants that run in turns, timed by the CPU of this process: what the machine does for others is not counted."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Costs = dict[str, list[float]]  # contestant -> CPU microseconds a unit, round by round


@dataclass(frozen=True)
class Contestant:
    """run: does its next piece of work, which is so many units (rows, values, iterations)."""

    name: str
    units: int
    run: Callable[[], object]


class Ratio(NamedTuple):
    """How many times the peer's cost is ours: the median of the rounds, the lowest and the highest."""

    middle: float
    lowest: float
    highest: float


def interleave(contestants: Sequence[Contestant], rounds: int) -> Costs:
    """Every contestant once a round. A round ahead is not counted: it compiles, and fills the caches."""
    costs: Costs = {contestant.name: [] for contestant in contestants}
    for number in range(rounds + 1):
        for contestant in contestants:
            cost = cpu_us(contestant.run) / contestant.units
            if number:
                costs[contestant.name].append(cost)
    return costs


def cpu_us(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1e6 * (time.process_time() - began)


def ratio(costs: Costs, ours: str, peer: str) -> Ratio:
    """Round by round, so that what slows the machine for a while slows both."""
    found = [theirs / our for our, theirs in zip(costs[ours], costs[peer], strict=True)]
    return Ratio(statistics.median(found), min(found), max(found))


def middle(costs: Costs, name: str) -> float:
    return statistics.median(costs[name])
