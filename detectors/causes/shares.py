"""Columns of a few levels that change how often they take each level, not the level itself.

A discrete state (0..5, a mode, a step of a program) may keep its mean and its range while its distribution breaks. A
chi-square of the level shares sees that; what the baseline itself does between its halves is taken off.
"""

from collections.abc import Mapping

import numpy as np

from detectors.block import FloatArray

FEWEST, MOST = 3, 8  # levels; two levels are a mean already
KNOWN = 0.9  # of the new readings must be on levels seen before, else the level itself changed
DRIFT = 2.0  # times the baseline's own drift is taken off


def of_few_levels(before: FloatArray) -> dict[int, FloatArray]:
    """The columns of before (N, D) that have 3 to 8 levels, by number, with the readings that are there. O(N D)."""
    early = before[: 4 * MOST]
    maybe = (j for j in range(before.shape[1]) if len(set(_finite(early[:, j]).tolist())) <= MOST)  # most are not
    columns = ((j, _finite(before[:, j])) for j in maybe)
    return {j: column for j, column in columns if _has_few_levels(column)}


def share_shift(before: Mapping[int, FloatArray], after: FloatArray) -> FloatArray:
    """(D,) size of the shift of level shares from those columns to after (T, D); 0 for columns it does not concern.

    The square root of the excess chi-square, so that it compares with a |z|. O(N + T) a column of few levels.
    """
    shifts = np.zeros(after.shape[1])
    for j, column in before.items():
        shifts[j] = _shift(column, _finite(after[:, j]))
    return shifts


def _has_few_levels(column: FloatArray) -> bool:
    return len(set(column[: 4 * MOST].tolist())) <= MOST and FEWEST <= len(np.unique(column)) <= MOST


def _finite(column: FloatArray) -> FloatArray:
    return column[np.isfinite(column)]


def _shift(before: FloatArray, after: FloatArray) -> float:
    known = np.unique(before)
    if not len(after) or np.isin(after, known).mean() < KNOWN:
        return 0.0
    levels = np.unique(np.concatenate([known, after]))
    shares = (_counts(before, levels) + 0.5) / (len(before) + 0.5 * len(levels))
    half = len(before) // 2
    drift = max(_excess(before[:half], levels, shares), _excess(before[half:], levels, shares), 0.0)
    excess = _excess(after, levels, shares) - DRIFT * drift * max(1.0, len(after) / half)
    return float(np.sqrt(max(excess, 0.0)))


def _counts(column: FloatArray, levels: FloatArray) -> FloatArray:
    return np.bincount(np.searchsorted(levels, column), minlength=len(levels)).astype(np.float64)


def _excess(column: FloatArray, levels: FloatArray, shares: FloatArray) -> float:
    """Pearson's chi-square of the column against the shares, less its expectation."""
    expected = len(column) * shares
    return float(((_counts(column, levels) - expected) ** 2 / expected).sum()) - (len(levels) - 1)
