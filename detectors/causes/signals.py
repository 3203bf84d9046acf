"""The two signals of each variable, row by row, compiled: its deviation, and its residual given the others.

The same bits for any number of rows: each is one loop, in order, with no matrix product whose rounding depends on how
many rows share it. No more is held than the longest horizon's rows: to take up a stream anywhere, advance by that many
and one before them, which only serves as the row before the next.
"""

from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray
from detectors.causes.deviation import deviation_of
from detectors.causes.exceedance import HORIZONS, sum_of_largest

# Of D variables: center, scale, frozen, the residuals' weights (2 D, D), the signals' lines (3, 2 D).
Fit: TypeAlias = tuple[FloatArray, FloatArray, BoolArray, FloatArray, FloatArray]


@njit(cache=True, nogil=True, error_model="numpy")
def advance(row: FloatArray, number: int, fit: Fit, signals: FloatArray) -> None:
    """Take in one more row (D,). O(D^2).

    number: of the row, from 0; the first one's residuals mean nothing. signals: (4, 2 D) deviations beside residuals of
    the last rows, each at its row's number modulo 4.
    """
    center, scale, frozen, weights, _ = fit
    size, rows = row.shape[0], signals.shape[0]
    now, residual = np.empty(size), np.zeros(size)
    for j in range(size):
        now[j] = deviation_of(row[j], center[j], scale[j], frozen[j])
    before = signals[(number - 1) % rows]
    for k in range(size):
        for j in range(size):
            residual[j] += now[k] * weights[k, j] + before[k] * weights[size + k, j]
    newest = signals[number % rows]
    for j in range(size):
        newest[j], newest[size + j] = now[j], residual[j]


@njit(cache=True, nogil=True, error_model="numpy")
def exceed(signals: FloatArray, number: int, lines: FloatArray, cap: float, profile: FloatArray) -> float:
    """The statistic of the row of this number: the sum of the three largest of its profile (D,), which is written.

    A variable's profile is the root of the largest log excess of its signals' moving sums over the lines (3, 2 D).
    """
    profile[:] = 0.0
    times = np.empty(signals.shape[1])
    for h in range(len(HORIZONS)):
        if number >= HORIZONS[h] and _times_over(signals, number, HORIZONS[h], lines[h], times):
            for j in range(times.shape[0]):
                if times[j] > 1.0:
                    d = j % profile.shape[0]
                    profile[d] = max(profile[d], min(np.log(times[j]), cap))
    for j in range(profile.shape[0]):
        profile[j] = np.sqrt(profile[j])
    return float(sum_of_largest(profile))


@njit(cache=True, nogil=True, error_model="numpy")
def _times_over(signals: FloatArray, number: int, span: int, line: FloatArray, times: FloatArray) -> bool:
    """Write how many times the moving sum of each signal is its line (2 D,), which may be infinite; is any over it?"""
    root, over = np.sqrt(span), 0
    times[:] = 0.0
    for t in range(number - span + 1, number + 1):
        row = signals[t % signals.shape[0]]
        for j in range(times.shape[0]):
            times[j] += row[j]
    for j in range(times.shape[0]):
        times[j] = abs(times[j]) / root / line[j]
        over += times[j] > 1.0
    return over > 0


@njit(cache=True, nogil=True, error_model="numpy")
def all_finite(values: FloatArray) -> bool:
    """No value is NaN or infinite."""
    odd = 0
    for value in values:
        odd += not np.isfinite(value)
    return odd == 0
