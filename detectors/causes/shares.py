"""Columns of a few levels that change how often they take each level, not the level itself.

A discrete state (0..5, a mode, a step of a program) may keep its mean and its range while its distribution breaks. A
chi-square of the level shares sees that; what the baseline itself does between its halves is taken off.
"""

import numpy as np

from detectors.block import FloatArray

FEWEST, MOST = 3, 8  # levels; two levels are a mean already
KNOWN = 0.9  # of the new readings must be on levels seen before, else the level itself changed
DRIFT = 2.0  # times the baseline's own drift is taken off


def share_shift(before: FloatArray, after: FloatArray) -> FloatArray:
    """(D,) size of the shift of level shares from before (N, D) to after (T, D); 0 for columns it does not concern.

    The square root of the excess chi-square, so that it compares with a |z|. O((N + T) D).
    """
    return np.array([_shift(_finite(b), _finite(a)) for b, a in zip(before.T, after.T, strict=True)])


def _finite(column: FloatArray) -> FloatArray:
    return column[np.isfinite(column)]


def _shift(before: FloatArray, after: FloatArray) -> float:
    if len(np.unique(before[: 4 * MOST])) > MOST or not len(after):
        return 0.0
    known = np.unique(before)
    if not FEWEST <= len(known) <= MOST or np.isin(after, known).mean() < KNOWN:
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
