"""Narrow faults in wide systems: how many of them are found, and how many alarms are false, as columns grow in number.

    python tests/bench/wide.py [--variables 38 100 200 500] [--columns 4] [--deviations 5] [--seeds 0 1 2] [--wide 100]

The series, of 24,000 rows, are simulated after what telemetry looks like: columns follow a few common loads with a
season, or their own noise; they are smooth or rough, heavy-tailed, some skewed, some with few levels. A fault shifts
some columns by so many of their own standard deviations for 40 rows. Prints the faults found of 17, and the false-alarm
episodes and false rows in 1,000 normal rows.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from accuracy import JOINED_ROWS, runs

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

ROWS, WARMUP_ROWS = 24_000, 4_000
FAULTS, FAULT_ROWS = 17, 40
LOADS, SEASON_ROWS = 6, 1440


def noise(rng: np.random.Generator, rows: int, memory: np.ndarray) -> np.ndarray:
    """(rows, D) autoregressive noise of unit variance; its steps have Student's tails. memory: (D,) lag-one factors."""
    steps = rng.standard_t(4, size=(rows, len(memory))) / np.sqrt(2.0) * np.sqrt(1.0 - memory**2)
    out = np.zeros_like(steps)
    for t in range(1, rows):
        out[t] = memory * out[t - 1] + steps[t]
    return out


def quiet_system(rng: np.random.Generator, rows: int, variables: int) -> np.ndarray:
    """(rows, D) of unit variance, nearly."""
    season = np.sin(2 * np.pi * (np.arange(rows)[:, None] / SEASON_ROWS + rng.random(LOADS)))
    loads = np.sqrt(0.5) * noise(rng, rows, np.full(LOADS, 0.95)) + season
    share = rng.choice([0.0, 0.5, 0.8], size=variables, p=[0.3, 0.4, 0.3])  # of the variance that is a load's
    own = noise(rng, rows, rng.uniform(0.0, 0.9, size=variables))
    x = np.sqrt(share) * loads[:, rng.integers(0, LOADS, size=variables)] + np.sqrt(1.0 - share) * own
    kind = rng.random(variables)
    skewed, coarse = kind < 0.2, kind > 0.85
    x[:, skewed] = np.exp(0.5 * x[:, skewed])
    x[:, coarse] = np.round(x[:, coarse])
    return x


def with_faults(
    rng: np.random.Generator, x: np.ndarray, faults: int = FAULTS, columns: int = 4, deviations: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    """The series with faults after the warm-up, and (T,) where they are."""
    faulty, marked = x.copy(), np.zeros(len(x), dtype=bool)
    sd = x.std(axis=0)
    apart = (len(x) - WARMUP_ROWS) // faults
    for fault in range(faults):
        first = WARMUP_ROWS + fault * apart + int(rng.integers(0, apart - 3 * FAULT_ROWS))
        rows = slice(first, first + FAULT_ROWS)
        chosen = rng.choice(x.shape[1], size=columns, replace=False)
        faulty[rows, chosen] += deviations * sd[chosen] * rng.choice([-1.0, 1.0], size=columns)
        marked[rows] = True
    return faulty, marked


@dataclass(frozen=True)
class Found:
    """faults found, of all; false-alarm episodes, false rows, normal rows; all after the warm-up."""

    found: int
    faults: int
    episodes: int
    rows: int
    normal: int

    def __str__(self) -> str:
        episodes, rows = 1000 * self.episodes / self.normal, 1000 * self.rows / self.normal
        return f"found {self.found:2d}/{self.faults}  fa {episodes:.2f}  fp {rows:.2f}"


def watch(x: np.ndarray, marked: np.ndarray, settings: MonitorSettings, seed: int) -> Found:
    monitor = Monitor([f"v{j}" for j in range(x.shape[1])], settings, seed=seed)
    flags = monitor.step(Block(np.arange(len(x), dtype=np.int64), x)).verdicts[WARMUP_ROWS:]
    marked = marked[WARMUP_ROWS:]
    faults = runs(marked)
    found = sum(bool(flags[first : last + 1].any()) for first, last in faults)
    episodes = sum(not marked[first : last + 1].any() for first, last in runs(flags, JOINED_ROWS))
    return Found(found, len(faults), episodes, int((flags & ~marked).sum()), int((~marked).sum()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, nargs="+", default=[38, 100, 200, 500])
    parser.add_argument("--columns", type=int, default=4, help="of each fault")
    parser.add_argument("--deviations", type=float, default=5.0, help="that a fault shifts a column by")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--wide", type=int, default=MonitorSettings().wide, help="variables from which on sparse votes")
    given = parser.parse_args()
    settings = MonitorSettings(wide=given.wide, other_rules=False, causes=CausesSettings(enabled=False))
    for variables in given.variables:
        for seed in given.seeds:
            rng = np.random.default_rng(seed)
            quiet = quiet_system(rng, ROWS, variables)
            x, marked = with_faults(rng, quiet, columns=given.columns, deviations=given.deviations)
            print(f"D {variables:3d}  seed {seed}  {watch(x, marked, settings, seed)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
