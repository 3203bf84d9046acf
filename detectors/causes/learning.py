"""A causal graph learned from data: lagged linear, acyclic within a row, warm-started from the graph before.

Model (DYNOTEARS, Pamfil et al. 2020): each variable is a linear function of the others in the same row and of all in
the L rows before. The loss needs nothing but second moments, so its cost does not grow with the number of rows, and
moments of batches add up. Acyclicity of the within-row part is DAGMA's log-determinant (Bello et al. 2022), which is
better conditioned than the trace of an exponential and needs one inverse an iteration.

What is ours: the user's graph as a prior (its relations are neither penalised nor reversed nor dropped), a budget of
iterations in place of convergence at any price, and breaking what cycles are left at their weakest learned edge.
It does badly where effects are not linear, where the fault itself is all the variance there is, and below some
3 rows a variable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray
from detectors.causes.graph import CausalGraph
from detectors.causes.settings import LearningSettings

STAGES = (1.0, 0.1, 0.01)  # DAGMA's central path: the share of the loss against acyclicity
RATE = 0.03  # Adam's step, in standardised weights
RADIUS = 0.9  # largest spectral radius of W o W on the way
POWER_STEPS = 12
CONSTANT = 1e-12  # a variance at or below this is that of a constant


@dataclass(frozen=True, slots=True)
class Moments:
    """Second moments of rows together with their lags: N columns, D variables times L + 1 (the row itself first).

    total: (N,) sums.  products: (N, N) sums of products.  count: rows.  lags: L.
    """

    total: FloatArray
    products: FloatArray
    count: int
    lags: int

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.total + other.total, self.products + other.products, self.count + other.count, self.lags)

    def correlation(self) -> FloatArray:
        """(N, N); a constant column correlates with nothing, itself included."""
        mean = self.total / max(1, self.count)
        covariance = self.products / max(1, self.count) - np.outer(mean, mean)
        variance = np.diag(covariance)
        moves = variance > CONSTANT * np.maximum(1.0, mean**2)
        scale = np.where(moves, 1 / np.sqrt(np.where(moves, variance, 1.0)), 0.0)
        return np.asarray(covariance * np.outer(scale, scale))


def moments(rows: FloatArray, lags: int) -> Moments:
    """Moments of rows (T, D) without gaps; the first L only serve as lags. T <= L gives the moments of no rows."""
    columns = [rows[lags - lag : len(rows) - lag] for lag in range(lags + 1)]
    if len(rows) <= lags:
        columns = [rows[:0]] * (lags + 1)
    table = np.concatenate(columns, axis=1)
    return Moments(table.sum(axis=0), table.T @ table, len(table), lags)


def moments_around(before: FloatArray, between: FloatArray, after: FloatArray, lags: int) -> tuple[Moments, Moments]:
    """Moments of quiet rows, and of the rows of a change; the rows between the two serve as lags only."""
    ahead = between[-lags:] if lags else between[:0]
    return moments(before, lags), moments(np.concatenate([ahead, after]), lags)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the disentangled form carries through an episode: weights (N, D) of the quiet rows alone, pruned, and of the
    relations that the new state added."""

    quiet: FloatArray
    dependent: FloatArray


@dataclass(frozen=True, slots=True)
class Learned:
    """graph: pruned and acyclic within a row.  weights: (N, D) as the next update starts from.  note: what to doubt.
    parts: of the disentangled form, while an episode lasts."""

    graph: CausalGraph
    weights: FloatArray
    note: str = ""
    parts: Parts | None = None


def learn(
    found: Moments,
    variables: Sequence[str],
    settings: LearningSettings,
    *,
    given: CausalGraph | None = None,
    before: Learned | None = None,
) -> Learned:
    """The graph of the variables that explains the moments, starting from the graph before.

    Cost: settings.iterations times O(L D^3). Wider systems than settings.max_variables keep the given graph, with a
    note that says so; so do fewer than 3 rows a variable.
    """
    count = len(variables)
    prior = given if given is not None else CausalGraph.empty(variables)
    start = before.weights if before is not None else np.zeros((count * (found.lags + 1), count))
    if reason := why_not(found, count, settings):
        return Learned(prior, start, reason)
    known = prior.adjacency()
    weights = descend(found.correlation(), start, known, settings)
    graph = graph_of(weights, variables, prior, known, settings.prune)
    return Learned(replace(graph, rows=found.count), weights)


def why_not(found: Moments, count: int, settings: LearningSettings) -> str:
    """Why so many variables of these moments get no learned graph; empty if they do."""
    if count > settings.max_variables:
        return f"no graph is learned above {settings.max_variables} variables, got {count}"
    if found.count < 3 * count:
        return f"no graph is learned below {3 * count} rows, got {found.count}"
    return ""


