"""The two signals of each variable, row by row, compiled: its deviation, and its residual given the others.

A row costs one kernel call. The same bits for any number of rows: each is one loop, in order, with no matrix product
whose rounding depends on how many rows share it.
"""

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.causes.conditional import Conditional
from detectors.causes.deviation import Baseline, deviation_of
from detectors.causes.exceedance import HORIZONS, sum_of_largest

SPANS = np.array(HORIZONS)
Fit = tuple[FloatArray, FloatArray, BoolArray, FloatArray, FloatArray]


class Signals:
    """Follows rows by one model, and says how far variables are over their lines. The first row only serves as the row
    before the next.

    Holds no more than the longest horizon's rows: to take up a stream anywhere, feed it that many and one before them.
    """

    def __init__(self, baseline: Baseline, model: Conditional, lines: FloatArray, cap: float) -> None:
        variables = len(baseline.center)
        self._fit: Fit = (baseline.center, baseline.scale, baseline.frozen, model.weights, lines)
        self._cap = cap
        self._before = np.zeros(variables)  # deviations of the row before
        self._recent = np.zeros((HORIZONS[-1], 2 * variables))  # signals, the newest last
        self._rows = np.full(1, -1)  # rows with signals so far

    @property
    def newest(self) -> FloatArray:
        """(2 D,) the deviations beside the residuals of the newest row; a view, valid until the next row."""
        newest: FloatArray = self._recent[-1]
        return newest

    def follow(self, row: FloatArray) -> tuple[float, FloatArray]:
        """The statistic and the profile (D,) of one more row (D,). O(D^2)."""
        profile = np.zeros(len(row))
        statistic = _follow(row, self._fit, self._before, self._recent, self._rows, SPANS, self._cap, profile)
        return statistic, profile


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    row: FloatArray,
    fit: Fit,
    before: FloatArray,
    recent: FloatArray,
    rows: IntArray,
    spans: IntArray,
    cap: float,
    profile: FloatArray,
) -> float:
    center, scale, frozen, weights, lines = fit
    size = row.shape[0]
    now = np.empty(size)
    for j in range(size):
        now[j] = deviation_of(row[j], center[j], scale[j], frozen[j])
    rows[0] += 1
    statistic = 0.0
    if rows[0] > 0:
        _push(now, before, weights, recent)
        _exceed(recent, min(rows[0], recent.shape[0]), lines, spans, cap, profile)
        statistic = sum_of_largest(profile)
    before[:] = now
    return statistic


@njit(cache=True, nogil=True, error_model="numpy")
def _push(now: FloatArray, before: FloatArray, weights: FloatArray, recent: FloatArray) -> None:
    """The signals of a row of deviations, behind those of the rows before it."""
    size, last = now.shape[0], recent.shape[0] - 1
    for t in range(last):
        recent[t] = recent[t + 1]
    newest = recent[last]
    newest[:size] = now
    newest[size:] = 0.0
    for k in range(size):
        for j in range(size):
            newest[size + j] += now[k] * weights[k, j] + before[k] * weights[size + k, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _exceed(
    recent: FloatArray, known: int, lines: FloatArray, spans: IntArray, cap: float, profile: FloatArray
) -> None:
    """The root of the largest log excess over the lines (3, 2 D) of the moving sums that end in the newest row."""
    rows, size = recent.shape[0], profile.shape[0]
    for h in range(spans.shape[0]):
        span = spans[h]
        if known < span:
            continue
        for j in range(recent.shape[1]):
            total = 0.0
            for t in range(rows - span, rows):
                total += recent[t, j]
            times = abs(total) / np.sqrt(span) / lines[h, j]  # 0 over an infinite line
            if times > 1.0:
                profile[j % size] = max(profile[j % size], min(np.log(times), cap))
    for j in range(size):
        profile[j] = np.sqrt(profile[j])


@njit(cache=True, nogil=True, error_model="numpy")
def all_finite(values: FloatArray) -> bool:
    """No value is NaN or infinite."""
    return bool(np.isfinite(values).all())
