"""Autoregression, per variable: how far a reading is from what its last three readings led to expect.

Recursive least squares that forgets within some 30 rows: a longer memory finds fewer events. A residual is measured in
its own usual sizes, so that a smooth variable speaks as loud as a rough one, and the usual size is the mean absolute
one, which rare bursts do not raise. Residuals that keep their sign add up in a moving average, so that the row-wise
member also sees small lasting ones. Works badly on what jumps between levels as a matter of course, and its member on
faults of few variables among many (see online.sparse).
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.online.protocol import Scores
from detectors.online.rewinding import Rewinding
from detectors.online.rls import START, new_covariance, update
from detectors.online.scale import CLIP, fit_scale, learn_scale, new_scale, standardise

LAGS = 3
LARGEST = 20.0  # residual, in its usual sizes
FLOOR = 0.01  # of the usual size, in deviations of the variable
YOUNG = 10.0  # rows that a residual is taken to have had with a usual size of 1, at the start

Model: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class AutoregressionSettings:
    """memory_rows: rows after which a row's weight in the fit is 1 / e.  smoothing: weight of a new residual in the
    signed average."""

    memory_rows: int = 33
    smoothing: float = 0.4

    def __post_init__(self) -> None:
        if self.memory_rows < 10:
            raise ValueError(f"memory_rows must be at least 10, got {self.memory_rows}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")


class Autoregression(Rewinding):
    """RLS AR(3) a variable. variables = |residual| over its usual size, at most 20; expected = the prediction.

    member: the mean over the variables of the size of the signed average; fresh: the same of the residuals themselves.
    Cost: some 10 ns a reading to score, 20 to learn.
    """

    name: ClassVar[str] = "autoregression"
    members: ClassVar[tuple[str, ...]] = ("drift",)
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    carried: ClassVar[tuple[str, ...]] = ("carry",)

    def __init__(self, variables: int, settings: AutoregressionSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or AutoregressionSettings()
        self._scale = new_scale(variables)
        self._fit = np.zeros((2, variables))  # mean, deviation in use
        self._theta = np.zeros((LAGS + 1, variables))  # intercept, lags 1 to 3
        self._theta[1] = 1.0  # at first: as the row before
        self._cov = new_covariance(LAGS + 1, variables)
        self._sizes = np.zeros((2, variables))  # of residuals: weight seen, sum of absolute ones
        self._carry = np.zeros((LAGS + 1, variables))  # of the last row scored: raw lags, newest first; signed average
        self._learned = np.zeros((LAGS, variables))  # raw lags of the last row learned
        self._work = np.zeros((2 * (LAGS + 1) + 3, variables))

    def score(self, rows: Rows) -> Scores:
        shape = rows.values.shape
        sizes, expected, members = np.zeros(shape), np.empty(shape), np.empty((shape[0], 2))
        model = (self._fit, self._theta, self._sizes)
        rate = self._settings.smoothing
        _score(rows.values, (rows.present, rows.restart), self._carry, model, rate, (sizes, expected, members))
        return Scores(members[:, :1], sizes, expected, members[:, 1])

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        flags = (rows.present, rows.restart, rows.renewed)
        model = (self._fit, self._theta, self._sizes, self._cov, self._scale)
        _learn(rows.values, flags, weights, self._learned, model, 1.0 / self._settings.memory_rows, self._work)

    def _arrays(self) -> State:
        return {
            "scale": self._scale,
            "fit": self._fit,
            "theta": self._theta,
            "cov": self._cov,
            "sizes": self._sizes,
            "carry": self._carry,
            "learned": self._learned,
        }


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    carry: FloatArray,
    model: tuple[FloatArray, FloatArray, FloatArray],
    rate: float,
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    present, restart = flags
    fit, theta, usual = model
    sizes, expected, members = out
    for t in range(values.shape[0]):
        signed, fresh = 0.0, 0.0
        for j in range(values.shape[1]):
            x, mean, sd = values[t, j], fit[0, j], fit[1, j]
            if restart[t, j]:
                carry[:LAGS, j], carry[LAGS, j] = x, 0.0
            predicted = theta[0, j]
            for i in range(LAGS):
                predicted += theta[i + 1, j] * standardise(carry[i, j], mean, sd)
            predicted = min(max(predicted, -CLIP), CLIP)
            expected[t, j] = mean + predicted * sd
            residual = 0.0
            if present[t, j] and not restart[t, j]:
                size = (usual[1, j] + YOUNG) / (usual[0, j] + YOUNG)
                residual = (standardise(x, mean, sd) - predicted) / max(size, FLOOR)
                residual = min(max(residual, -LARGEST), LARGEST)
            sizes[t, j] = abs(residual)
            carry[LAGS, j] += rate * (residual - carry[LAGS, j])
            signed += abs(carry[LAGS, j])
            fresh += abs(residual)
            _shift(carry, j, x)
        members[t, 0] = signed / values.shape[1]
        members[t, 1] = fresh / values.shape[1]


@njit(cache=True, nogil=True, error_model="numpy")
def _shift(lags: FloatArray, j: int, x: float) -> None:
    for i in range(LAGS - 1, 0, -1):
        lags[i, j] = lags[i - 1, j]
    lags[0, j] = x


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    weights: FloatArray,
    lags: FloatArray,
    model: Model,
    forget: float,
    work: FloatArray,
) -> None:
    present, restart, renewed = flags
    fit, theta, sizes, cov, scale = model
    n = LAGS + 1
    phi, gain, errors, taken, share = work[:n], work[n : 2 * n], work[2 * n], work[2 * n + 1], work[2 * n + 2]
    for t in range(values.shape[0]):
        learn_scale(scale, values[t], present[t], renewed[t], weights[t])
        for j in range(values.shape[1]):
            x, mean, sd = values[t, j], fit[0, j], fit[1, j]
            if renewed[t, j]:
                _forget(theta[:, j], cov[:, :, j], sizes[:, j])
            if restart[t, j]:
                lags[:, j] = x
            phi[0, j] = 1.0
            errors[j] = standardise(x, mean, sd) - theta[0, j]
            for i in range(LAGS):
                phi[i + 1, j] = standardise(lags[i, j], mean, sd)
                errors[j] -= theta[i + 1, j] * phi[i + 1, j]
            taken[j] = weights[t] if present[t, j] and not restart[t, j] and sd > 0.0 else 0.0
            sizes[0, j] += taken[j]
            sizes[1, j] += taken[j] * abs(errors[j])
            _shift(lags, j, x)
        update(theta, cov, phi, errors, taken, forget, gain, share)
    fit_scale(scale, fit[0], fit[1])


@njit(cache=True, nogil=True, error_model="numpy")
def _forget(theta: FloatArray, cov: FloatArray, sizes: FloatArray) -> None:
    theta[:] = 0.0
    theta[1] = 1.0
    cov[:] = 0.0
    for i in range(theta.shape[0]):
        cov[i, i] = START
    sizes[:] = 0.0
