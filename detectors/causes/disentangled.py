"""A causal graph in two parts: what holds in both states, and what the new state adds (CORAL's disentangled graph).

CORAL (Wang et al. 2023) embeds the rows of the old and of the new state with recurrent graph autoencoders: one branch
rebuilds the graph before, the other its complement, "new relations only", and the two are fused, pruned and carried
from batch to batch. That encoder was never released, so none of its figures can be checked against. Ours keeps the
division and replaces the encoder by what the joint form has: a lagged linear model on second moments (.learning). It
is bounded in time, deterministic, and every edge has a weight, a lag and a number of rows; a network trained for 20
steps on an episode of some 16 to 100 rows promises none of that. It misses effects that are not linear.

quiet       at an episode's first update: the graph of the quiet rows alone, A, of relations larger than chance makes.
            Later updates get it as it is, so that what was added stays told as added
invariant   one weight for both states on the relations of A; each state standardised, and weighed alike from 3 rows a
            variable of the new one on
dependent   the new state's rows with the invariant prediction as offset, relations where A has none in either
            direction; the penalty is at least the size that chance gives: sqrt(2 log candidates / rows)
fused       pruned, no cycle within a row; a cycle is broken at what was added, at its weakest

The strength of A's relations may differ between the states (a louder cause has a larger standardised weight): the
dependent stage takes that up at the ordinary penalty, or it would look like new relations of their neighbours.
A relation of A that the new rows contradict, given the others, is told as ended: see `_ended`.

Where it does badly: below 8 rows of the new state nothing is told of it, and below some 60 only relations close to 1
are told as new; rows that depend on each other are fewer than they count for; a fault that drifts makes everything
correlate, and effects later than the lags of the model look new when their cause grows louder.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.descent import Limits, chance, descend
from detectors.causes.graph import HOLDS, SINCE_CHANGE, UNTIL_CHANGE, CausalGraph
from detectors.causes.learning import (
    Learned,
    Moments,
    Parts,
    free_weights,
    graph_of,
    penalties,
    why_not,
    without_cycles,
)
from detectors.causes.settings import LearningSettings

ROWS_A_VARIABLE = 3  # of the new state, from which on it weighs as much as the quiet one
FEWEST_ROWS = 8  # of the new state: fewer tell nothing of it
BOTH = HOLDS.index("both")


def learn_disentangled(
    quiet: Moments,
    since: Moments,
    variables: Sequence[str],
    settings: LearningSettings,
    *,
    given: CausalGraph | None = None,
    before: Learned | None = None,
) -> Learned:
    """The graph of the variables that explains both states, each edge with the state in which it holds.

    quiet, since: moments of the quiet rows and of those since the change.  before: its weights are where this update
    starts; its parts are those of the update before in the same episode, None at an episode's first.
    Cost: two descents, three at an episode's first update.
    """
    count = len(variables)
    prior = given if given is not None else CausalGraph.empty(variables)
    start = before.weights if before is not None else np.zeros((count * (quiet.lags + 1), count))
    if reason := why_not(quiet, count, settings):
        return Learned(prior, start, reason)
    known = prior.adjacency()
    known_parts = before.parts if before is not None else None
    parts = known_parts if known_parts is not None else _first_parts(quiet, start, known, settings)
    states = quiet.correlation(), since.correlation()
    old = relations(parts.quiet) | known  # A
    share = 0.5 * min(1.0, since.count / (ROWS_A_VARIABLE * count))
    mixed = (1.0 - share) * states[0] + share * states[1]
    begin = parts.quiet if known_parts is None else start
    weights = _invariant(mixed, quiet.count + since.count, begin, old, known, settings)
    pruned = _pruned(weights, known, settings.prune)
    now = _new_state(states[1], since.count, pruned, parts.dependent, old, known, settings)
    added = _added(now, pruned, old, known, settings.prune)
    ended = _ended(states, (parts.quiet, now), (quiet, since)) & old
    graph = _fused(variables, prior, known, (parts.quiet, pruned, added), ended, settings.prune)
    return Learned(replace(graph, rows=quiet.count + since.count), weights, parts=Parts(parts.quiet, added))


def relations(weights: FloatArray) -> BoolArray:
    """(D, D) True where i moves j at any lag; a variable's own past is no relation. weights: (N, D)."""
    count = weights.shape[1]
    return np.asarray((weights.reshape(-1, count, count) != 0.0).any(axis=0) & ~np.eye(count, dtype=np.bool_))


def _first_parts(quiet: Moments, start: FloatArray, known: BoolArray, settings: LearningSettings) -> Parts:
    """The quiet rows alone: every relation may be one that is larger than chance makes."""
    found = _invariant(quiet.correlation(), quiet.count, start, np.ones_like(known), known, settings)
    least = max(settings.prune, _noise(found.size, quiet.count))
    return Parts(_pruned(found, known, least), np.zeros_like(start))


