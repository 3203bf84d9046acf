"""The weights of a lagged linear model from its second moments, acyclic within a row: proximal Adam, few candidates.

The loss of a variable is that of its regression on the others in the same row and all in the rows before, plus an L1
penalty that is the size of what chance makes (:func:`chance`). Acyclicity of the within-row part is DAGMA's
log-determinant (Bello et al. 2022), which is better conditioned than NOTEARS' trace of an exponential and needs one
inverse an iteration; its central path is gone in three stages. After each, a pair of variables keeps one direction.

Candidates: of each variable only the columns that it correlates with most are asked, after sure independence screening
(Fan and Lv 2008), so that a slope costs K numbers in place of the D (L + 1) of all. Ours.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray

STAGES = (1.0, 0.1, 0.01)  # DAGMA's central path: the share of the loss against acyclicity
RATE = 0.03  # Adam's step, in standardised weights
RADIUS = 0.9  # largest spectral radius of W o W on the way
POWER_STEPS = 12

Chosen: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


class Limits(NamedTuple):
    """What a descent may do, all (N, D): free weights move, the others stay at their center; penalty of leaving it."""

    free: BoolArray
    center: FloatArray
    penalty: FloatArray


def descend(
    correlation: FloatArray, start: FloatArray, limits: Limits, *, iterations: int, candidates: int
) -> FloatArray:
    """Weights (N, D), [i, j] of what moves j, drawn to their center. correlation: (N, N) of D variables times L + 1.

    candidates: so many columns are asked for each variable at most; besides them whatever starts, is drawn to or is
    free of penalty. Cost: iterations times O(D K^2 + D^3).
    """
    count = start.shape[1]
    asked = screen(correlation, start, limits, candidates)
    chosen = _chosen(correlation, start, limits, asked)
    weights, within = chosen[0], np.zeros((count, count))
    steps = max(1, iterations // len(STAGES))
    _spread_out(weights, asked, within)
    _shrink(weights, asked, within)
    for stage in STAGES:
        averages = np.zeros((2, *weights.shape))  # anew: slopes of another stage are of another size
        for step in range(1, steps + 1):
            inverse = np.linalg.inv(np.eye(count) - within**2)
            unbias = (1 - 0.9**step, 1 - 0.99**step)
            _move(chosen, asked, inverse, stage, unbias, averages)
            _spread_out(weights, asked, within)
            _shrink(weights, asked, within)
        _one_way(chosen, asked, within)
        _spread_out(weights, asked, within)
    found = limits.center.copy()
    np.put_along_axis(found, asked.T, weights.T, axis=0)
    return found


def screen(correlation: FloatArray, start: FloatArray, limits: Limits, candidates: int) -> IntArray:
    """(D, K) rows of the weights that each variable's descent looks at, in ascending order."""
    count = start.shape[1]
    strength = np.abs(correlation[:, :count]) * limits.free
    wanted = (start != 0.0) | (limits.center != 0.0) | (limits.free & (limits.penalty == 0.0))
    strength[wanted] = np.inf
    most = min(len(start), max(candidates, int(wanted.sum(axis=0).max(initial=0))))
    order = np.argsort(-strength, axis=0, kind="stable")[:most]
    return np.ascontiguousarray(np.sort(order, axis=0).T)


def _chosen(correlation: FloatArray, start: FloatArray, limits: Limits, asked: IntArray) -> Chosen:
    """Weights, their center, penalty (infinite: not free) and correlation (D, K), and the candidates' own (D, K, K)."""

    def of(table: FloatArray | BoolArray) -> FloatArray:
        return np.ascontiguousarray(np.take_along_axis(table, asked.T, axis=0).T)

    free, center = of(limits.free), of(limits.center)
    penalty = np.where(free, of(limits.penalty), np.inf)
    gram = correlation[asked[:, :, None], asked[:, None, :]]
    return np.where(free, of(start), center), center, penalty, of(correlation[:, : start.shape[1]]), gram


