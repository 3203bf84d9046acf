"""The slow scale of each variable: mean and standard deviation of everything learned, by Welford's recurrence.

A sticky, heavy-tailed scale beats a robust or a recent one here: it lets rare but normal excursions keep their size.
A variable that was constant so far follows within some 50 rows once it moves. Welford (1962), weighted as in West
(1979); the floor of the deviation and the young constant are ours.
"""

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray

ROWS = 5  # of a scale: weight seen, mean, sum of squares, least, largest
CONSTANT_ROWS = 50.0  # a constant variable counts as seen so often at most
FLOOR = 0.01  # of the range seen, below which no deviation falls
CLIP = 8.0  # of a standardised value
SETTLED = 10.0  # weight seen, from which on a scale may tell what is far; the first steps of any variable look huge


def new_scale(variables: int) -> FloatArray:
    """(5, D) a scale that has seen nothing."""
    return np.zeros((ROWS, variables))


@njit(cache=True, nogil=True, error_model="numpy")
def learn_scale(scale: FloatArray, values: FloatArray, present: BoolArray, renewed: BoolArray, weight: float) -> None:
    """Take in one row (D,) with its learning weight."""
    for j in range(values.shape[0]):
        if renewed[j]:
            scale[:, j] = 0.0
        if not present[j] or weight <= 0.0:
            continue
        x = values[j]
        if scale[0, j] == 0.0:
            scale[3, j], scale[4, j] = x, x
        scale[3, j], scale[4, j] = min(scale[3, j], x), max(scale[4, j], x)
        scale[0, j] += weight
        step = x - scale[1, j]
        scale[1, j] += step * weight / scale[0, j]
        scale[2, j] += weight * step * (x - scale[1, j])
        if scale[3, j] == scale[4, j]:
            scale[0, j] = min(scale[0, j], CONSTANT_ROWS)


@njit(cache=True, nogil=True, error_model="numpy")
def fit_scale(scale: FloatArray, mean: FloatArray, sd: FloatArray) -> None:
    """Mean and deviation (D,) to standardise with; a deviation of 0 means that the variable never moved."""
    for j in range(mean.shape[0]):
        mean[j] = scale[1, j]
        sd[j] = 0.0
        if scale[0, j] > 0.0:
            floor = max(FLOOR * (scale[4, j] - scale[3, j]), 1e-12 * abs(scale[1, j]))
            sd[j] = max(np.sqrt(max(scale[2, j], 0.0) / scale[0, j]), floor)  # rounding may leave it below 0


@njit(cache=True, nogil=True, error_model="numpy")
def learn_step_size(sizes: FloatArray, j: int, step: float, weight: float) -> None:
    """Take in one step of variable j. sizes: (2, D) weight seen, mean fourth power.

    The fourth root of the mean fourth power, in place of the deviation: a variable that rests and jumps now and then
    has steps of size one when it jumps. A step counts as at most 20 of the size so far.
    """
    away = abs(step)
    if sizes[0, j] >= CONSTANT_ROWS and sizes[1, j] > 0.0:
        away = min(away, 20.0 * np.sqrt(np.sqrt(sizes[1, j])))
    sizes[0, j] += weight
    sizes[1, j] += (away * away * away * away - sizes[1, j]) * weight / sizes[0, j]
    if sizes[1, j] == 0.0:
        sizes[0, j] = min(sizes[0, j], CONSTANT_ROWS)


@njit(cache=True, nogil=True, error_model="numpy")
def standardise(x: float, mean: float, sd: float) -> float:
    """(x - mean) / sd within +-8; any step of a variable that never moved is as large as can be."""
    step = x - mean
    if sd > 0.0:
        return float(min(max(step / sd, -CLIP), CLIP))
    return CLIP * float(np.sign(step))
