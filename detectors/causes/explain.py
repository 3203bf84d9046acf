"""Told when it happened: what happened then, and why."""

from collections.abc import Sequence

import numpy as np

from detectors.block import FloatArray, IntArray
from detectors.causes.confidence import judge_confidence
from detectors.causes.deviation import peer_groups
from detectors.causes.evidence import Evidence, Window, gather, know_quiet, second_looks
from detectors.causes.graph import CausalGraph, named
from detectors.causes.learning import Learned
from detectors.causes.ranking import plain_ranking, ranked, suspects, with_walk
from detectors.causes.settings import CausesSettings, EvidenceSettings, LearningSettings
from detectors.causes.story import find_moves, follow, list_onsets
from detectors.causes.update import update_graph
from detectors.findings import Explanation, Ranking

FEWEST_ROWS = 8  # before the change


def explain(
    times: IntArray,
    values: FloatArray,
    variables: Sequence[str],
    at: int,
    *,
    settings: CausesSettings,
    graph: CausalGraph | None = None,
) -> Explanation:
    """Rank the causes of what happened at the time `at` (ns), and tell its story. Rows after it may be used.

    times: (T,) ns.  values: (T, D), NaN = not there. The last row always counts as after, so that a time past the end
    asks about the end. Raises ValueError if fewer than 8 rows precede `at`. The graph of the story is learned from the
    rows around the change, starting from the given one; the ranking uses the given one only, unless the walk has a
    weight.
    """
    split = min(int(np.searchsorted(times, at)), len(times) - 1)
    if split < FEWEST_ROWS:
        raise ValueError(f"at must leave at least {FEWEST_ROWS} rows before it, got {split}")
    window = told_window(values, split, settings.evidence)
    quiet = know_quiet(window.before, peer_groups(variables), settings.evidence)
    evidence = gather(window, quiet)
    parents = graph.adjacency() if graph is not None and len(graph) else None
    found = suspects(evidence, parents)
    confidence = judge_confidence(
        evidence,
        found,
        variables,
        looks=second_looks(window, quiet, evidence),
        parents=parents,
        unknown_below=settings.unknown_below,
    )
    learned = _learn(evidence, variables, settings.learning, graph)
    kpi, in_force = named(settings.walk.kpi, variables), learned.graph.in_force()
    found = with_walk(found, evidence, in_force.adjacency(), settings.walk, kpi=kpi)
    ranking = Ranking(
        opened=at,
        opened_by="trigger",
        onset=at,
        time=int(times[split + len(window.after) - 1]),
        revision=0,
        causes=ranked(found, variables),
        baseline_causes=plain_ranking(quiet.plain, window.after, variables),
        edges=learned.graph.edges(),
        converged=True,
        ended=True,
        confidence=confidence.value,
        answer=confidence.answer,
        note="; ".join(note for note in (confidence.note, learned.note) if note),
    )
    moves = find_moves(window, quiet, evidence)
    return Explanation(
        ranking,
        onsets=list_onsets(moves, times, split, window, quiet.baseline, variables),
        path=follow(in_force, int(found.scores.argmax()), moves, kpi),
    )


def _learn(
    evidence: Evidence, variables: Sequence[str], settings: LearningSettings, given: CausalGraph | None
) -> Learned:
    """The graph of the rows around the change; the given one where none is to be learned."""
    count = len(variables)
    if not settings.enabled:
        return Learned(given if given is not None else CausalGraph.empty(variables), np.zeros((0, count)))
    return update_graph(evidence, variables, settings, given=given)


def told_window(values: FloatArray, split: int, settings: EvidenceSettings) -> Window:
    """The rows around row `split`; the last quarter before it, at most guard_rows, is no baseline: told times are
    late more often than not."""
    guard = min(settings.guard_rows, split // 4)
    return Window(values[: split - guard], values[split - guard : split], values[split : split + settings.rows_after])
