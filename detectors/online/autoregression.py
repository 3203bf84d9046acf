"""Autoregression, per variable: how far a reading is from what its last three readings led to expect.

Recursive least squares with forgetting (Haykin, Adaptive Filter Theory, ch. 10) on standardised values. Deviations that
keep their sign add up in a moving average, so that the row-wise member also sees small lasting ones. The cap of the
covariance's trace (forgetting winds up on constant input, and ends in NaN) and the signed average are ours.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.online.protocol import Scores
from detectors.online.scale import fit_scale, learn_scale, new_scale, standardise

LAGS = 3
CLIP = 20.0  # of a residual, in its own mean sizes
FLOOR = 0.01  # of that size, in deviations of the variable
YOUNG = 10.0  # rows that a residual is taken to have had with a mean size of 1
START = 10.0  # diagonal of the covariance at the start, and a quarter of its largest trace


@dataclass(frozen=True, slots=True)
class AutoregressionSettings:
    """memory_rows: rows after which a row's weight in the fit is 1 / e.  smoothing: weight of a new residual in the
    signed average.  wide: from so many variables on, the row-wise member is a mean of fourth powers, which sees a fault
    of few variables among many (at the price of broad, small ones)."""

    memory_rows: int = 33
    smoothing: float = 0.4
    wide: int = 100

    def __post_init__(self) -> None:
        if self.memory_rows < 10:
            raise ValueError(f"memory_rows must be at least 10, got {self.memory_rows}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")


class Autoregression:
    """RLS AR(3) a variable. variables = |residual| over its own mean size, at most 20; expected = the prediction.

    member: the mean over the variables of the size of the signed average; fresh: the same of the residuals themselves.
    Cost: some 20 ns a reading to score, 40 to learn.
    """

    name: ClassVar[str] = "autoregression"
    members: ClassVar[tuple[str, ...]] = ("drift",)
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False

    def __init__(self, variables: int, settings: AutoregressionSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or AutoregressionSettings()
        self._power = 4.0 if variables >= self._settings.wide else 1.0
        self._scale = new_scale(variables)
        self._fit = np.zeros((2, variables))  # mean, deviation in use
        self._theta = np.zeros((LAGS + 1, variables))  # intercept, lags 1 to 3
        self._theta[1] = 1.0  # at first: as the row before
        self._cov = np.zeros((LAGS + 1, LAGS + 1, variables))
        for i in range(LAGS + 1):
            self._cov[i, i] = START
        self._errors = np.zeros((2, variables))  # weight seen, sum of absolute residuals
        self._lags = np.zeros((LAGS, variables))  # raw, newest first, of the last row scored
        self._learned_lags = np.zeros((LAGS, variables))  # the same of the last row learned
        self._signed = np.zeros(variables)

    def score(self, rows: Rows) -> Scores:
        shape = rows.values.shape
        residuals, expected, signed = np.zeros(shape), np.empty(shape), np.empty(shape)
        model, rate = (self._fit, self._theta, self._errors), self._settings.smoothing
        flags = (rows.present, rows.restart)
        _score(rows.values, flags, self._lags, self._signed, model, rate, residuals, expected, signed)
        member, fresh = np.zeros((len(rows), 1)), np.zeros(len(rows))
        _mean_power(signed, self._power, member[:, 0])
        _mean_power(residuals, self._power, fresh)
        return Scores(member, np.abs(residuals), expected, fresh)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        keep = 1.0 - 1.0 / self._settings.memory_rows
        flags = (rows.present, rows.restart, rows.renewed)
        model = (self._fit, self._theta, self._errors, self._cov)
        _learn(rows.values, flags, weights, self._learned_lags, self._scale, model, keep)
        fit_scale(self._scale, self._fit[0], self._fit[1])

    def state(self) -> State:
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state(self, state: State) -> None:
        for name, array in self._arrays().items():
            array[:] = state[name]

    def _arrays(self) -> State:
        return {
            "scale": self._scale,
            "fit": self._fit,
            "theta": self._theta,
            "cov": self._cov,
            "errors": self._errors,
            "lags": self._lags,
            "learned_lags": self._learned_lags,
            "signed": self._signed,
        }


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    lags: FloatArray,
    signed: FloatArray,
    model: tuple[FloatArray, FloatArray, FloatArray],
    rate: float,
    residuals: FloatArray,
    expected: FloatArray,
    smooth: FloatArray,
) -> None:
    present, restart = flags
    fit, theta, errors = model
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            x, mean, sd = values[t, j], fit[0, j], fit[1, j]
            if restart[t, j]:
                lags[:, j], signed[j] = x, 0.0
            predicted = theta[0, j]
            for i in range(LAGS):
                predicted += theta[i + 1, j] * standardise(lags[i, j], mean, sd)
            predicted = min(max(predicted, -8.0), 8.0)
            expected[t, j] = mean + predicted * sd
            if present[t, j] and not restart[t, j]:
                size = (errors[1, j] + YOUNG) / (errors[0, j] + YOUNG)
                residual = (standardise(x, mean, sd) - predicted) / max(size, FLOOR)
                residuals[t, j] = min(max(residual, -CLIP), CLIP)
            signed[j] += rate * (residuals[t, j] - signed[j])
            smooth[t, j] = signed[j]
            for i in range(LAGS - 1, 0, -1):
                lags[i, j] = lags[i - 1, j]
            lags[0, j] = x


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_power(values: FloatArray, power: float, out: FloatArray) -> None:
    """The power mean of each row's absolute values."""
    for t in range(values.shape[0]):
        total = 0.0
        for j in range(values.shape[1]):
            total += abs(values[t, j]) if power == 1.0 else values[t, j] ** 4
        total /= values.shape[1]
        out[t] = total if power == 1.0 else np.sqrt(np.sqrt(total))


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    weights: FloatArray,
    lags: FloatArray,
    scale: FloatArray,
    model: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    keep: float,
) -> None:
    present, restart, renewed = flags
    fit, theta, errors, cov = model
    phi = np.empty(LAGS + 1)
    for t in range(values.shape[0]):
        learn_scale(scale, values[t], present[t], renewed[t], weights[t])
        for j in range(values.shape[1]):
            x, mean, sd = values[t, j], fit[0, j], fit[1, j]
            if renewed[t, j]:
                _forget(theta[:, j], cov[:, :, j])
                errors[:, j] = 0.0
            if restart[t, j]:
                lags[:, j] = x
            elif present[t, j] and weights[t] > 0.0 and sd > 0.0:
                phi[0] = 1.0
                for i in range(LAGS):
                    phi[i + 1] = standardise(lags[i, j], mean, sd)
                error = _update(theta[:, j], cov[:, :, j], phi, standardise(x, mean, sd), weights[t], keep)
                errors[0, j] += weights[t]
                errors[1, j] += weights[t] * abs(error)
            for i in range(LAGS - 1, 0, -1):
                lags[i, j] = lags[i - 1, j]
            lags[0, j] = x


@njit(cache=True, nogil=True, error_model="numpy")
def _update(theta: FloatArray, cov: FloatArray, phi: FloatArray, y: float, weight: float, keep: float) -> float:
    """One weighted step of recursive least squares; returns the error before it."""
    n = phi.shape[0]
    gain = np.zeros(n)
    error, spread = y, keep / weight
    for i in range(n):
        for k in range(n):
            gain[i] += cov[i, k] * phi[k]
        error -= theta[i] * phi[i]
        spread += phi[i] * gain[i]
    trace = 0.0
    for i in range(n):
        theta[i] += gain[i] * error / spread
        for k in range(n):
            cov[i, k] = (cov[i, k] - gain[i] * gain[k] / spread) / keep
        cov[i, i] = max(cov[i, i], 1e-9)
        trace += cov[i, i]
    if trace > n * START:
        cov *= n * START / trace
    return error


@njit(cache=True, nogil=True, error_model="numpy")
def _forget(theta: FloatArray, cov: FloatArray) -> None:
    theta[:] = 0.0
    theta[1] = 1.0
    cov[:] = 0.0
    for i in range(theta.shape[0]):
        cov[i, i] = START
