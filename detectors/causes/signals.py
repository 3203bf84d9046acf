"""The two signals of each variable, row by row, compiled: its deviation, and its residual given the others.

The same bits for any number of rows: every row is one loop, in order, with no matrix product whose rounding depends on
how many rows share it.
"""

import numpy as np
from numba import njit

from detectors.block import FloatArray
from detectors.causes.conditional import Conditional
from detectors.causes.deviation import Baseline, standardise
from detectors.causes.exceedance import HORIZONS

SPANS = np.array(HORIZONS)


def signals(rows: FloatArray, baseline: Baseline, model: Conditional) -> FloatArray:
    """(T - 1, 2 D) deviations beside residuals of rows (T, D); the first only serves as the row before. O(T D^2)."""
    out = np.empty((len(rows) - 1, 2 * rows.shape[1]))
    _signals(standardise(rows, baseline), model.weights, out)
    return out


def excess(recent: FloatArray, lines: FloatArray, cap: float) -> FloatArray:
    """(2 D,) the largest log excess over the lines (3, 2 D) of the moving sums that end in the last of (N, 2 D)."""
    out = np.zeros(recent.shape[1])
    _excess(recent, lines, cap, SPANS, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _signals(z: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    count = z.shape[1]
    for t in range(1, z.shape[0]):
        out[t - 1, :count] = z[t]
        out[t - 1, count:] = 0.0
        for k in range(count):
            now, before = z[t, k], z[t - 1, k]
            for j in range(count):
                out[t - 1, count + j] += now * weights[k, j] + before * weights[count + k, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _excess(recent: FloatArray, lines: FloatArray, cap: float, spans: FloatArray, out: FloatArray) -> None:
    rows = recent.shape[0]
    for h in range(spans.shape[0]):
        span = spans[h]
        if rows < span:
            continue
        for j in range(recent.shape[1]):
            total = 0.0
            for t in range(rows - span, rows):
                total += recent[t, j]
            times = abs(total) / np.sqrt(span) / lines[h, j]  # 0 over an infinite line
            if times > 1.0:
                out[j] = max(out[j], min(np.log(times), cap))
