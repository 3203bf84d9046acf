"""How far variables are over their own lines, all at once: the statistic of the `change` trigger.

Each variable has two signals (its deviation, and its residual given the others), each looked at over the last 1, 2 and
4 rows. A signal's line is its own past 99 % point at that horizon.
"""

from collections.abc import Iterator

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray

HORIZONS = (1, 2, 4)  # rows of the moving sums
LEAST_LINE = 2.5  # standard deviations: a signal that never moved is not over its line by moving at all
TAIL = 0.1  # the share of a signal's past that its line is drawn from
TILE = 16  # rows
AT_ONCE = 32  # signals
FEW = 1024  # sums over their lines, for which there is room at first
NEARLY = 1.0 - 1e-9  # of a line: what is below cannot have a log above the line's, however the two are rounded


def running_totals(signals: FloatArray) -> FloatArray:
    """(M, N + 1) sums of the first 0, 1, ... N rows of signals (N, M). Each signal in one piece: that is for speed."""
    totals = np.empty((signals.shape[1], len(signals) + 1))
    _running_totals(signals, totals)
    return totals


@njit(cache=True, nogil=True, error_model="numpy")
def _running_totals(signals: FloatArray, totals: FloatArray) -> None:
    """Some rows of all signals after the other, so that both arrays stay near."""
    totals[:, 0] = 0.0
    for start in range(0, signals.shape[0], TILE):
        for j in range(signals.shape[1]):
            for t in range(start, min(start + TILE, signals.shape[0])):
                totals[j, t + 1] = totals[j, t] + signals[t, j]


def moving_sums(totals: FloatArray, horizon: int) -> FloatArray:
    """(M, N - horizon + 1) |sum of the last rows| / sqrt(horizon), from the running totals (M, N + 1)."""
    sums = np.empty((len(totals), totals.shape[1] - horizon))
    _moving_sums(totals, horizon, sums)
    return sums


@njit(cache=True, nogil=True, error_model="numpy")
def _moving_sums(totals: FloatArray, horizon: int, sums: FloatArray) -> None:
    for j in range(sums.shape[0]):
        _of_one(totals[j], horizon, sums[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _of_one(totals: FloatArray, horizon: int, sums: FloatArray) -> None:
    root = np.sqrt(horizon)
    for t in range(sums.shape[0]):
        sums[t] = abs(totals[t + horizon] - totals[t]) / root


def some_at_once(signals: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Which of signals (N, M), and their running totals: so many at a time that what is made of them stays small."""
    for start in range(0, signals.shape[1], AT_ONCE):
        some = slice(start, min(start + AT_ONCE, signals.shape[1]))
        yield some, running_totals(signals[:, some])


def fit_lines(signals: FloatArray) -> FloatArray:
    """(3, M) the 99 % point of each signal's past (N, M) at each horizon, N >= 8, M even.

    Read off an exponential tail over the 90 % point rather than counted: with few rows the 99 % point would be their
    maximum. Only the tail is sorted: O(N M).
    """
    lines = np.full((len(HORIZONS), signals.shape[1]), LEAST_LINE)
    for some, totals in some_at_once(signals):
        for line, horizon in zip(lines[:, some], HORIZONS, strict=True):
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


def past_statistics(signals: FloatArray, lines: FloatArray, cap: float) -> FloatArray:
    """(N,) the statistic of each row of the past, from its signals (N, 2 D), by today's lines."""
    profiles = np.zeros((len(signals), signals.shape[1] // 2))
    for some, totals in some_at_once(signals):
        for line, horizon in zip(lines[:, some], HORIZONS, strict=True):
            which, rows, sums = _over(totals, NEARLY * line, horizon)  # few; all others have an excess of 0
            _raise(profiles, rows, some.start + which, log_excess(sums, line[which], cap))
    return loudest(np.sqrt(profiles, out=profiles))


@njit(cache=True, nogil=True, error_model="numpy")
def _over(totals: FloatArray, lines: FloatArray, horizon: int) -> tuple[IntArray, IntArray, FloatArray]:
    """The signals, rows and sizes of the moving sums over the lines (M,)."""
    sums = np.empty(totals.shape[1] - horizon)
    places, sizes, found = np.empty((2, FEW), dtype=np.int64), np.empty(FEW), 0
    for j in range(totals.shape[0]):
        _of_one(totals[j], horizon, sums)
        over = 0
        for t in range(sums.shape[0]):
            over += sums[t] > lines[j]
        if found + over > sizes.shape[0]:
            room = 2 * (found + over)
            more_places, more_sizes = np.empty((2, room), dtype=np.int64), np.empty(room)
            for i in range(found):
                more_places[0, i], more_places[1, i], more_sizes[i] = places[0, i], places[1, i], sizes[i]
            places, sizes = more_places, more_sizes
        for t in range(sums.shape[0] if over > 0 else 0):
            if sums[t] > lines[j]:
                places[0, found], places[1, found], sizes[found] = j, t + horizon - 1, sums[t]
                found += 1
    return places[0, :found], places[1, :found], sizes[:found]


@njit(cache=True, nogil=True, error_model="numpy")
def _raise(profiles: FloatArray, rows: IntArray, signals: IntArray, excess: FloatArray) -> None:
    """Profiles (N, D) are at least the excess of each of a variable's signals."""
    for i in range(rows.shape[0]):
        t, j = rows[i], signals[i] % profiles.shape[1]
        profiles[t, j] = max(profiles[t, j], excess[i])


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
