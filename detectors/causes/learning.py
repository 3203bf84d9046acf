"""A causal graph learned from data: lagged linear, acyclic within a row, warm-started from the graph before.

Model (DYNOTEARS, Pamfil et al. 2020): each variable is a linear function of the others in the same row and of all in
the L rows before. The loss needs nothing but second moments, so its cost does not grow with the number of rows, and
moments of batches add up. How the weights are found, acyclic within a row: .descent.

What is ours: a penalty as large as what chance makes with so many columns and rows, the user's graph as a prior (its
relations are neither penalised nor reversed nor dropped), a budget of iterations in place of convergence at any price,
and breaking what cycles are left at their weakest learned edge. It does badly where effects are not linear, where the
fault itself is all the variance there is, below some 3 rows a variable, and at telling cause from effect within a row:
where noise is normal and all is in one row, second moments do not say which is which.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.descent import Limits, chance, descend
from detectors.causes.graph import CausalGraph
from detectors.causes.settings import LearningSettings

CONSTANT = 1e-12  # a variance at or below this is that of a constant
RIDGE = 0.02  # of the last regression: columns may be equal


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
    """Moments of rows (T, D) without gaps; the first L only serve as lags. T <= L gives the moments of no rows.

    Products of lags a and b are those of 0 and b - a but for a few rows at either end: O(T L D^2), not O(T L^2 D^2).
    """
    size = rows.shape[1] * (lags + 1)
    if len(rows) <= lags:
        return Moments(np.zeros(size), np.zeros((size, size)), 0, lags)
    columns = [rows[lags - lag : len(rows) - lag] for lag in range(lags + 1)]
    products = np.empty((lags + 1, rows.shape[1], lags + 1, rows.shape[1]))
    for gap in range(lags + 1):
        block = columns[0].T @ columns[gap]
        for lag in range(lags + 1 - gap):
            if lag:
                block = block + _edge(rows, lags - lag, gap) - _edge(rows, len(rows) - lag, gap)
            products[lag, :, lag + gap, :] = block
            products[lag + gap, :, lag, :] = block.T
    total = np.concatenate([column.sum(axis=0) for column in columns])
    return Moments(total, products.reshape(size, size), len(columns[0]), lags)


def _edge(rows: FloatArray, row: int, gap: int) -> FloatArray:
    """(D, D) what one row adds to the products with the row so far before it."""
    return np.outer(rows[row], rows[row - gap])


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

    Cost: that of :func:`detectors.causes.descent.descend`. Wider systems than settings.max_variables keep the given
    graph, with a note that says so; so do fewer than 3 rows a variable.
    """
    count = len(variables)
    prior = given if given is not None else CausalGraph.empty(variables)
    start = before.weights if before is not None else np.zeros((count * (found.lags + 1), count))
    if reason := why_not(found, count, settings):
        return Learned(prior, start, reason)
    known = prior.adjacency()
    free = free_weights(known, found.lags + 1)
    penalty = penalties(known, settings.sparsity * chance(len(start), found.count), found.lags + 1)
    limits = Limits(free, np.zeros_like(start), penalty)
    correlation = found.correlation()
    weights = descend(correlation, start * free, limits, iterations=settings.iterations, candidates=settings.candidates)
    graph = graph_of(refitted(correlation, weights, known, settings.prune), variables, prior, known, settings.prune)
    return Learned(replace(graph, rows=found.count), weights)


def why_not(found: Moments, count: int, settings: LearningSettings) -> str:
    """Why so many variables of these moments get no learned graph; empty if they do."""
    if count > settings.max_variables:
        return f"no graph is learned above {settings.max_variables} variables, got {count}"
    if found.count < 3 * count:
        return f"no graph is learned below {3 * count} rows, got {found.count}"
    return ""


def free_weights(known: BoolArray, blocks: int) -> BoolArray:
    """(N, D) which weights may differ from 0: no variable moves itself within a row, no given relation is reversed."""
    free = np.ones((blocks * len(known), len(known)), dtype=np.bool_)
    free[: len(known)] = ~np.eye(len(known), dtype=np.bool_) & ~(known.T & ~known)
    return free


def penalties(known: BoolArray, size: float, blocks: int) -> FloatArray:
    """(N, D) that size, and none for given relations."""
    return np.where(np.tile(known, (blocks, 1)), 0.0, size)


def refitted(correlation: FloatArray, weights: FloatArray, known: BoolArray, prune: float) -> FloatArray:
    """Weights (N, D) of each relation's strongest lag, if strong enough or given, by ridge regression together with the
    variable's own past: without what the penalty took from them."""
    count = len(known)
    kept = np.where((np.abs(weights) >= prune) | np.tile(known, (len(weights) // count, 1)), weights, 0.0)
    kept[:count] = without_cycles(kept[:count], known)
    layers = kept.reshape(-1, count, count)
    strongest = np.abs(layers).argmax(axis=0)[None] == np.arange(len(layers))[:, None, None]
    asked = (strongest & ((layers != 0.0) | known) | np.eye(count, dtype=np.bool_) & (layers != 0.0)).reshape(-1, count)
    out = np.zeros_like(weights)
    for j in range(count):
        chosen = np.flatnonzero(asked[:, j])
        gram = correlation[np.ix_(chosen, chosen)] + RIDGE * np.eye(len(chosen))
        out[chosen, j] = np.linalg.solve(gram, correlation[chosen, j])
    return out


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
