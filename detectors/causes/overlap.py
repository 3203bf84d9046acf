"""Has the answer settled? Agreement of consecutive ranked lists (CORAL, stopping)."""

from collections.abc import Hashable, Sequence

import numpy as np


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
