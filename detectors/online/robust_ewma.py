"""Robust EWMA at two speeds, per variable: how far a reading is from its moving average, in its own usual sizes.

The fast one follows seasons and sees what is sudden; the slow one sees what came gradually, and what stays. They are
two detectors with a vote each, as they err apart. One wild reading hardly moves either, unlike the variance of `ewma`:
an innovation counts as CLIP usual sizes at most, and the usual size is a moving average of absolute ones. Works badly
on what jumps between levels as a matter of course.

    e = x - mean, within +-CLIP size;  mean <- mean + rate e;  size <- size + rate (|e| - size)

Roberts (1959), control charts; Gelper, Fried and Croux, "Robust forecasting with exponential and Holt-Winters
smoothing" (2010), cleaning by Huber's psi. Theirs is a bounded loss for the size, here it is the clipped absolute
value, which needs no constant; the guard's weights and the plain mean of the first rows are ours.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, InArrays, Rows, State
from detectors.online.protocol import Scores
from detectors.online.scale import CONSTANT_ROWS, SETTLED

CLIP = 3.0  # usual sizes
NORMAL = float(np.sqrt(np.pi / 2.0))  # standard deviations of normal noise in a mean absolute one
LARGEST = 1000.0  # score: of a step after a size of 0
ROUNDING = 1e-9  # of the mean, below which a size is none
NONE = -1.0  # of a size: that of a variable seen too little

Flags: TypeAlias = tuple[BoolArray, BoolArray, BoolArray]


@dataclass(frozen=True, slots=True)
class RobustEwmaSettings:
    """rate: weight of a new row in the average and in the size, once 1 / rate rows were seen."""

    rate: float

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be between 0 and 1, got {self.rate}")


class SlowEwma(InArrays):
    """variables = |x - mean| in standard deviations, if the noise is normal, at most 1000; expected = the mean.

    Mean and size are learned by the guard's weights. Cost: some 10 ns a reading to score, 10 to learn.
    """

    name: ClassVar[str] = "slow_ewma"
    members: ClassVar[tuple[str, ...]] = ()
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    follows: ClassVar[bool] = False  # the rows at once, whatever they are, in place of learning them
    usual: ClassVar[RobustEwmaSettings] = RobustEwmaSettings(0.005)

    def __init__(self, variables: int, settings: RobustEwmaSettings | None = None, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._rate = (settings or self.usual).rate
        self._average = np.zeros(variables)  # carry: the mean up to the last row scored, if it follows
        self._mean = np.zeros(variables)  # up to the last row learned
        self._sizes = np.zeros((2, variables))  # weight seen, size
        self._used = np.full(variables, NONE)  # the size in use

    def score(self, rows: Rows) -> Scores:
        scores, expected = np.zeros(rows.values.shape), rows.values.copy()
        flags = (rows.present, rows.restart, rows.renewed)
        mean = self._average if self.follows else self._mean
        _score(rows.values, flags, mean, self._used, self._rate, self.follows, (scores, expected))
        return Scores(np.empty((len(rows), 0)), scores, expected)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        flags = (rows.present, rows.restart, rows.renewed)
        _learn(rows.values, flags, weights, self._rate, self.follows, (self._mean, self._sizes, self._used))

    def _arrays(self) -> State:
        return {"average": self._average, "mean": self._mean, "sizes": self._sizes, "used": self._used}


class FastEwma(SlowEwma):
    """The same at a fast rate: its mean follows every row at once, and begins anew after a gap."""

    name: ClassVar[str] = "fast_ewma"
    follows: ClassVar[bool] = True
    usual: ClassVar[RobustEwmaSettings] = RobustEwmaSettings(0.1)


@njit(cache=True, nogil=True, error_model="numpy")
def _within(size: float, step: float) -> float:
    """The step, clipped; where there is no size yet, or none at all, it counts in full."""
    return min(max(step, -CLIP * size), CLIP * size) if size > 0.0 else step


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(x: float, mean: float, size: float) -> float:
    """In standard deviations; any is as large as can be where the variable never moved."""
    deviation = NORMAL * max(size, ROUNDING * abs(mean))
    away = abs(x - mean)
    return min(LARGEST, away / deviation) if deviation > 0.0 else LARGEST * (away > 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    flags: Flags,
    mean: FloatArray,
    used: FloatArray,
    rate: float,
    follows: bool,
    out: tuple[FloatArray, FloatArray],
) -> None:
    present, restart, renewed = flags
    scores, expected = out
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            if not present[t, j]:
                continue
            x = values[t, j]
            if follows and restart[t, j]:
                mean[j] = x
            if used[j] != NONE and not renewed[t, j]:
                scores[t, j] = _distance(x, mean[j], used[j])
                expected[t, j] = mean[j]
            if follows:
                mean[j] += rate * _within(used[j], x - mean[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: Flags,
    weights: FloatArray,
    rate: float,
    follows: bool,
    model: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    present, restart, renewed = flags
    mean, sizes, used = model
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            if renewed[t, j]:
                mean[j], sizes[:, j] = 0.0, 0.0
            if not present[t, j]:
                continue
            if follows and restart[t, j]:
                mean[j] = values[t, j]
                continue
            step = values[t, j] - mean[j]
            if weights[t] > 0.0:
                first = sizes[0, j] == 0.0 and not follows
                share, counted = _take_in(sizes[:, j], 0.0 if first else step, weights[t], rate)
                if not follows:
                    mean[j] = values[t, j] if first else mean[j] + share * counted
            if follows:
                mean[j] += rate * _within(used[j], step)  # as scoring moved it
    for j in range(values.shape[1]):
        used[j] = sizes[1, j] if sizes[0, j] >= SETTLED else NONE


@njit(cache=True, nogil=True, error_model="numpy")
def _take_in(sizes: FloatArray, step: float, weight: float, rate: float) -> tuple[float, float]:
    """Take one more step into a size (2,). Returns the share of it in the averages, and the step as it counts."""
    if sizes[1] == 0.0:  # constant so far: it follows within some 50 rows once it moves
        sizes[0] = min(sizes[0], CONSTANT_ROWS)
    counted = _within(sizes[1] if sizes[0] >= SETTLED else 0.0, step)
    sizes[0] += weight
    share = max(rate * weight, weight / sizes[0])
    sizes[1] += share * (abs(counted) - sizes[1])
    return share, counted
