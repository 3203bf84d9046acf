"""Network propagation: a random walk with restart from the symptom to its causes (CORAL, section on localisation).

The walker starts at the symptoms, moves from an effect to its causes in proportion to how closely each is related to
the symptom, seldom backward, rests where nothing upstream is more suspicious, and restarts now and then. Its
stationary distribution ranks the variables. The weights follow the authors' released code, which starts from one named
KPI; starting from several symptoms is ours, and so is solving for the distribution instead of simulating it.
"""

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.settings import WalkSettings


def propagate(
    adjacency: BoolArray,
    relevance: FloatArray,
    symptoms: FloatArray,
    settings: WalkSettings,
    *,
    explained: BoolArray | None = None,
) -> FloatArray:
    """How much of its time a walker spends at each variable that is not what is to be explained.

    adjacency: (D, D), [i, j] True where i is a cause of j.  relevance: (D,) >= 0, how closely each variable is related
    to the symptoms.  symptoms: (D,) >= 0, weights of the restart; all zero = everywhere alike.  explained: (D,) True
    for the KPI, which is no explanation itself: 0 there; by default a symptom that is the only one.
    Returns (D,) >= 0 with sum 1, or all zero where the KPI is all there is. Cost: one solve, O(D^3).

    >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    >>> int(propagate(chain, np.array([0.9, 0.5, 0.0]), np.array([0.0, 0.0, 1.0]), WalkSettings()).argmax())
    0
    """
    moves = transitions(adjacency, relevance, settings.backward)
    start = symptoms / symptoms.sum() if symptoms.sum() > 0 else np.full(len(symptoms), 1 / len(symptoms))
    score = stationary(moves, start, settings.restart)
    if explained is None:
        explained = (symptoms > 0) & (np.count_nonzero(symptoms) == 1)
    score[explained] = 0.0
    total = score.sum()
    result: FloatArray = score / total if total > 0 else score
    return result


def transitions(adjacency: BoolArray, relevance: FloatArray, backward: float) -> FloatArray:
    """Transition matrix Q of the walk; rows sum to 1.

    forward, effect i -> cause j: R_j.  backward, cause j -> effect i unless i also causes j: backward * R_i.
    self: max(0, R_i - max over causes j of i of R_j).  A row of nothing but zeros stays where it is.
    """
    count = len(relevance)
    upstream = adjacency.T & ~np.eye(count, dtype=np.bool_)  # [i, j]: j is a cause of i
    forward = np.where(upstream, relevance[None, :], 0.0)
    back = np.where(upstream.T & ~upstream, backward * relevance[None, :], 0.0)
    rest = np.maximum(0.0, relevance - forward.max(axis=1, initial=0.0))
    moves: FloatArray = forward + back
    moves[np.arange(count), np.arange(count)] = rest
    empty = moves.sum(axis=1) == 0
    moves[empty, empty] = 1.0
    return np.asarray(moves / moves.sum(axis=1, keepdims=True))


def stationary(moves: FloatArray, start: FloatArray, restart: float) -> FloatArray:
    """Distribution p = restart * start + (1 - restart) * moves' p of a walk that restarts; sums to 1.

    restart: probability in (0, 1]; with it the solution is unique whatever the graph. Raises ValueError otherwise.
    """
    if not 0.0 < restart <= 1.0:
        raise ValueError(f"restart must be above 0 and at most 1, got {restart}")
    system = np.eye(len(start)) - (1.0 - restart) * moves.T
    solved = np.maximum(np.linalg.solve(system, restart * start), 0.0)
    return np.asarray(solved / solved.sum())
