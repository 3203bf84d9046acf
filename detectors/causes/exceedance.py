"""How far variables are over their own lines, all at once: the statistic of the `change` trigger.

Each variable has two signals (its deviation, and its residual given the others), each looked at over the last 1, 2 and
4 rows. A signal's line is its own past 99 % point at that horizon.
"""

import numpy as np
from numba import njit

from detectors.block import FloatArray

HORIZONS = (1, 2, 4)  # rows of the moving sums
LEAST_LINE = 2.5  # standard deviations: a signal that never moved is not over its line by moving at all
TAIL = 0.1  # the share of a signal's past that its line is drawn from
LOUDEST = 3  # variables that make the statistic: faults start in few
NEARLY = 1.0 - 1e-9  # of a line: what is below cannot have a log above the line's, however the two are rounded


def running_totals(signals: FloatArray) -> FloatArray:
    """(M, N + 1) sums of the first 0, 1, ... N rows of signals (N, M). Each signal in one piece: that is for speed."""
    totals = np.zeros((signals.shape[1], len(signals) + 1))
    np.cumsum(signals.T, axis=1, out=totals[:, 1:])
    return totals


def moving_sums(totals: FloatArray, horizon: int) -> FloatArray:
    """(M, N - horizon + 1) |sum of the last rows| / sqrt(horizon), from the running totals (M, N + 1)."""
    sums = totals[:, horizon:] - totals[:, :-horizon]
    np.abs(sums, out=sums)
    return np.divide(sums, np.sqrt(horizon), out=sums)


def fit_lines(totals: FloatArray) -> FloatArray:
    """(3, M) the 99 % point of each signal's past at each horizon, from its running totals (M, N + 1), N >= 8.

    Read off an exponential tail over the 90 % point rather than counted: with few rows the 99 % point would be their
    maximum. Only the tail is sorted: O(N M).
    """
    lines = np.full((len(HORIZONS), len(totals)), LEAST_LINE)
    for line, horizon in zip(lines, HORIZONS, strict=True):
        sums = moving_sums(totals, horizon)
        start = int(np.ceil((1.0 - TAIL) * sums.shape[1]))
        sums.partition(start - 1, axis=1)
        body = sums[:, start - 1]
        tail = np.ascontiguousarray(np.sort(sums[:, start:], axis=1).T)
        excess = (tail - body).mean(axis=0) if len(tail) else 0.0
        np.maximum(line, body + np.log(TAIL / 0.01) * excess, out=line)
    return lines


def log_excess(sums: FloatArray, lines: FloatArray, cap: float) -> FloatArray:
    """log of how many times sums are over their lines, 0 below, at most cap."""
    times = np.log(np.maximum(sums, 1e-300)) - np.log(lines)  # a line may be infinite
    return np.asarray(np.clip(times, 0.0, cap))


def past_statistics(totals: FloatArray, lines: FloatArray, cap: float) -> FloatArray:
    """(N,) the statistic of each row of the past, from its signals' running totals (2 D, N + 1), by today's lines."""
    excess = np.zeros((len(totals), totals.shape[1] - 1))
    for line, horizon in zip(lines, HORIZONS, strict=True):
        sums = moving_sums(totals, horizon)
        places = np.flatnonzero(sums > NEARLY * line[:, None])  # few; all others have an excess of 0
        signal, row = np.divmod(places, sums.shape[1])
        over = log_excess(sums[signal, row], line[signal], cap)
        row += horizon - 1
        excess[signal, row] = np.maximum(excess[signal, row], over)
    count = len(totals) // 2
    return loudest(np.ascontiguousarray(np.sqrt(np.maximum(excess[:count], excess[count:])).T))


def loudest(profiles: FloatArray) -> FloatArray:
    """(N,) the statistic: the sum of the three largest of profiles (N, D) >= 0."""
    out = np.empty(len(profiles))
    _loudest(profiles, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _loudest(profiles: FloatArray, out: FloatArray) -> None:
    for t in range(profiles.shape[0]):
        out[t] = sum_of_largest(profiles[t])


@njit(cache=True, nogil=True, error_model="numpy")
def sum_of_largest(profile: FloatArray) -> float:
    """The sum of the three largest of a profile (D,) >= 0, the smallest first."""
    first = second = third = 0.0
    for size in profile:
        if size > first:
            first, second, third = size, first, second
        elif size > second:
            second, third = size, second
        elif size > third:
            third = size
    return third + second + first
