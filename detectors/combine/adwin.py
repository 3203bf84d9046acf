"""ADWIN: a window over a stream of numbers that drops its older part once that part has another mean.

A. Bifet, R. Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007: the window is kept as an
exponential histogram, and cut where the means of its two parts differ by more than

    sqrt(2 / m ln(2 ln(n) / delta) var) + 2 / (3 m) ln(2 ln(n) / delta),    1 / m = 1 / n0 + 1 / n1

This is river's `river.drift.ADWIN` (same detections; a test says so), whose object can be kept by pickle only: here the
state is three arrays. Like river's it looks at every 32nd number and begins anew after a detection.
"""

from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray, State

CLOCK = 32
MOST_BUCKETS = 5  # of one size
SHORTEST = 5  # rows of a part
GRACE = 10
SIZES = 48  # 2 ** 48 rows are enough

Arrays: TypeAlias = tuple[FloatArray, IntArray, FloatArray]


class Adwin:
    """Follows one stream, by :func:`update`. Cost: some 50 ns a number, with every 32nd some microseconds.

    buckets: (2, SIZES, MOST_BUCKETS + 1) sums and sums of squared deviations, oldest first; row i holds buckets of 2^i.
    counts: (SIZES + 1,) buckets of each size; numbers seen. window: sum, sum of squared deviations, numbers in it.
    """

    def __init__(self) -> None:
        self.buckets = np.zeros((2, SIZES, MOST_BUCKETS + 1))
        self.counts = np.zeros(SIZES + 1, dtype=np.int64)
        self.window = np.zeros(3)

    @property
    def arrays(self) -> Arrays:
        return self.buckets, self.counts, self.window

    def state(self) -> State:
        return {"buckets": self.buckets.copy(), "counts": self.counts.copy(), "window": self.window.copy()}

    def load_state(self, state: State) -> None:
        self.buckets[:], self.counts[:], self.window[:] = state["buckets"], state["counts"], state["window"]


@njit(cache=True, nogil=True, error_model="numpy")
def update(x: float, arrays: Arrays, delta: float) -> bool:
    """Take in a number; True if the window was cut: the mean has changed. The window should then be :func:`clear`ed."""
    _, counts, window = arrays
    _insert(x, arrays)
    counts[SIZES] += 1
    if counts[SIZES] % CLOCK or window[2] <= GRACE:
        return False
    changed = False
    while _is_split(arrays, delta):
        changed = True
        _drop_oldest(arrays)
    return changed


@njit(cache=True, nogil=True, error_model="numpy")
def clear(arrays: Arrays) -> None:
    """Begin anew."""
    buckets, counts, window = arrays
    buckets[:], counts[:], window[:] = 0.0, 0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _insert(x: float, arrays: Arrays) -> None:
    """A new bucket of one number; where there are too many of a size, the two oldest become one of twice the size."""
    buckets, counts, window = arrays
    window[2] += 1.0
    if window[2] > 1.0:
        before = window[2] - 1.0
        away = x - window[0] / before
        window[1] += before * away * away / window[2]
    window[0] += x
    _append(0, x, 0.0, buckets, counts)
    size = 0
    while size < SIZES - 1 and counts[size] == MOST_BUCKETS + 1:
        n = 2.0**size
        first, second = buckets[0, size, 0], buckets[0, size, 1]
        away = first / n - second / n
        squares = buckets[1, size, 0] + buckets[1, size, 1] + n * n * away * away / (n + n)
        buckets[:, size, :-2] = buckets[:, size, 2:].copy()
        counts[size] -= 2
        _append(size + 1, first + second, squares, buckets, counts)
        size += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _append(size: int, total: float, squares: float, buckets: FloatArray, counts: IntArray) -> None:
    buckets[0, size, counts[size]], buckets[1, size, counts[size]] = total, squares
    counts[size] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _oldest(counts: IntArray) -> int:
    """The largest size that there is a bucket of."""
    size = SIZES - 1
    while size > 0 and counts[size] == 0:
        size -= 1
    return size


@njit(cache=True, nogil=True, error_model="numpy")
def _drop_oldest(arrays: Arrays) -> None:
    buckets, counts, window = arrays
    size = _oldest(counts)
    n, total = 2.0**size, buckets[0, size, 0]
    window[2] -= n
    window[0] -= total
    away = total / n - window[0] / window[2]
    window[1] -= buckets[1, size, 0] + n * window[2] * away * away / (n + window[2])
    buckets[:, size, :-1] = buckets[:, size, 1:].copy()
    counts[size] -= 1


@njit(cache=True, nogil=True, error_model="numpy")
def _is_split(arrays: Arrays, delta: float) -> bool:
    """Whether at some border between buckets, from the oldest on, the means of the two parts differ too much."""
    buckets, counts, window = arrays
    n0, n1, u0, u1 = 0.0, window[2], 0.0, window[0]
    for size in range(_oldest(counts), -1, -1):
        for k in range(counts[size] - 1 if size == 0 else counts[size]):
            n0, n1 = n0 + 2.0**size, n1 - 2.0**size
            u0, u1 = u0 + buckets[0, size, k], u1 - buckets[0, size, k]
            if n0 >= SHORTEST and n1 >= SHORTEST and _differ(n0, n1, abs(u0 / n0 - u1 / n1), window, delta):
                return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _differ(n0: float, n1: float, away: float, window: FloatArray, delta: float) -> bool:
    chance = np.log(2.0 * np.log(window[2]) / delta)
    small = 1.0 / (n0 - SHORTEST + 1.0) + 1.0 / (n1 - SHORTEST + 1.0)
    return bool(away > np.sqrt(2.0 * small * window[1] / window[2] * chance) + 2.0 / 3.0 * chance * small)
