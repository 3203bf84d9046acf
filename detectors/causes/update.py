"""One update of the learned graph with the rows of an episode, in the form that the settings ask for; and how far it
agrees with the graph before."""

from collections.abc import Sequence

import numpy as np

from detectors.block import FloatArray
from detectors.causes.disentangled import learn_disentangled
from detectors.causes.evidence import Evidence
from detectors.causes.graph import CausalGraph
from detectors.causes.learning import Learned, learn, moments_around
from detectors.causes.settings import LearningSettings


def update_graph(
    evidence: Evidence,
    variables: Sequence[str],
    settings: LearningSettings,
    *,
    given: CausalGraph | None = None,
    before: Learned | None = None,
) -> Learned:
    """The graph of an episode's rows beside its baseline. Deviations have no gaps: missing is 0."""
    quiet, since = moments_around(evidence.before, evidence.between, evidence.after, settings.lags)
    if settings.form == "disentangled":
        return learn_disentangled(quiet, since, variables, settings, given=given, before=before)
    return learn(quiet + since, variables, settings, given=given, before=before)


def graph_agreement(one: CausalGraph, other: CausalGraph) -> float:
    """1 - the Jensen-Shannon divergence (base 2) of two graphs' edges in force, each weighed by its size.

    1 = the same graph but for a common factor, 0 = no edge in common; two graphs without edges agree. CORAL's measure
    of a graph that has settled.

    >>> both, half = (CausalGraph.from_pairs(p, "abc") for p in ([("a", "b"), ("b", "c")], [("a", "b")]))
    >>> graph_agreement(both, both), round(graph_agreement(both, half), 3)
    (1.0, 0.689)
    """
    p, q = _shares(one.in_force()), _shares(other.in_force())
    if not p.any() or not q.any():
        return float(p.any() == q.any())
    middle = (p + q) / 2
    divergence = (_divergence(p, middle) + _divergence(q, middle)) / 2
    return min(1.0, max(0.0, 1.0 - divergence))


def _shares(graph: CausalGraph) -> FloatArray:
    """(D, D) each edge's share of the sum of all sizes."""
    sizes = np.zeros((len(graph.variables), len(graph.variables)))
    sizes[graph.causes, graph.effects] = np.abs(graph.weights)
    return np.asarray(sizes / (sizes.sum() or 1.0))


def _divergence(p: FloatArray, q: FloatArray) -> float:
    """Kullback-Leibler, in bits."""
    there = p > 0.0
    return float((p[there] * np.log2(p[there] / q[there])).sum())