def descend(correlation: FloatArray, start: FloatArray, known: BoolArray, settings: LearningSettings) -> FloatArray:
    """Weights (N, D), [i, j] of what moves j: proximal Adam on the smooth loss, the L1 part by shrinking."""
    count = start.shape[1]
    free = free_weights(known, len(start) // count)
    penalty = settings.sparsity * ~np.tile(known, (len(start) // count, 1))
    weights = start * free
    averages = np.zeros((2, *start.shape))
    wanted, one = np.ascontiguousarray(correlation[:, :count]), np.eye(count)
    steps = max(1, settings.iterations // len(STAGES))
    for stage in STAGES:
        for step in range(1, steps + 1):
            inverse = np.linalg.inv(one - weights[:count] ** 2)
            unbias = (1 - 0.9**step, 1 - 0.99**step)
            _move(correlation @ weights, wanted, inverse, stage, unbias, (penalty, free), averages, weights)
            weights[:count] = inside(weights[:count])
    return weights


@njit(cache=True, nogil=True, error_model="numpy")
def _move(
    product: FloatArray,
    wanted: FloatArray,
    inverse: FloatArray,
    stage: float,
    unbias: tuple[float, float],
    limits: tuple[FloatArray, BoolArray],
    averages: FloatArray,
    weights: FloatArray,
) -> None:
    """One step of Adam on the weights (N, D), in place, and the shrinking after it.

    The slope is that of the loss, product - wanted with product = correlation @ weights, and within a row that of
    -log det(I - W o W): 2 W o (I - W o W)^-T, zero exactly where no cycle passes; inverse (D, D) is of I - W o W.
    averages: (2, N, D) of the slope and of its square. limits: penalty and free, both (N, D).
    """
    penalty, free = limits
    mean, square = averages[0], averages[1]
    size = weights.shape[1]
    for i in range(weights.shape[0]):
        for j in range(size):
            slope = stage * (product[i, j] - wanted[i, j])
            if i < size:
                slope += 2 * weights[i, j] * inverse[j, i]
            mean[i, j] = 0.9 * mean[i, j] + 0.1 * slope
            square[i, j] = 0.99 * square[i, j] + 0.01 * (slope * slope)
            rate = RATE / (np.sqrt(square[i, j] / unbias[1]) + 1e-8)
            moved = weights[i, j] - rate * mean[i, j] / unbias[0]
            size_left = max(0.0, abs(moved) - rate * stage * penalty[i, j])
            weights[i, j] = np.sign(moved) * size_left * free[i, j]


def free_weights(known: BoolArray, blocks: int) -> BoolArray:
    """(N, D) which weights may differ from 0: no variable moves itself within a row, no given relation is reversed."""
    free = np.ones((blocks * len(known), len(known)), dtype=np.bool_)
    free[: len(known)] = ~np.eye(len(known), dtype=np.bool_) & ~(known.T & ~known)
    return free


def inside(within: FloatArray) -> FloatArray:
    """Scaled so that I - W o W stays an M-matrix: the spectral radius of W o W at most 0.9.

    For a positive v the largest (S v) / v bounds the radius of a matrix S >= 0 from above (Collatz, Wielandt); a few
    steps of power iteration make that bound tight, at a fraction of the cost of eigenvalues.
    """
    squares = within**2
    direction = np.ones(len(squares))
    for _ in range(POWER_STEPS):
        image = squares @ direction
        bound = float((image / direction).max())
        if bound <= RADIUS:
            return within
        direction = image / image.max() + 1e-3
    return np.asarray(within * np.sqrt(RADIUS / bound))


def graph_of(
    weights: FloatArray, variables: Sequence[str], prior: CausalGraph, known: BoolArray, prune: float
) -> CausalGraph:
    """The strongest lag of each relation that is strong enough or given, without cycles within a row."""
    count = len(variables)
    within = weights[:count].copy()
    within[(np.abs(within) < prune) & ~known] = 0.0
    layers = np.concatenate([without_cycles(within, known)[None], weights[count:].reshape(-1, count, count)])
    layers[:, np.eye(count, dtype=np.bool_)] = 0.0  # a variable's own past is no relation
    lags = np.abs(layers).argmax(axis=0)
    strongest = np.take_along_axis(layers, lags[None], axis=0)[0]
    causes, effects = np.nonzero((np.abs(strongest) >= prune) | known)
    return CausalGraph(
        tuple(variables),
        causes,
        effects,
        lags[causes, effects],
        strongest[causes, effects],
        known[causes, effects],
        prior.links,
        prior.unknown,
    )


def without_cycles(within: FloatArray, known: BoolArray) -> FloatArray:
    """Drop the weakest learned edge while there is a cycle; cycles of given edges alone are the user's."""
    kept = within.copy()
    while True:
        cyclic = on_cycles(kept != 0) & (kept != 0) & ~known
        if not cyclic.any():
            return kept
        sizes = np.where(cyclic, np.abs(kept), np.inf)
        kept[np.unravel_index(sizes.argmin(), sizes.shape)] = 0.0


def on_cycles(edges: BoolArray) -> BoolArray:
    """[i, j] True where j is reached from i by an edge and i from j by some path."""
    reach = edges.copy()
    for middle in range(len(edges)):  # Warshall
        reach |= reach[:, middle][:, None] & reach[middle][None, :]
    return edges & reach.T
