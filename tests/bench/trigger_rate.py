"""Whether the `change` trigger keeps its promise: false triggers on quiet noise, beside rows_per_false_alarm.

    python tests/bench/trigger_rate.py [--variables 10 38 100 400] [--promises 100 300 1000] [--streams 8]
                                       [--rows 3000] [--noises ...]

Each stream is stationary noise with nothing in it, so every trigger is false:

    white       normal, every row and variable by itself
    ar          AR(1) with .8 of the row before
    heavy       Student's t with 3 degrees of freedom
    bursts      white; 1 row in 200 begins 8 rows in which a third of the variables is three times as loud
    correlated  three common factors with random loadings, and half as much noise of each variable's own

Rows count from row 120 on, calibrated or not. Printed for each width, noise and promise: false triggers; how many of
them came before the trigger was calibrated; realised over promised rate, and the bounds of 95 % of it (Wilson's, as if
rows were independent). An aim of "within 1.5" is missed for certain where the bounds lie outside .67 to 1.5.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.causes.change import ChangeTrigger
from detectors.causes.settings import CausesSettings, ChangeSettings

FIRST_ROW = 120
Z95 = 1.96


def white(rng: np.random.Generator, rows: int, variables: int) -> np.ndarray:
    return rng.normal(size=(rows, variables))


def ar(rng: np.random.Generator, rows: int, variables: int) -> np.ndarray:
    x = white(rng, rows, variables)
    x[1:] *= np.sqrt(1 - 0.8**2)  # stationary from the first row on
    for t in range(1, rows):
        x[t] += 0.8 * x[t - 1]
    return x


def heavy(rng: np.random.Generator, rows: int, variables: int) -> np.ndarray:
    return rng.standard_t(3, size=(rows, variables))


def bursts(rng: np.random.Generator, rows: int, variables: int) -> np.ndarray:
    x = white(rng, rows, variables)
    for start in np.flatnonzero(rng.random(rows) < 1 / 200):
        x[start : start + 8, rng.random(variables) < 1 / 3] *= 3.0
    return x


def correlated(rng: np.random.Generator, rows: int, variables: int) -> np.ndarray:
    return white(rng, rows, 3) @ rng.normal(size=(3, variables)) + 0.5 * white(rng, rows, variables)


NOISES: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    noise.__name__: noise for noise in (white, ar, heavy, bursts, correlated)
}


@dataclass(frozen=True)
class Realised:
    """What the trigger did in so many rows that promised one false trigger in `promise` rows."""

    promise: int
    rows: int
    false: int
    uncalibrated: int

    @property
    def ratio(self) -> float:
        return self.false * self.promise / self.rows

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the ratio, by Wilson's interval for a share."""
        share, weight = self.false / self.rows, Z95**2 / self.rows
        middle = share + weight / 2
        half = Z95 * np.sqrt(share * (1 - share) / self.rows + weight / (4 * self.rows))
        low, high = (max(0.0, float((middle + side * half) / (1 + weight))) for side in (-1, 1))
        return low * self.promise, high * self.promise


def realise(noise: str, variables: int, promise: int, *, streams: int, rows: int) -> Realised:
    """The false triggers of so many streams of quiet noise, each from its first row."""
    found = []
    settings = CausesSettings(change=ChangeSettings(rows_per_false_alarm=promise))
    for seed in range(streams):
        values = NOISES[noise](np.random.default_rng([seed, variables]), rows, variables)
        trigger = ChangeTrigger([f"v{i}" for i in range(variables)], settings)
        found += [one for one in trigger.follow(values, np.arange(len(values)), 0) if one.row >= FIRST_ROW]
    uncalibrated = sum(not one.calibrated for one in found)
    return Realised(promise, streams * (rows - FIRST_ROW), len(found), uncalibrated)


def line(noise: str, variables: int, found: Realised) -> str:
    low, high = found.bounds
    return (
        f"{variables:4d} {noise:11s} 1 in {found.promise:<5d} {found.false:5d} {found.uncalibrated:5d} "
        f"{found.ratio:6.2f}  {low:.2f} to {high:.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, nargs="+", default=[10, 38, 100, 400])
    parser.add_argument("--promises", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--noises", nargs="+", choices=tuple(NOISES), default=tuple(NOISES))
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--rows", type=int, default=3000)
    given = parser.parse_args()
    if given.rows <= FIRST_ROW:
        parser.error(f"--rows must be above {FIRST_ROW}, got {given.rows}")
    print(f"{'D':>4s} {'noise':11s} {'promise':10s} {'false':>5s} {'early':>5s} {'ratio':>6s}  bounds")
    for variables in given.variables:
        for noise in given.noises:
            for promise in given.promises:
                found = realise(noise, variables, promise, streams=given.streams, rows=given.rows)
                print(line(noise, variables, found), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
