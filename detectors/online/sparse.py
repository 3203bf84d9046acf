"""Sparse changes: whether a few variables among many are off at once, however calm the rest is.

What looks at whole rows loses a fault of few variables in wide systems: a distance over D variables grows with the
fault's and is lost in the spread of the others'. So each variable is held against its own tail, and the score is that
of the r-th most unusual one: one or two variables in a rare burst of their own say nothing, r at once do. Works badly
on faults of fewer than r variables, and adds nothing where rows have few of them.

Top-r statistics of many sensors: Mei, "Quickest detection in censoring sensor networks" (2011); Xie and Siegmund,
"Sequential multi-sensor change-point detection" (2013). The order statistic in place of their sum, the moving average
and the tails are ours.

    z = (x - mean) / deviation, within +-8;  a <- a + smoothing (z - a)
    u = |a| / line of a;  score = square of the r-th largest u

The line is the .99 quantile of |a|: its mean size times exp(l), l by stochastic approximation (Robbins and Monro 1951).
The square, as the vote's root mean square asks of a member that is alone to be twice over its line.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.online.protocol import Scores
from detectors.online.rewinding import Rewinding
from detectors.online.scale import SETTLED, fit_scale, learn_scale, new_scale, standardise

TAIL = 0.01  # share of a variable's rows over its line
NORMAL = float(np.log(3.2))  # l of normal noise, to begin with
GAIN, YOUNG = 10.0, 100.0  # of the steps of l: GAIN / (rows + YOUNG)
STEEPEST = 6.0  # l is from 0 to this
FLOOR = 0.01  # of a mean size, in deviations
LARGEST = 20.0  # u
AVERAGE, LEVEL = 0, 1  # the two views of a row, in the first axis of the tails and lines


@dataclass(frozen=True, slots=True)
class SparseSettings:
    """variables: r, so many must be off at once.  smoothing: weight of a new row in the moving average.
    memory_rows: rows after which a row's weight in a variable's tail is 1 / e."""

    variables: int = 3
    smoothing: float = 0.2
    memory_rows: int = 100_000

    def __post_init__(self) -> None:
        if self.variables < 1:
            raise ValueError(f"variables must be at least 1, got {self.variables}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")
        if self.memory_rows < 100:
            raise ValueError(f"memory_rows must be at least 100, got {self.memory_rows}")


class Sparse(Rewinding):
    """One row-wise member, few: the square of the r-th largest u, at most 400; fresh: the same of the rows themselves.

    Cost: some 15 ns a reading to score, 55 to learn.
    """

    name: ClassVar[str] = "sparse"
    members: ClassVar[tuple[str, ...]] = ("few",)
    per_variable: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    carried: ClassVar[tuple[str, ...]] = ("average",)

    def __init__(self, variables: int, settings: SparseSettings | None = None, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._settings = settings or SparseSettings()
        self._average = np.zeros(variables)  # carry: of the last row scored, standardised
        self._learned = np.zeros(variables)  # the same of the last row learned
        self._scale = new_scale(variables)
        self._fit = np.zeros((2, variables))  # mean, deviation in use
        self._tails = np.zeros((2, 3, variables))  # of each view: weight seen, mean size, l
        self._lines = np.zeros((2, variables))  # of each view; 0 = none yet

    def score(self, rows: Rows) -> Scores:
        out = np.zeros((len(rows), 2))
        most = np.zeros((2, min(self._settings.variables, rows.values.shape[1])))
        model = (self._fit, self._lines)
        _score(rows.values, (rows.present, rows.restart), self._average, model, self._settings.smoothing, most, out)
        return Scores(out[:, :1], fresh=out[:, 1])

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        flags = (rows.present, rows.restart, rows.renewed)
        model = (self._scale, self._fit, self._tails, self._lines)
        options = (self._settings.smoothing, float(self._settings.memory_rows))
        _learn(rows.values, flags, weights, self._learned, model, options)

    def _arrays(self) -> State:
        return {
            "average": self._average,
            "learned": self._learned,
            "scale": self._scale,
            "fit": self._fit,
            "tails": self._tails,
            "lines": self._lines,
        }


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    average: FloatArray,
    model: tuple[FloatArray, FloatArray],
    rate: float,
    most: FloatArray,
    out: FloatArray,
) -> None:
    """most: (2, r) work space, the largest u of each view, in descending order."""
    present, restart = flags
    fit, lines = model
    for t in range(values.shape[0]):
        most[:] = 0.0
        for j in range(values.shape[1]):
            if not present[t, j]:
                continue
            z = standardise(values[t, j], fit[0, j], fit[1, j])
            average[j] = z if restart[t, j] else average[j] + rate * (z - average[j])
            if lines[AVERAGE, j] > 0.0:
                _keep(most[AVERAGE], abs(average[j]) / lines[AVERAGE, j])
                _keep(most[LEVEL], abs(z) / lines[LEVEL, j])
        for view in range(2):
            least = min(most[view, -1], LARGEST)
            out[t, view] = least * least


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(most: FloatArray, u: float) -> None:
    """Insert u among the largest so far, in descending order."""
    i = most.shape[0] - 1
    if u <= most[i]:
        return
    while i > 0 and most[i - 1] < u:
        most[i] = most[i - 1]
        i -= 1
    most[i] = u


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    weights: FloatArray,
    average: FloatArray,
    model: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    options: tuple[float, float],
) -> None:
    present, restart, renewed = flags
    scale, fit, tails, lines = model
    rate, memory = options
    known = scale[0] >= SETTLED
    for t in range(values.shape[0]):
        learn_scale(scale, values[t], present[t], renewed[t], weights[t])
        for j in range(values.shape[1]):
            if renewed[t, j]:
                known[j] = False
                tails[:, :, j] = 0.0
            if not present[t, j]:
                continue
            z = standardise(values[t, j], fit[0, j], fit[1, j])
            average[j] = z if restart[t, j] else average[j] + rate * (z - average[j])
            if known[j] and weights[t] > 0.0:
                _take_in(tails[AVERAGE, :, j], abs(average[j]), weights[t], memory)
                _take_in(tails[LEVEL, :, j], abs(z), weights[t], memory)
    fit_scale(scale, fit[0], fit[1])
    for view in range(2):
        for j in range(values.shape[1]):
            is_settled = tails[view, 0, j] >= SETTLED
            lines[view, j] = max(tails[view, 1, j], FLOOR) * np.exp(tails[view, 2, j]) if is_settled else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _take_in(tail: FloatArray, size: float, weight: float, memory: float) -> None:
    """tail: (3,) weight seen, mean size, l."""
    if tail[0] == 0.0:
        tail[2] = NORMAL
    tail[0] = min(tail[0] + weight, memory)
    tail[1] += (size - tail[1]) * weight / tail[0]
    over = size > max(tail[1], FLOOR) * np.exp(tail[2])
    step = GAIN / (tail[0] + YOUNG) * weight * (over - TAIL)
    tail[2] = min(max(tail[2] + step, 0.0), STEEPEST)
