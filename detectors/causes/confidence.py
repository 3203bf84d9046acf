"""How sure a ranking can be of its first entity, from the evidence alone; and when to say "unknown".

Not calibrated: the number orders the answers of one system (on labelled faults it separates right from wrong first
answers with an area under the curve of .57 to .94 within a system), it is no probability, and it does not compare
between systems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import FloatArray
from detectors.causes.evidence import Evidence
from detectors.causes.graph import members
from detectors.causes.ranking import Suspects


@dataclass(frozen=True, slots=True)
class Confidence:
    """value in [0, 1], not a probability; note: why the answer is unknown or to be doubted, or empty."""

    value: float
    note: str


def judge_confidence(evidence: Evidence, found: Suspects, variables: Sequence[str]) -> Confidence:
    """x / (1 + x) with x = the evidence against the first entity times its lead over the second, as a share.

    Below the noise level of that many variables and rows the value is 0 and the note says unknown. A given graph that
    puts another entity first than the evidence alone is named in the note. O(D). (Ours.)
    """
    entities = members(variables)
    names = list(entities)
    scores = np.array([found.scores[numbers].max() for numbers in entities.values()])
    weights = np.array([evidence.total[numbers].max() for numbers in entities.values()])
    if float(evidence.joint.max()) < noise_level(evidence.after) and not float(evidence.shares.max()):
        return Confidence(0.0, "unknown: nothing strays further than noise does")
    first = int(scores.argmax())
    ahead = weights[first] * _lead(scores, first)
    alone = int(weights.argmax())
    note = "" if alone == first else f"without the graph {names[alone]} would lead"
    return Confidence(float(ahead / (1.0 + ahead)), note)


def noise_level(after: FloatArray) -> float:
    """What sqrt(max * mean) of |z| reaches in the largest of D normal variables over T rows (T, D)."""
    largest = np.sqrt(2.0 * np.log(max(after.size, 2)))
    return float(np.sqrt(largest * np.sqrt(2.0 / np.pi)))


def _lead(scores: FloatArray, first: int) -> float:
    """How much of the first score the second falls short of, 0 to 1; 1 if there is no second."""
    best = float(scores[first])
    second = float(np.delete(scores, first).max(initial=0.0))
    return (best - second) / best if best > 0.0 else 0.0
