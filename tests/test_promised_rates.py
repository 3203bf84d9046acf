"""Tests of theory: on stationary noise the rate of rows over the line stays within exact binomial bounds of the stated.

The ranks of independent scores among those before them are independent (Renyi 1962), so rows over a running quantile
are coin tosses of one probability, and the bounds of their number are the binomial's own.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from detectors.block import Block, BoolArray, FloatArray
from detectors.causes.settings import CausesSettings
from detectors.combine.calibration import Calibration, CalibrationSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

STATED = 1.0 - CalibrationSettings().quantile
CHANCE = 1e-4  # of a right calibration to fail, on either side; the seeds are fixed
ROWS, SCORERS = 16_000, 20
Generator = np.random.Generator
Law = Callable[[Generator, tuple[int, int]], FloatArray]

CONTINUOUS: dict[str, Law] = {
    "normal": lambda rng, shape: np.abs(rng.normal(size=shape)),
    "laplace": lambda rng, shape: np.abs(rng.laplace(size=shape)),
    "student t(3)": lambda rng, shape: np.abs(rng.standard_t(3, size=shape)),
    "cauchy": lambda rng, shape: np.abs(rng.standard_cauchy(size=shape)),
    "lognormal": lambda rng, shape: rng.lognormal(0.0, 2.0, size=shape),
    "uniform": lambda rng, shape: rng.random(shape),
}
LEVELS = [0.13, 0.57, 0.973, 1.3177]  # no two in one bin; where in its bin a level lies is up to the scorer
TIED: dict[str, Law] = {
    "poisson": lambda rng, shape: rng.poisson(3.0, size=shape).astype(np.float64),
    "scaled counts": lambda rng, shape: rng.poisson(30.0, size=shape) * 0.7331,
    "four levels": lambda rng, shape: (
        rng.choice(LEVELS, p=[0.5, 0.3, 0.15, 0.05], size=shape) * rng.uniform(0.5, 2.0, shape[1])
    ),
    "constant": lambda rng, shape: np.ones(shape) * rng.uniform(0.5, 2.0, shape[1]),
    "less than a bin": lambda rng, shape: rng.uniform(0.5, 2.0, shape[1]) * (1 + 1e-4 * rng.normal(size=shape)),
}


def over(raw: FloatArray, *, young_rows: int = 100, bits: int = 5) -> BoolArray:
    """Which of the raw scores (T, S) are over their scorer's line."""
    calibration = Calibration(raw.shape[1], CalibrationSettings(young_rows=young_rows), bits=bits)
    judged: BoolArray = calibration.judge(raw, np.ones((len(raw), 1), dtype=np.bool_)) > 1.0
    return judged


def most(tosses: int, rate: float = STATED) -> int:
    """The number of tosses that come up which a coin of this rate exceeds by chance only."""
    return int(binom.isf(CHANCE, tosses, rate))


def least(tosses: int, rate: float = STATED) -> int:
    return int(binom.ppf(CHANCE, tosses, rate))


def correlated(rng: Generator, phi: float) -> FloatArray:
    """(T, S) sizes of AR(1) series with lag-one correlation phi and variance 1."""
    x = rng.normal(size=(ROWS, SCORERS))
    for t in range(1, ROWS):
        x[t] = phi * x[t - 1] + np.sqrt(1.0 - phi * phi) * x[t]
    return np.abs(x)


@pytest.mark.parametrize("law", CONTINUOUS)
def test_independent_scores_are_over_the_line_at_the_stated_rate(law: str) -> None:
    raw = CONTINUOUS[law](np.random.default_rng(0), (ROWS, SCORERS))
    late = over(raw, young_rows=0)[1_000:]
    assert least(late.size) <= late.sum() <= most(late.size)
    worst = late.sum(axis=0)  # and each scorer by itself
    assert least(len(late)) <= worst.min() and worst.max() <= most(len(late))


@pytest.mark.parametrize("law", CONTINUOUS)
def test_young_scores_are_over_the_line_at_most_at_the_stated_rate(law: str) -> None:
    raw = CONTINUOUS[law](np.random.default_rng(1), (1_000, 200))
    found = over(raw)
    for stretch in (found[50:100], found[100:200], found[200:1_000]):
        assert stretch.sum() <= most(stretch.size)


@pytest.mark.parametrize("bits", [3, 5])
@pytest.mark.parametrize("young_rows", [0, 100])
@pytest.mark.parametrize("law", TIED)
def test_scores_that_repeat_are_over_the_line_at_most_at_the_stated_rate(law: str, young_rows: int, bits: int) -> None:
    raw = TIED[law](np.random.default_rng(2), (ROWS, SCORERS))
    late = over(raw, young_rows=young_rows, bits=bits)[1_000:]
    assert late.sum() <= most(late.size)
    assert late.sum(axis=0).max() <= most(len(late))


@pytest.mark.parametrize(("floor", "season"), [(0.0, "spread"), (1.0, "level")])
def test_seasonal_scores_keep_the_rate_over_whole_seasons(floor: float, season: str) -> None:
    """Rows of one afternoon go together, so that a whole season is one toss for so many rows: the bound is on the rate
    over ten seasons of 1,440 rows, in the tosses that a tenth of the rows would be."""
    rng = np.random.default_rng(3)
    wave = 0.5 * np.sin(2.0 * np.pi * np.arange(ROWS) / 1_440.0)[:, None]
    noise = rng.normal(size=(ROWS, SCORERS))
    raw = np.abs(noise * (1.0 + wave)) if season == "spread" else np.abs(floor + wave + 0.1 * noise)
    late = over(raw)[1_440 : 11 * 1_440]
    assert late.mean() <= most(late.size // 10) / (late.size // 10)
    assert late.any()


@pytest.mark.parametrize(("phi", "times"), [(0.5, 1.1), (0.9, 1.2), (0.99, 2.5)])
def test_scores_that_follow_one_another_exceed_the_rate_only_by_the_long_excursions(phi: float, times: float) -> None:
    late = over(correlated(np.random.default_rng(4), phi), young_rows=0)[1_000:]
    assert 0.8 * STATED < late.mean() < times * STATED


NOISE: dict[str, Law] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "student t(3)": lambda rng, shape: rng.standard_t(3, size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape),
    "uniform": lambda rng, shape: rng.random(shape),
    "counts": lambda rng, shape: rng.poisson(3.0, size=shape).astype(np.float64),
    "three levels": lambda rng, shape: rng.choice([0.0, 1.0, 5.0], p=[0.9, 0.08, 0.02], size=shape),
    "season": lambda rng, shape: (
        rng.normal(size=shape) + 3.0 * np.sin(2.0 * np.pi * np.arange(shape[0]) / 1_440.0)[:, None]
    ),
    "constant": lambda rng, shape: np.ones(shape) * rng.normal(size=shape[1]),
}


@pytest.mark.parametrize("law", NOISE)
def test_verdicts_on_stationary_noise_come_at_most_at_half_the_rate_of_the_members(law: str) -> None:
    rows = 10_000
    values = NOISE[law](np.random.default_rng(5), (rows, 4))
    settings = MonitorSettings(causes=CausesSettings(enabled=False), other_rules=False)
    found = Monitor(list("abcd"), settings).step(Block(np.arange(rows), values))
    assert found.verdicts.sum() <= most(rows, STATED / 2)
    assert found.verdicts[:1_000].sum() <= most(1_000, STATED / 2)
