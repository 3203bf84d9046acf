"""How long the first list of causes takes, from the row that opens an episode.

    python tests/bench/first_ranking.py [--variables 38 100 500] [--before 720] [--rounds 5]

So many quiet rows are followed; then one variable steps by 12 standard deviations, and the row of the step is timed:
triggers, baseline, conditional model, evidence, graph and walk, confidence, the ranked list. Printed for each width:
CPU and wall seconds of it, the medians of the rounds; what the next full revision takes (16 rows later); and the aim.
Each round begins with the same state, as a service that restarts does.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np

from detectors.block import Block, State
from detectors.causes.causes import Causes
from detectors.causes.settings import CausesSettings

AIMS_S = {38: 0.05, 100: 0.1, 500: 0.6}
STEP = 12.0
REVISED_AFTER = 16  # rows, a batch of the defaults


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    wall_s: float


def system(variables: int) -> Causes:
    names = [f"e{i // 4}.m{i % 4}" for i in range(variables)]  # four metrics an entity
    return Causes(names, CausesSettings(), graph=None, seed=0)


def follow(causes: Causes, rows: np.ndarray, start: int, verdict: bool) -> int:
    """Steps through rows (T, D); how many rankings they gave."""
    times = np.arange(start, start + len(rows), dtype=np.int64)
    _, rankings = causes.step(Block(times, rows), np.full(len(rows), verdict), np.zeros(rows.shape))
    return len(rankings)


def timed(causes: Causes, row: np.ndarray, number: int) -> Cost:
    """Of the row's step, which must give a ranking."""
    cpu, wall = time.process_time(), time.perf_counter()
    rankings = follow(causes, row[None], number, verdict=True)
    cost = Cost(time.process_time() - cpu, time.perf_counter() - wall)
    if not rankings:
        raise RuntimeError(f"row {number} gave no ranking")
    return cost


def one_round(state: State, rows: np.ndarray, before: int) -> tuple[Cost, Cost]:
    """The first ranking's cost, and that of the first full batch's."""
    causes = system(rows.shape[1])
    causes.load_state(state)
    first = timed(causes, rows[before], before)
    last = before + REVISED_AFTER - 1
    follow(causes, rows[before + 1 : last], before + 1, verdict=False)
    return first, timed(causes, rows[last], last)


def measure(variables: int, before: int, rounds: int) -> tuple[Cost, Cost]:
    """Medians over the rounds; one more goes ahead, uncounted."""
    rows = np.random.default_rng(0).normal(size=(before + REVISED_AFTER, variables))
    rows[before:, variables // 2] += STEP
    causes = system(variables)
    follow(causes, rows[:before], 0, verdict=False)
    state = causes.state()
    costs = [one_round(state, rows, before) for _ in range(rounds + 1)][1:]
    return median([first for first, _ in costs]), median([later for _, later in costs])


def median(costs: list[Cost]) -> Cost:
    return Cost(float(np.median([c.cpu_s for c in costs])), float(np.median([c.wall_s for c in costs])))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, nargs="+", default=list(AIMS_S))
    parser.add_argument("--before", type=int, default=720, help="quiet rows")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{'D':>4s} {'first: CPU s':>13s} {'wall s':>7s} {'revision: CPU s':>16s} {'aim s':>6s}")
    for variables in given.variables:
        first, later = measure(variables, given.before, given.rounds)
        aim = f"{AIMS_S[variables]:g}" if variables in AIMS_S else "-"
        print(f"{variables:4d} {first.cpu_s:13.3f} {first.wall_s:7.3f} {later.cpu_s:16.3f} {aim:>6s}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
