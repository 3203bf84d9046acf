"""The way of some rows from raw scores to the ballot, in one call: calibration, muting, and the cut to fresh evidence.

One call in place of a dozen small ones: where a segment is one row, a call costs more than the work in it. What each
step does is said where it belongs: combine.calibration, combine.muting, combine.evidence.
"""

from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.combine.calibration import Scorers, calibrate
from detectors.combine.evidence import cut_row
from detectors.combine.muting import Mutes, follow

# Of the members their scorers and their voters; of each detector its voter (-1: none), and what its evidence weighs.
Voters: TypeAlias = tuple[IntArray, IntArray, IntArray, FloatArray]


@njit(cache=True, nogil=True, error_model="numpy")
def collect(
    valid: tuple[BoolArray, BoolArray],
    raw: tuple[FloatArray, IntArray, FloatArray],
    scores: tuple[FloatArray, FloatArray],
    scorers: tuple[Scorers, Scorers],
    mutes: tuple[Mutes, Mutes],
    voters: Voters,
    ballot: tuple[FloatArray, BoolArray, BoolArray],
) -> tuple[bool, bool]:
    """Write the ballot of T rows; whether any member is muted in it, and whether anybody is inside a variable.

    valid: (T,) the quorum, and (T, D) present. raw: (T, R) row-wise scores; (S,) where each scorer's stands in them, or
    -1; (T, K D) scores inside variables. scores: (3, T, S) and (3, T, K, D) are written: the raw ones, calibrated ones,
    and what they were held against. ballot, too: (2, T, M) members, before and after the cut; (T, M) and (T, K, D) who
    is muted.
    """
    quorum, present = valid
    members, muted, muted_inside = ballot
    rowwise, inside = scores[0], scores[1].reshape(3, present.shape[0], -1)
    _spread(raw[0], raw[1], rowwise[0])
    inside[0] = raw[2]
    calibrate(rowwise, quorum.reshape(-1, 1), scorers[0])
    calibrate(inside, present, scorers[1])
    is_muted = _vote(rowwise[1], quorum.reshape(-1, 1), mutes[0], voters, members, muted)
    return is_muted, follow(scores[1][1] > 1.0, present, mutes[1], muted_inside)


@njit(cache=True, nogil=True, error_model="numpy")
def _spread(given: FloatArray, columns: IntArray, out: FloatArray) -> None:
    for t in range(out.shape[0]):
        for s in range(columns.shape[0]):
            out[t, s] = given[t, columns[s]] if columns[s] >= 0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _vote(
    judged: FloatArray, quorum: BoolArray, mutes: Mutes, voters: Voters, members: FloatArray, muted: BoolArray
) -> bool:
    """Pick the voting members out of the calibrated scores (T, S), mute them, and cut what they say."""
    columns, voter_of, voter_of_detector, weights = voters
    shape = (judged.shape[0], mutes[1].shape[0], 1)
    over, lost, evidence = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(weights.shape[0])
    for t in range(judged.shape[0]):
        for m in range(columns.shape[0]):
            members[0, t, m] = judged[t, columns[m]]
            over[t, voter_of[m], 0] |= members[0, t, m] > 1.0
    is_muted = follow(over, quorum, mutes, lost)
    behind = judged.shape[1] - weights.shape[0]
    for t in range(judged.shape[0]):
        for d in range(weights.shape[0]):
            is_lost = voter_of_detector[d] >= 0 and lost[t, voter_of_detector[d], 0]
            evidence[d] = 0.0 if is_lost else judged[t, behind + d]
        cut_row(members[0, t], evidence, weights, members[1, t])
        for m in range(columns.shape[0]):
            muted[t, m] = lost[t, voter_of[m], 0]
    return bool(is_muted)