@njit(cache=True, nogil=True, error_model="numpy")
def _move(
    chosen: Chosen,
    asked: IntArray,
    inverse: FloatArray,
    stage: float,
    unbias: tuple[float, float],
    averages: FloatArray,
) -> None:
    """One step of Adam on the weights (D, K), in place, and the shrinking after it.

    The slope is that of the loss, gram @ weights - wanted, and within a row that of -log det(I - W o W):
    2 W o (I - W o W)^-T, zero exactly where no cycle passes; inverse (D, D) is of I - W o W. averages: (2, D, K) of the
    slope and of its square.
    """
    weights, center, penalty, wanted, gram = chosen
    mean, square = averages[0], averages[1]
    count, most = weights.shape
    slopes = np.empty(most)
    for j in range(count):
        for k in range(most):
            total = 0.0
            for i in range(most):
                total += gram[j, k, i] * weights[j, i]
            slopes[k] = stage * (total - wanted[j, k])
        for k in range(most):
            if np.isinf(penalty[j, k]):
                continue
            slope, i = slopes[k], asked[j, k]
            if i < count:
                slope += 2.0 * weights[j, k] * inverse[j, i]
            mean[j, k] = 0.9 * mean[j, k] + 0.1 * slope
            square[j, k] = 0.99 * square[j, k] + 0.01 * (slope * slope)
            rate = RATE / (np.sqrt(square[j, k] / unbias[1]) + 1e-8)
            away = weights[j, k] - rate * mean[j, k] / unbias[0] - center[j, k]
            left = max(0.0, abs(away) - rate * stage * penalty[j, k])
            weights[j, k] = center[j, k] + np.sign(away) * left


@njit(cache=True, nogil=True, error_model="numpy")
def _spread_out(weights: FloatArray, asked: IntArray, within: FloatArray) -> None:
    """Write the within-row part (D, D) of weights (D, K)."""
    for j in range(asked.shape[0]):
        for k in range(asked.shape[1]):
            if asked[j, k] < within.shape[0]:
                within[asked[j, k], j] = weights[j, k]


def _one_way(chosen: Chosen, asked: IntArray, within: FloatArray) -> None:
    """Of two variables that move each other within a row, the stronger weight stays; of equal ones the first one's.

    A pair that nothing else tells apart has two equal weights, each of which holds the other down: without this they
    end near 0, however closely the two are related.
    """
    size = np.abs(within)
    order = np.arange(len(size))
    stronger = (size > size.T) | ((size == size.T) & (order[:, None] < order))
    weaker = (size > 0.0) & (size.T > 0.0) & ~stronger
    targets = np.arange(len(asked))[:, None]
    inside = asked < len(size)
    gone = inside & weaker[np.where(inside, asked, 0), targets]
    chosen[0][gone] = chosen[1][gone]


def _shrink(weights: FloatArray, asked: IntArray, within: FloatArray) -> None:
    """Bring the within-row part inside the radius, here and there."""
    factor = factor_inside(within)
    if factor < 1.0:
        within *= factor
        weights[asked < len(within)] *= factor


def factor_inside(within: FloatArray) -> float:
    """What scales W so that I - W o W stays an M-matrix: the spectral radius of W o W is then at most 0.9.

    For a positive v the largest (S v) / v bounds the radius of a matrix S >= 0 from above (Collatz, Wielandt); a few
    steps of power iteration make that bound tight, at a fraction of the cost of eigenvalues.
    """
    squares = within**2
    direction = np.ones(len(squares))
    for _ in range(POWER_STEPS):
        image = squares @ direction
        bound = float((image / direction).max())
        if bound <= RADIUS:
            return 1.0
        direction = image / image.max() + 1e-3
    return float(np.sqrt(RADIUS / bound))


def chance(choices: int, rows: int) -> float:
    """The largest of so many correlations of independent noise, about: Donoho and Johnstone's universal threshold,
    sqrt(2 log choices / rows). Infinite for no rows."""
    return float(np.sqrt(2.0 * np.log(max(2, choices)) / rows)) if rows > 0 else np.inf
