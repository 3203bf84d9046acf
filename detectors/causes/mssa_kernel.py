"""The row machine of the mSSA trigger, compiled: lag vectors of rows, and the CUSUM of what they leave outside a base.

Between the two stands one matrix product a row, of the same shape for any number of rows: so its bits are the same.
"""

from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray
from detectors.causes.deviation import deviation_of
from detectors.causes.ring import Arrays, push

CLIP = 8.0  # standard deviations
RECORD = 1.5  # the limit over the highest CUSUM of the base's own quiet rows
PART = 128  # numbers that are added in eight sums; more are halved
SQUARE = 2.0  # an exponent, handed in: as a constant it would become a product, with other last bits than the base's

Units: TypeAlias = tuple[FloatArray, FloatArray, BoolArray]  # (D,) center, scale, frozen
Limits: TypeAlias = tuple[float, float, int]  # drift c, limit h, rows after which the record counts


@njit(cache=True, nogil=True, error_model="numpy")
def lag(rows: FloatArray, before: FloatArray, units: Units, recent: Arrays, out: FloatArray) -> None:
    """Write the lag vectors (T, D, L) that end in each of rows (T, D), clipped and in units of the base, and keep the
    rows themselves.

    before: (D, L) those that end in the row before. recent: with room for the rows.
    """
    center, scale, frozen = units
    last = out.shape[2] - 1
    for t in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            for i in range(last):
                out[t, j, i] = before[j, i + 1]
            z = deviation_of(rows[t, j], center[j], scale[j], frozen[j])
            out[t, j, last] = min(max(z, -CLIP), CLIP)
        before = out[t]
        push(recent, rows[t])


@njit(cache=True, nogil=True, error_model="numpy")
def accumulate(residuals: FloatArray, levels: FloatArray, limits: Limits, square: float) -> tuple[int, bool, float]:
    """Add what T rows leave outside (T, N, M) to the CUSUM, up to the first row at which it reaches its limit: how many
    rows that were, whether the last one does, and its limit.

    levels: (3,) the CUSUM, its record since the base was made, and the rows since then.
    """
    drift, least, span = limits
    norms, squares, limit = np.empty(residuals.shape[1]), np.empty(residuals.shape[2]), least
    for t in range(residuals.shape[0]):
        levels[2] += 1.0
        levels[0] = max(0.0, levels[0] + _departure(residuals[t], square, norms, squares) - drift)
        limit = max(least, RECORD * levels[1] if levels[2] > span else 0.0)
        if levels[0] >= limit:
            return t + 1, True, limit
        levels[1] = max(levels[1], levels[0])
    return residuals.shape[0], False, limit


@njit(cache=True, nogil=True, error_model="numpy")
def depart(residuals: FloatArray, square: float, out: FloatArray) -> None:
    """Write the departures (T,) of residuals (T, N, M)."""
    norms, squares = np.empty(residuals.shape[1]), np.empty(residuals.shape[2])
    for t in range(residuals.shape[0]):
        out[t] = _departure(residuals[t], square, norms, squares)


@njit(cache=True, nogil=True, error_model="numpy")
def _departure(residual: FloatArray, square: float, norms: FloatArray, squares: FloatArray) -> float:
    """The square of the sum of the norms of N vectors (N, M); the last two are scratch."""
    for n in range(norms.shape[0]):
        for m in range(squares.shape[0]):
            squares[m] = residual[n, m] * residual[n, m]
        norms[n] = np.sqrt(_sum(squares))
    return float(_sum(norms) ** square)


@njit(cache=True, nogil=True, error_model="numpy")
def _sum(x: FloatArray) -> float:
    """The sum of x (n,), in the order in which numpy adds: in halves of whole eights, and these in eight sums."""
    n = x.shape[0]
    if n <= PART:
        return float(_sum_part(x))
    half = n // 2 // 8 * 8
    return float(_sum(x[:half]) + _sum(x[half:]))


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_part(x: FloatArray) -> float:
    """Of at most PART numbers."""
    n, total, whole = x.shape[0], 0.0, x.shape[0] // 8 * 8
    if whole > 0:
        a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
        for i in range(8, whole, 8):
            a, b, c, d = a + x[i], b + x[i + 1], c + x[i + 2], d + x[i + 3]
            e, f, g, h = e + x[i + 4], f + x[i + 5], g + x[i + 6], h + x[i + 7]
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(whole, n):
        total += x[i]
    return float(total)
