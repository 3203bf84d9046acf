"""Where blame comes to rest on a given graph: an absorbing walk from effects to their causes."""

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray

PASSED_ON = 0.9  # at most, to causes at least as suspect as the effect
BREAK_EVEN = 1.1  # a mechanism broken by less is noise; see mechanism.py


def absorbed_blame(evidence: FloatArray, broken: FloatArray, onset: IntArray, parents: BoolArray) -> FloatArray:
    """(D,) share of the blame that rests on each variable; sums to 1 (or to 0 without any evidence).

    Blame starts on each variable by its evidence (D,) >= 0. From i it goes to causes j whose onset (D,) is not later,
    in proportion to e_j = max(evidence, broken - 1.1), and stays with probability 1 - .9 min(1, max e_j / e_i). The
    limit is computed, not simulated. parents (D, D): [i, j] True where i causes j. O(D^3) at worst. (Ours.)
    """
    size = len(evidence)
    total = evidence.sum()
    if total <= 0.0:
        return np.zeros(size)
    weight = np.maximum(evidence, broken - BREAK_EVEN)
    moves = np.zeros((size, size))
    for i in np.flatnonzero(evidence > 0.0):
        causes = np.flatnonzero(parents[:, i] & (onset <= onset[i]) & (weight > 0.0))
        if len(causes):
            passed = PASSED_ON * min(1.0, weight[causes].max() / evidence[i])
            moves[i, causes] = passed * weight[causes] / weight[causes].sum()
    stays = 1.0 - moves.sum(axis=1)
    return np.asarray(np.linalg.solve(np.eye(size) - moves.T, evidence / total) * stays)


def pass_to_broken(blame: FloatArray, broken: FloatArray, constant: BoolArray, parents: BoolArray) -> FloatArray:
    """Blame corrected where the leading variable was constant before: how far it moved says nothing of its size, so
    nine tenths of its blame pass to its causes with broken mechanisms, if there are any."""
    lead = int(blame.argmax())
    causes = np.flatnonzero(parents[:, lead] & (broken > BREAK_EVEN))
    if not constant[lead] or not len(causes):
        return blame
    passed = blame.copy()
    passed[causes] += PASSED_ON * blame[lead] * broken[causes] / broken[causes].sum()
    passed[lead] = (1.0 - PASSED_ON) * blame[lead]
    return passed
