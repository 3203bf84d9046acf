"""What a row costs, beside what one would build from river: CPU microseconds, medians of interleaved rounds, as ratios.

    python tests/bench/speed.py [--variables 38] [--rounds 5] [--rows 512]

Rows are decoded already, for all alike: arrays for tocsin, dicts for river. Everybody first learns 6,000 rows; the slow
ones get a tenth of all rows. Only the ratios travel to other machines.

the vote          the default team: scores, verdicts, and how guilty each variable is
everything        the default monitor: triggers, causal graph and ranked causes, too, on the noise's false alarms
rola              RePAD2, an LSTM on every variable, and polling
half-space trees  river's, over a scaled row
river's chain     the same; EW mean and variance, a P2 quantile and a PredictiveAnomalyDetection for each variable
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
from river import anomaly, linear_model, preprocessing, stats

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

LEARNED = 6_000  # rows, before the clock runs
BLOCK = 256

Step = Callable[[np.ndarray], None]  # rows (T, D)


def series(rows: int, variables: int) -> np.ndarray:
    """Noise on a slow drift."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, variables)) + 0.01 * np.cumsum(rng.normal(size=(rows, variables)), axis=0)


def tocsin(variables: int, settings: MonitorSettings) -> Step:
    monitor = Monitor([f"e{j % 8}.m{j}" for j in range(variables)], settings)

    def step(rows: np.ndarray) -> None:
        for first in range(0, len(rows), BLOCK):
            part = rows[first : first + BLOCK]
            monitor.step(Block(np.arange(monitor.rows, monitor.rows + len(part), dtype=np.int64), part))

    return step


def half_space_trees() -> Step:
    scaler, trees = preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=1)

    def step(rows: np.ndarray) -> None:
        for row in rows.tolist():
            x = dict(enumerate(row))
            scaler.learn_one(x)
            scaled = scaler.transform_one(x)
            trees.score_one(scaled)
            trees.learn_one(scaled)

    return step


def chain(variables: int) -> Step:
    over_rows = half_space_trees()
    means = [stats.EWMean(0.05) for _ in range(variables)]
    variances = [stats.EWVar(0.05) for _ in range(variables)]
    quantiles = [stats.Quantile(0.99) for _ in range(variables)]
    predictors = [
        anomaly.PredictiveAnomalyDetection(
            preprocessing.StandardScaler() | linear_model.LinearRegression(), n_std=3.0, warmup_period=0
        )
        for _ in range(variables)
    ]
    before = [0.0] * variables

    def step(rows: np.ndarray) -> None:
        over_rows(rows)
        for row in rows.tolist():
            for j, value in enumerate(row):
                means[j].update(value)
                variances[j].update(value)
                quantiles[j].update(value)
                x = {"before": before[j]}
                predictors[j].score_one(x, value)
                predictors[j].learn_one(x, value)
                before[j] = value

    return step


def cost(step: Step, rows: np.ndarray) -> float:
    """CPU microseconds a row."""
    began = time.process_time()
    step(rows)
    return 1e6 * (time.process_time() - began) / len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, default=38)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=512, help="of a round")
    given = parser.parse_args()
    no_causes = CausesSettings(enabled=False)
    contestants: dict[str, tuple[Step, int]] = {  # and the part of the rows it gets: 1 / n
        "the vote": (tocsin(given.variables, MonitorSettings(causes=no_causes)), 1),
        "everything": (tocsin(given.variables, MonitorSettings()), 1),
        "rola": (tocsin(given.variables, MonitorSettings(preset="rola", causes=no_causes)), 10),
        "half-space trees": (half_space_trees(), 1),
        "river's chain": (chain(given.variables), 10),
    }
    data = series(LEARNED + given.rounds * given.rows, given.variables)
    for name, (step, part) in contestants.items():
        print(f"{name} learns {LEARNED // part:,} rows", flush=True)
        step(data[: LEARNED // part])
    costs: dict[str, list[float]] = {name: [] for name in contestants}
    for first in range(LEARNED, len(data), given.rows):
        for name, (step, part) in contestants.items():
            costs[name].append(cost(step, data[first : first + given.rows // part]))
    print(f"{given.variables} variables, {platform.machine()}, Python {platform.python_version()}")
    base = statistics.median(costs["river's chain"])
    for name, found in costs.items():
        middle = statistics.median(found)
        print(f"{name:18s} {middle:8.1f} us a row ({min(found):.1f} to {max(found):.1f})  {base / middle:6.1f} x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
