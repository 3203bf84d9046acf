"""Has the answer settled? Agreement of consecutive ranked lists, and of consecutive graphs (CORAL, stopping)."""

from collections.abc import Hashable, Sequence

import numpy as np

from detectors.block import FloatArray


def rank_biased_overlap(first: Sequence[Hashable], second: Sequence[Hashable], *, persistence: float = 0.9) -> float:
    """Rank-biased overlap of two lists without repeats, in [0, 1]; 1 for equal lists, 0 for disjoint ones.

    The mean of the overlaps at depths 1, 2, ..., weighted by persistence^(depth - 1) and cut at the longer list's
    length: the truncated form normalised to 1 [ours], since the lists here are short. Two empty lists agree.
    Source: Webber, Moffat, Zobel, A similarity measure for indefinite rankings, TOIS 2010.

    >>> rank_biased_overlap("abc", "abc"), rank_biased_overlap("abc", "xyz")
    (1.0, 0.0)
    """
    if not 0.0 < persistence <= 1.0:
        raise ValueError(f"persistence must be above 0 and at most 1, got {persistence}")
    depth = max(len(first), len(second))
    if depth == 0:
        return 1.0
    weights = persistence ** np.arange(depth)
    agreement = [len(set(first[:d]) & set(second[:d])) / d for d in range(1, depth + 1)]
    return float(weights @ np.array(agreement) / weights.sum())


def edge_divergence(first: FloatArray, second: FloatArray) -> float:
    """Jensen-Shannon divergence (base 2, in [0, 1]) of two graphs' edge weights taken as distributions.

    first, second: (D, D) weights, their sizes count. A graph without edges differs fully from one with, and not at
    all from another one without. The use of this measure is the paper's, its exact form [memory].
    """
    p, q = np.abs(first).ravel(), np.abs(second).ravel()
    if not p.sum() or not q.sum():
        return float(bool(p.sum()) != bool(q.sum()))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(min(1.0, max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2)))


def _divergence(p: FloatArray, q: FloatArray) -> float:
    there = p > 0
    return float(np.sum(p[there] * np.log2(p[there] / q[there])))
