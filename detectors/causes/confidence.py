"""How sure a ranking can be of its first entity, from the evidence alone; and when to say "unknown".

Not calibrated: the number orders the answers of one system (on labelled faults it separates right from wrong first
answers with an area under the curve of .70 to .95 within a system), it is no probability, and it does not compare
between systems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.evidence import Evidence
from detectors.causes.graph import members
from detectors.causes.ranking import Suspects, suspects

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Confidence:
    """value in [0, 1], not a probability; answer: the first entity, or "unknown"; note: what to doubt, or empty."""

    value: float
    answer: str
    note: str


def judge_confidence(
    evidence: Evidence,
    found: Suspects,
    variables: Sequence[str],
    *,
    looks: Sequence[Evidence],
    parents: BoolArray | None,
    unknown_below: float,
) -> Confidence:
    """How far the first entity stays ahead of the next, by all quiet rows and by each half of them alone.

    With the smallest of these leads, as a share of the highest score: half of 1 + lead where it is negative (a half of
    the quiet rows would name another entity), else half of 1 + x / (1 + x) with x = lead * the evidence against the
    first. Below the noise level of that many variables and rows the value is 0. An answer below unknown_below is
    "unknown", and so is one below the noise level. A given graph that puts another entity first than the evidence
    alone is named in the note. looks: the evidence as measured by each half. (Ours.)
    """
    entities = members(variables)
    names = list(entities)
    if float(evidence.joint.max()) < noise_level(evidence.after) and not float(evidence.shares.max()):
        return Confidence(0.0, UNKNOWN, "unknown: nothing strays further than noise does")
    again = [suspects(look, parents, broken=found.parts.get("broken_mechanism")).scores for look in looks]
    scores = [_strongest(each, entities) for each in (found.scores, *again)]
    weights = _strongest(evidence.total, entities)
    first, alone = int(scores[0].argmax()), int(weights.argmax())
    value = _value(min(_lead(each, first) for each in scores), float(weights[first]))
    doubts = [f"without the graph {names[alone]} would lead"] if alone != first else []
    if value < unknown_below:
        doubts.insert(0, f"unknown: confidence {value:.2f} is below {unknown_below:g}")
    return Confidence(value, UNKNOWN if value < unknown_below else names[first], "; ".join(doubts))


def noise_level(after: FloatArray) -> float:
    """What sqrt(lasting * mean) of |z| reaches in the largest of D normal variables over T rows (T, D); see `strength`.

    Two neighbours are both beyond x with the square of one's chance, so that sqrt(log n) stands for sqrt(2 log n).
    Of fewer than some 16 rows noise reaches more, up to twice as much of a single one.
    """
    largest = np.sqrt(np.log(max(after.size, 2)))
    return float(np.sqrt(largest * np.sqrt(2.0 / np.pi)))


def _strongest(scores: FloatArray, entities: dict[str, list[int]]) -> FloatArray:
    """The score of each entity: that of its strongest variable."""
    return np.array([scores[numbers].max() for numbers in entities.values()])


def _lead(scores: FloatArray, first: int) -> float:
    """How far `first` is ahead of the best other, as a share of the highest score: -1 to 1; 1 if there is no other."""
    highest = float(scores.max())
    other = float(np.delete(scores, first).max(initial=0.0))
    return (float(scores[first]) - other) / highest if highest > 0.0 else 0.0


def _value(lead: float, weight: float) -> float:
    """
    >>> [_value(lead, 2.0) for lead in (-1.0, -0.2, 0.0, 0.5)]
    [0.0, 0.4, 0.5, 0.75]
    """
    ahead = lead * weight
    return 0.5 * (1.0 + (lead if lead < 0.0 else ahead / (1.0 + ahead)))
