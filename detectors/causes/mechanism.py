"""Broken mechanisms: a variable that no longer follows the parents its user gave it.

A stuck sensor does not deviate; it stops answering. Where the graph is given, the residual of a variable given its
parents shows that, and it is the graph's best use (as a walk alone it is worth less).
"""

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.deviation import strength

LAGS = 3  # rows a parent may need
RIDGE = 0.05
SCALE_FLOOR = 0.3
EXPLAINED = 0.5  # a mechanism that explained less was never known
CLIP = 8.0  # of a parent's deviation: outside what was seen, the line is a guess
BLOCKS = 8  # of the cross-validation
FEWEST_ROWS = 16
NOTHING = np.zeros(1)  # the row ahead is taken for quiet


def broken_mechanisms(before: FloatArray, between: FloatArray, after: FloatArray, parents: BoolArray) -> FloatArray:
    """(D,) log1p of how far each variable left what its parents explain; 0 where no mechanism was known.

    before (N, D), after (T, D): deviations; between: the rows just ahead of `after` (LAGS of them, if there are).
    parents (D, D): [i, j] True where i is a cause of j. O(sum over j of N (4 parents of j)^2).
    """
    broken = np.zeros(parents.shape[0])
    if len(before) < FEWEST_ROWS:
        return broken
    old = _lagged(np.clip(before, -CLIP, CLIP), before[:0])
    new = _lagged(np.clip(after, -CLIP, CLIP), np.clip(between, -CLIP, CLIP))
    moved = np.ptp(before, axis=0) > 0.0
    for j in np.flatnonzero(parents.any(axis=0) & moved):
        chosen = np.flatnonzero(parents[:, j])
        fitted = _fit(old[:, :, chosen].reshape(len(before), -1), before[:, j])
        if fitted is not None:
            weights, scale = fitted
            left = after[:, j] - _with_one(new[:, :, chosen].reshape(len(after), -1)) @ weights
            broken[j] = np.log1p(strength(left[:, None] / scale, NOTHING)[0])
    return broken


def _lagged(rows: FloatArray, ahead: FloatArray) -> FloatArray:
    """(T, LAGS + 1, D) each row with those before it; the first row stands in for rows that are not there."""
    first = rows[:1] if not len(ahead) else ahead[:1]
    padded = np.vstack([np.repeat(first, LAGS, axis=0), ahead, rows])
    start = len(padded) - len(rows)
    return np.stack([padded[start - lag : len(padded) - lag] for lag in range(LAGS + 1)], axis=1)


def _with_one(inputs: FloatArray) -> FloatArray:
    return np.hstack([inputs, np.ones((len(inputs), 1))])


def _fit(inputs: FloatArray, target: FloatArray) -> tuple[FloatArray, float] | None:
    """Ridge weights and the cross-validated scale of the residual; None if the parents explain too little."""
    design = _with_one(inputs)
    gram, cross = design.T @ design, design.T @ target
    held = np.empty(len(target))
    for block in np.array_split(np.arange(len(target)), BLOCKS):
        rows = slice(block[0], block[-1] + 1)
        part, count = design[rows], len(target) - len(block)
        weights = _solve(gram - part.T @ part, cross - part.T @ target[rows], count)
        held[rows] = target[rows] - part @ weights
    if (held**2).mean() > (1.0 - EXPLAINED) * target.var():
        return None
    return _solve(gram, cross, len(target)), max(float(held.std()), SCALE_FLOOR)


def _solve(gram: FloatArray, cross: FloatArray, count: int) -> FloatArray:
    penalty = np.full(len(gram), RIDGE)
    penalty[-1] = 1e-9  # the constant is free
    return np.asarray(np.linalg.solve(gram / count + np.diag(penalty), cross / count))
