"""How sure a ranking can be of its first entity, from the evidence alone; and when to say "unknown".

The same rows are weighed again by each half of the quiet rows and by the conditional part alone. What speaks against
the first entity then puts the confidence below one half; how far it stays ahead orders the answers on either side.

The number orders the answers of one system; it is no probability. (Ours. Tried and dropped: a logistic map from leads
and evidence to "right", learned for each system from faults, and from faults whose root was then withheld, injected
into its own quiet rows and propagated by its own linear model. It orders the answers to labelled faults worse on each
of the four sets it was tried on.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.evidence import Evidence, Looks
from detectors.causes.graph import members
from detectors.causes.ranking import Suspects, suspects

UNKNOWN = "unknown"
SLACK = 0.1  # of a lead: the conditional part alone is coarse, and objects only if another leads by more
ALIKE = 0.3  # of the first entity's deviation: what strays so far strays like it
NEARLY_ALL = 0.8  # of the entities
FEWEST_ENTITIES = 4  # of which "nearly all" says something

Entities = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Confidence:
    """value in [0, 1], not a probability; answer: the first entity, or "unknown"; note: what to doubt, or empty."""

    value: float
    answer: str
    note: str


@dataclass(frozen=True, slots=True)
class Leads:
    """How far the first entity is ahead of the best other, as shares of the highest score, -1 to 1.

    own: in the ranking.  halves, steady, given_rest: the least in those looks; given_rest with its slack, and 1 where
    there is a given graph: along it, what little breaks everywhere gathers at the causes of all, and objects to right
    answers.
    """

    own: float
    halves: float
    steady: float
    given_rest: float

    @property
    def least(self) -> float:
        return min(self.own, self.halves, self.given_rest)


def judge_confidence(
    evidence: Evidence,
    found: Suspects,
    variables: Sequence[str],
    *,
    looks: Looks,
    parents: BoolArray | None,
    unknown_below: float,
) -> Confidence:
    """Weigh what speaks against the first entity.

    There are three objections. A half of the quiet rows, its scales floored by all of them, would name another entity.
    Without a given graph: the conditional part alone would, and lead by more than .1. Of four entities or more, .8
    stray at least .3 as far as the first, by themselves and given the rest: the cause may lie outside what is seen.

    With l the least lead in all looks but the floored ones and e the evidence against the first entity, s = (1 + l) / 2
    where l < 0, else half of 1 + x / (1 + x) with x = l e^2. The value is s / 2 with an objection and (1 + s) / 2
    without; 0 below the noise level of that many variables and rows. An answer below unknown_below is "unknown", and so
    is one below the noise level. A given graph that puts another entity first than the evidence alone is named in the
    note.
    """
    entities = members(variables)
    names = list(entities)
    if float(evidence.joint.max()) < noise_level(evidence.after) and not float(evidence.shares.max()):
        return Confidence(0.0, UNKNOWN, "unknown: nothing strays further than noise does")
    weights = _strongest(evidence.total, entities)
    first, alone = int(_strongest(found.scores, entities).argmax()), int(weights.argmax())
    leads = _measure_leads(found, looks, parents, entities, first)
    objections = _objections(leads, _strongest(evidence.joint, entities), first, noise_level(evidence.after))
    value = _value(leads.least, float(weights[first]), objected=bool(objections))
    doubts = [*objections, *([f"without the graph {names[alone]} would lead"] if alone != first else [])]
    if value >= unknown_below:
        return Confidence(value, names[first], "; ".join(doubts))
    why = doubts if objections else [f"confidence {value:.2f} is below {unknown_below:g}", *doubts]
    return Confidence(value, UNKNOWN, f"unknown: {'; '.join(why)}")


def noise_level(after: FloatArray) -> float:
    """What sqrt(lasting * mean) of |z| reaches in the largest of D normal variables over T rows (T, D); see `strength`.

    Two neighbours are both beyond x with the square of one's chance, so that sqrt(log n) stands for sqrt(2 log n).
    Of fewer than some 16 rows noise reaches more, up to twice as much of a single one.
    """
    largest = np.sqrt(np.log(max(after.size, 2)))
    return float(np.sqrt(largest * np.sqrt(2.0 / np.pi)))


def _measure_leads(found: Suspects, looks: Looks, parents: BoolArray | None, entities: Entities, first: int) -> Leads:
    broken = found.parts.get("broken_mechanism")

    def lead(look: Evidence) -> float:
        return _lead(_strongest(suspects(look, parents, broken=broken).scores, entities), first)

    return Leads(
        own=_lead(_strongest(found.scores, entities), first),
        halves=min(lead(look) for look in looks.halves),
        steady=min(lead(look) for look in looks.steady),
        given_rest=lead(looks.given_rest) + SLACK if parents is None else 1.0,
    )


def _objections(leads: Leads, joint: FloatArray, first: int, noise: float) -> list[str]:
    """What speaks against the first entity. joint: (E,) how far each entity strays by itself and given the rest."""
    objections = []
    if leads.steady < 0.0:
        objections.append("half of the quiet rows alone would name another entity")
    if leads.given_rest < 0.0:
        objections.append("given the rest, another entity strays further")
    if strays_alike(joint, first, noise):
        objections.append("nearly every entity strays alike: the cause may lie outside")
    return objections


def strays_alike(joint: FloatArray, first: int, noise: float) -> bool:
    """Whether nearly every entity breaks at once: the mark of a cause outside, which no blame can be put on.

    >>> strays_alike(np.array([15.0, 9.0, 7.0, 8.0]), 0, 2.0), strays_alike(np.array([15.0, 9.0, 7.0, 1.0]), 0, 2.0)
    (True, False)
    """
    alike = (joint >= ALIKE * joint[first]) & (joint > noise)
    return len(joint) >= FEWEST_ENTITIES and float(alike.mean()) >= NEARLY_ALL


def _strongest(scores: FloatArray, entities: Entities) -> FloatArray:
    """The score of each entity: that of its strongest variable."""
    return np.array([scores[numbers].max() for numbers in entities.values()])


def _lead(scores: FloatArray, first: int) -> float:
    """How far `first` is ahead of the best other, as a share of the highest score: -1 to 1; 1 if there is no other."""
    highest = float(scores.max())
    other = float(np.delete(scores, first).max(initial=0.0))
    return (float(scores[first]) - other) / highest if highest > 0.0 else 0.0


def _value(lead: float, weight: float, *, objected: bool) -> float:
    """
    >>> [_value(lead, 2.0, objected=False) for lead in (-1.0, -0.2, 0.0, 0.25)]
    [0.5, 0.7, 0.75, 0.875]
    >>> _value(0.25, 2.0, objected=True)
    0.375
    """
    ahead = lead * weight * weight
    sure = 0.5 * (1.0 + (lead if lead < 0.0 else ahead / (1.0 + ahead)))
    return 0.5 * sure if objected else 0.5 + 0.5 * sure
