"""How far a variable strays from what all others say it should be.

Descendants of a root cause deviate, but not given the rest; a root's parents deviate given the rest, but not by
themselves; only the root does both. The residual of every variable given all others now and all variables one row
before comes from one ridge precision matrix; no graph is needed.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import FloatArray

SCALE_FLOOR = 0.3  # of a residual, in units of the variable's own scale
LARGEST_LEVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Conditional:
    """weights (2D, D): residual = [z_t, z_(t-1)] @ weights, in units of its leave-one-out scale."""

    weights: FloatArray


def fit_conditional(z: FloatArray, *, ridge: float) -> Conditional:
    """The model of quiet deviations z (N, D), N >= 3, rows in order.

    K = inv(Y'Y / n + lambda I) with Y = [z_t, z_(t-1)] (n, 2D); residual r_j = (Y K)_j / K_jj. The scale of r_j is its
    leave-one-out root mean square, floored. lambda = max(ridge, 3 * 2D / n): with few rows for many variables the
    model would explain the quiet rows too well and be surprised by every new one. O(n D^2 + D^3).
    """
    pairs = with_lag(z[1:], z[:-1])
    count, width = pairs.shape
    strength = max(ridge, 3.0 * width / count)
    precision = np.linalg.inv(pairs.T @ pairs / count + strength * np.eye(width))
    size = z.shape[1]
    diagonal = np.diag(precision)[:size].copy()
    projected = pairs @ precision
    squares = np.zeros(size)
    _left_out_squares(projected, np.einsum("ij,ij->i", projected, pairs), diagonal, squares)
    scale = np.maximum(np.sqrt(squares / count), SCALE_FLOOR)
    return Conditional(np.ascontiguousarray(precision[:, :size] / (diagonal * scale)))


@njit(cache=True, nogil=True, error_model="numpy")
def _left_out_squares(projected: FloatArray, joint: FloatArray, diagonal: FloatArray, squares: FloatArray) -> None:
    """Sums (D,) of the squared leave-one-out residuals. projected: (n, 2D) Y K.  joint: (n,) y' K y of each row."""
    count = projected.shape[0]
    for t in range(count):
        for j in range(diagonal.shape[0]):
            residual = projected[t, j] / diagonal[j]
            leverage = min((joint[t] - diagonal[j] * (residual * residual)) / count, LARGEST_LEVERAGE)
            left_out = residual / (1.0 - leverage)
            squares[j] += left_out * left_out


def with_lag(z: FloatArray, before: FloatArray) -> FloatArray:
    """(T, 2D) rows beside the rows before them."""
    return np.hstack([z, before])


def residuals(z: FloatArray, before: FloatArray, model: Conditional) -> FloatArray:
    """(T, D) what the others do not explain of z (T, D); before (D,) is the row ahead of them."""
    earlier = np.vstack([before[None], z[:-1]])
    return np.asarray(with_lag(z, earlier) @ model.weights)
