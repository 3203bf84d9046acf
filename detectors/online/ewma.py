"""EWMA, per variable: how far a reading is from its slow moving average, in moving standard deviations.

Works badly on steep seasonal courses, which it takes for deviations. Roberts (1959), control charts; the guard's
weights and the plain mean of the first rows are ours.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.online.protocol import Scores

LARGEST = 1000.0  # score: of a step after a deviation of 0
ROUNDING = 1e-9  # of the mean, below which a deviation is none


@dataclass(frozen=True, slots=True)
class EwmaSettings:
    """rate: weight of a new row in the averages, once 1 / rate rows were seen (the plain mean until then)."""

    rate: float = 0.005

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be between 0 and 1, got {self.rate}")


class Ewma:
    """One EWMA a variable. variables = |x - mean| / deviation, at most 1000; expected = the mean.

    It has no row-wise member: many variables a little off say less together than their neighbours do. Cost: some 5 ns a
    reading.
    """

    name: ClassVar[str] = "ewma"
    members: ClassVar[tuple[str, ...]] = ()
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False

    def __init__(self, variables: int, settings: EwmaSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or EwmaSettings()
        self._model = np.zeros((3, variables))  # weight seen, mean, variance

    def score(self, rows: Rows) -> Scores:
        scores, expected = np.zeros(rows.values.shape), rows.values.copy()
        _score(rows.values, (rows.present, rows.renewed), self._model, scores, expected)
        return Scores(np.empty((len(rows), 0)), scores, expected)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        _learn(rows.values, (rows.present, rows.renewed), weights, self._settings.rate, self._model)

    def state(self) -> State:
        return {"model": self._model.copy()}

    def load_state(self, state: State) -> None:
        self._model[:] = state["model"]


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray, flags: tuple[BoolArray, BoolArray], model: FloatArray, scores: FloatArray, expected: FloatArray
) -> None:
    present, renewed = flags
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            if not present[t, j] or renewed[t, j] or model[0, j] <= 0.0:
                continue
            mean = model[1, j]
            deviation = max(np.sqrt(model[2, j]), ROUNDING * abs(mean))
            away = abs(values[t, j] - mean)
            expected[t, j] = mean
            scores[t, j] = min(LARGEST, away / deviation) if deviation > 0.0 else LARGEST * (away > 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray, flags: tuple[BoolArray, BoolArray], weights: FloatArray, rate: float, model: FloatArray
) -> None:
    present, renewed = flags
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            if renewed[t, j]:
                model[:, j] = 0.0
            if not present[t, j] or weights[t] <= 0.0:
                continue
            model[0, j] += weights[t]
            share = max(rate * weights[t], weights[t] / model[0, j])
            step = values[t, j] - model[1, j]
            model[1, j] += share * step
            model[2, j] = (1.0 - share) * (model[2, j] + share * step * step)
