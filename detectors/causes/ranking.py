"""From evidence to a ranked list of causes, with or without a given graph; and the plain ranking beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray
from detectors.causes.blame import absorbed_blame, pass_to_broken
from detectors.causes.deviation import PlainScale
from detectors.causes.evidence import Evidence
from detectors.causes.graph import entity_of
from detectors.causes.mechanism import broken_mechanisms
from detectors.causes.settings import WalkSettings
from detectors.causes.walk import propagate
from detectors.findings import Cause

NOISE_FLOOR = 1.25  # of the evidence that enters the walk: what quiet variables show
TIE_BREAK = 1e-6  # variables without blame stay in the order of their evidence
LONGEST_LIST = 50


@dataclass(frozen=True, slots=True)
class Suspects:
    """Scores (D,) and the parts (D,) they came from, by the names a reader sees in a cause's evidence."""

    scores: FloatArray
    parts: dict[str, FloatArray]


def suspects(evidence: Evidence, parents: BoolArray | None, *, broken: FloatArray | None = None) -> Suspects:
    """Score every variable: by its evidence, moved along the given parents (D, D) where there are any.

    broken: (D,) the broken mechanisms of these rows, where they are known; they cost most.
    """
    parts = {
        "deviation": evidence.deviation,
        "conditional": evidence.conditional,
        "onset_rows": evidence.onset.astype(np.float64),
        "level_shares": evidence.shares,
    }
    if parents is None:
        return Suspects(evidence.total, parts)
    if broken is None:
        broken = broken_mechanisms(evidence.before, evidence.between, evidence.after, parents)
    audible = np.maximum(evidence.total - NOISE_FLOOR, 0.0)
    blame = absorbed_blame(audible, broken, evidence.onset, parents)
    blame = pass_to_broken(blame, broken, evidence.constant, parents)
    return Suspects(blame + TIE_BREAK * evidence.total, {**parts, "broken_mechanism": broken, "blame": blame})


def with_walk(
    found: Suspects, evidence: Evidence, adjacency: BoolArray, settings: WalkSettings, *, kpi: BoolArray | None = None
) -> Suspects:
    """The walk along a graph (D, D) beside the evidence, mixed into the scores with its weight.

    kpi: (D,) the variables that are to be explained, where any are named: from those the walk starts.
    """
    relevance = evidence.total / max(float(evidence.total.max()), 1e-12)
    symptoms = np.log1p(evidence.deviation)
    if kpi is None or not kpi.any():
        walk = propagate(adjacency, relevance, symptoms, settings)
    else:
        start = symptoms * kpi if (symptoms * kpi).any() else kpi.astype(np.float64)
        walk = propagate(adjacency, np.where(kpi, 0.0, relevance), start, settings, explained=kpi)
    weight = settings.weight
    total = float(found.scores.sum()) or 1.0
    mixed: FloatArray = (1.0 - weight) * found.scores / total + weight * walk if weight else found.scores
    return Suspects(mixed, {**found.parts, "walk": walk})


def ranked(found: Suspects, variables: Sequence[str]) -> tuple[Cause, ...]:
    """The variables as causes, best first, at most 50; an entity stands where its best variable does."""
    order = np.argsort(-found.scores, kind="stable")[:LONGEST_LIST]
    total = float(found.scores.sum()) or 1.0
    scores = found.scores[order].tolist()
    parts = zip(*(part[order].tolist() for part in found.parts.values()), strict=True)
    return tuple(
        Cause(entity_of(variables[i]), variables[i], score, score / total, dict(zip(found.parts, part, strict=True)))
        for i, score, part in zip(order.tolist(), scores, parts, strict=True)
    )


def plain_ranking(plain: PlainScale, after: FloatArray, variables: Sequence[str]) -> tuple[Cause, ...]:
    """The baseline every ranking is compared with: the largest |z| after the change, by mean and standard deviation."""
    size = np.abs(after - plain.mean) / plain.scale
    z = np.where(np.isfinite(after), size, 0.0).max(axis=0)
    return ranked(Suspects(z, {"deviation": z}), variables)


def entities(causes: Sequence[Cause]) -> tuple[str, ...]:
    """The entities of a list, each where it first appears."""
    return tuple(dict.fromkeys(cause.entity for cause in causes))
