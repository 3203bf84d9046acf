"""How far a variable strays from what all others say it should be.

Descendants of a root cause deviate, but not given the rest; a root's parents deviate given the rest, but not by
themselves; only the root does both. The residual of every variable given all others now and all variables in the
rows before comes from one ridge precision matrix; no graph is needed.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import FloatArray

LARGEST_LEVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Conditional:
    """weights ((lags + 1) D, D): residual = [z_t, z_(t-1), ...] @ weights, in units of its leave-one-out scale."""

    weights: FloatArray

    @property
    def lags(self) -> int:
        return int(self.weights.shape[0] // self.weights.shape[1]) - 1


def fit_conditional(
    z: FloatArray, *, lags: int, ridge: float, ridge_per_weight: float, floor: float | FloatArray
) -> Conditional:
    """The model of quiet deviations z (N, D), N >= lags + 2, rows in order.

    K = inv(Y'Y / n + lambda I) with Y = [z_t, z_(t-1), ...] (n, p), p = (lags + 1) D; residual r_j = (Y K)_j / K_jj.
    The scale of r_j is its leave-one-out root mean square, at least `floor`, one or (D,), in units of z.
    lambda = max(ridge, ridge_per_weight * p / n): with few rows for many variables the model would explain the quiet
    rows too well and be surprised by every new one. O(n p^2 + p^3).
    """
    rows = with_lags(z, lags)
    count, width = rows.shape
    strength = max(ridge, ridge_per_weight * width / count)
    precision = np.linalg.inv(rows.T @ rows / count + strength * np.eye(width))
    size = z.shape[1]
    diagonal = np.diag(precision)[:size].copy()
    projected = rows @ precision
    squares = np.zeros(size)
    _left_out_squares(projected, np.einsum("ij,ij->i", projected, rows), diagonal, squares)
    scale = np.maximum(np.sqrt(squares / count), floor)
    return Conditional(np.ascontiguousarray(precision[:, :size] / (diagonal * scale)))


@njit(cache=True, nogil=True, error_model="numpy")
def _left_out_squares(projected: FloatArray, joint: FloatArray, diagonal: FloatArray, squares: FloatArray) -> None:
    """Sums (D,) of the squared leave-one-out residuals. projected: (n, p) Y K.  joint: (n,) y' K y of each row."""
    count = projected.shape[0]
    for t in range(count):
        for j in range(diagonal.shape[0]):
            residual = projected[t, j] / diagonal[j]
            leverage = min((joint[t] - diagonal[j] * (residual * residual)) / count, LARGEST_LEVERAGE)
            left_out = residual / (1.0 - leverage)
            squares[j] += left_out * left_out


def with_lags(z: FloatArray, lags: int) -> FloatArray:
    """(T - lags, (lags + 1) D) each row of z (T, D) beside the rows before it, the nearest first."""
    return np.hstack([z[lags - lag : len(z) - lag] for lag in range(lags + 1)])


def residuals(z: FloatArray, model: Conditional) -> FloatArray:
    """(T - lags, D) what the others do not explain of z (T, D), of which the first rows are only the past."""
    return np.asarray(with_lags(z, model.lags) @ model.weights)
