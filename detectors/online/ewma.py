"""EWMA detector, per variable: how far a reading is from its slow moving average, in moving standard deviations.

Works badly on steep seasonal courses, which it takes for deviations. Roberts (1959), control charts; the guard's
weights and the floor of the deviation are ours.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import FloatArray, Rows, State
from detectors.online.protocol import Scores


@dataclass(frozen=True, slots=True)
class EwmaSettings:
    """rate: weight of a new row in the averages, once 1 / rate rows were seen (the plain mean until then)."""

    rate: float = 0.005

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be between 0 and 1, got {self.rate}")


class Ewma:
    """One EWMA a variable. variables = |x - mean| / sd, at most 1000; expected = mean. Cost: some 5 ns a reading."""

    name: ClassVar[str] = "ewma"
    members: ClassVar[tuple[str, ...]] = ()
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False

    def __init__(self, variables: int, settings: EwmaSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or EwmaSettings()
        self._model = np.zeros((4, variables))  # weight seen, mean, variance, range's half

    def score(self, rows: Rows) -> Scores:
        scores, expected = np.empty(rows.values.shape), np.empty(rows.values.shape)
        _score(rows.values, rows.present, rows.renewed, self._model, scores, expected)
        return Scores(np.empty((len(rows), 0)), scores, expected)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        _learn(rows.values, rows.present, rows.renewed, weights, self._settings.rate, self._model)

    def state(self) -> State:
        return {"model": self._model.copy()}

    def load_state(self, state: State) -> None:
        self._model[:] = state["model"]


@njit(cache=True, nogil=True, error_model="numpy")
def _score(values, present, renewed, model, scores, expected):  # type: ignore[no-untyped-def]
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            scores[t, j] = 0.0
            expected[t, j] = values[t, j]
            if not present[t, j] or renewed[t, j] or model[0, j] <= 0.0:
                continue
            mean, sd = model[1, j], np.sqrt(model[2, j])
            expected[t, j] = mean
            away = abs(values[t, j] - mean)
            floor = 1e-3 * abs(mean)
            if away > 0.0:
                scores[t, j] = min(1000.0, away / max(sd, 0.01 * floor, 1e-300))


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(values, present, renewed, weights, rate, model):  # type: ignore[no-untyped-def]
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            if renewed[t, j]:
                model[:, j] = 0.0
            if not present[t, j] or weights[t] <= 0.0:
                continue
            model[0, j] += weights[t]
            a = max(rate * weights[t], weights[t] / model[0, j])
            step = values[t, j] - model[1, j]
            model[1, j] += a * step
            model[2, j] = (1.0 - a) * (model[2, j] + a * step * step)