def _pruned(weights: FloatArray, known: BoolArray, prune: float) -> FloatArray:
    """Without weak weights and without cycles within a row; given relations and each variable's own past stay."""
    count = weights.shape[1]
    kept = np.tile(known | np.eye(count, dtype=np.bool_), (len(weights) // count, 1))
    strong = np.where((np.abs(weights) >= prune) | kept, weights, 0.0)
    strong[:count] = without_cycles(strong[:count], known)
    return strong


def _invariant(
    correlation: FloatArray, rows: int, start: FloatArray, old: BoolArray, known: BoolArray, settings: LearningSettings
) -> FloatArray:
    """Weights (N, D) of the old relations, and of each variable's own past; given ones are not penalised."""
    blocks = len(start) // len(known)
    free = free_weights(known, blocks) & np.tile(old | np.eye(len(known), dtype=np.bool_), (blocks, 1))
    penalty = penalties(known, settings.sparsity * chance(len(start), rows), blocks)
    return _descend(correlation, start * free, Limits(free, np.zeros_like(start), penalty), settings)


def _descend(correlation: FloatArray, start: FloatArray, limits: Limits, settings: LearningSettings) -> FloatArray:
    return descend(correlation, start, limits, iterations=settings.iterations, candidates=settings.candidates)


def _new_state(
    correlation: FloatArray,
    rows: int,
    invariant: FloatArray,
    added: FloatArray,
    old: BoolArray,
    known: BoolArray,
    settings: LearningSettings,
) -> FloatArray:
    """Weights (N, D) of the new state: the invariant ones, drawn away from them as far as its rows demand."""
    blocks = len(invariant) // len(known)
    free: BoolArray = free_weights(known, blocks)
    new = np.tile(~_same_pair(old), (blocks, 1))
    penalty = np.full_like(invariant, settings.sparsity * chance(len(invariant), rows))
    penalty[new] = max(settings.sparsity * chance(len(invariant), rows), _noise(int(new.sum()), rows))
    free &= new | np.tile(old | np.eye(len(known), dtype=np.bool_), (blocks, 1))
    start = np.where(free, invariant + added, invariant)
    return _descend(correlation, start, Limits(free, invariant, penalty), settings)


def _same_pair(old: BoolArray) -> BoolArray:
    """(D, D) pairs that have a relation in either direction, and each variable with itself."""
    return np.asarray(old | old.T | np.eye(len(old), dtype=np.bool_))


def _added(now: FloatArray, invariant: FloatArray, old: BoolArray, known: BoolArray, prune: float) -> FloatArray:
    """The new state's weights (N, D) where there was no relation, strong ones, free of cycles with the invariant."""
    count = now.shape[1]
    new = np.tile(~_same_pair(old), (len(now) // count, 1))
    added = np.where(new & (np.abs(now) >= prune), now, 0.0)
    fixed = known | (invariant[:count] != 0.0)
    added[:count] = np.where(fixed, 0.0, without_cycles(invariant[:count] + added[:count], fixed))
    return added


def _ended(
    states: tuple[FloatArray, FloatArray], weights: tuple[FloatArray, FloatArray], found: tuple[Moments, Moments]
) -> BoolArray:
    """(D, D) relations of the quiet state that the new one contradicts.

    What a relation is worth given the others is what the residual, without it, still shares with its cause. Expected of
    the new state is what it was worth in the quiet one, in units that allow for louder or fainter variables; it ended
    if at no lag half of that is left, and more is lacking than chance takes. A cause that rests tells nothing.
    """
    worth = [_worth(state, weight) for state, weight in zip(states, weights, strict=True)]
    spread = [_spread(moments) for moments in found]
    louder = np.divide(spread[1], spread[0], out=np.zeros_like(spread[0]), where=spread[0] > 0.0)
    effect = np.maximum(louder, 1e-9)  # an effect that rests while its cause moves: as much is lacking as can be
    expected = relations(weights[0]) * worth[0] * louder[:, None] / effect[None, :]
    least = _noise(int((expected > 0.0).sum()), found[1].count)
    return np.asarray((worth[1] < 0.5 * expected) & (expected - worth[1] > least))


def _noise(choices: int, rows: int) -> float:
    """What chance makes of so many relations; infinite below FEWEST_ROWS rows, where that holds no longer."""
    return chance(choices, rows) if rows >= FEWEST_ROWS else inf


def _worth(correlation: FloatArray, weights: FloatArray) -> FloatArray:
    """(D, D) the best weight of each relation with all others as they are, without its sign, at its strongest lag."""
    count = weights.shape[1]
    single = correlation[:, :count] - correlation @ weights + np.diag(correlation)[:, None] * weights
    return np.asarray(np.abs(single).reshape(-1, count, count).max(axis=0))


def _spread(found: Moments) -> FloatArray:
    """(D,) standard deviations; 0 of what the correlation takes for a constant."""
    count = len(found.total) // (found.lags + 1)
    mean = found.total[:count] / max(1, found.count)
    variance = np.diag(found.products)[:count] / max(1, found.count) - mean**2
    return np.asarray(np.where(np.diag(found.correlation())[:count] > 0.0, np.sqrt(np.maximum(variance, 0.0)), 0.0))


def _fused(
    variables: Sequence[str],
    prior: CausalGraph,
    known: BoolArray,
    parts: tuple[FloatArray, FloatArray, FloatArray],
    ended: BoolArray,
    prune: float,
) -> CausalGraph:
    """One graph of quiet, invariant and added weights (N, D). An ended relation keeps the weight that it had."""
    quiet, invariant, added = parts
    is_over = np.tile(ended, (len(quiet) // len(known), 1))
    graph = graph_of(np.where(is_over, quiet, invariant + added), variables, prior, known, prune)
    holds = np.where(ended, UNTIL_CHANGE, np.where(relations(added), SINCE_CHANGE, BOTH))
    return replace(graph, holds=holds[graph.causes, graph.effects])
