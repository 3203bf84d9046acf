"""Told when it happened: what happened then, and why."""

from collections.abc import Sequence

import numpy as np

from detectors.block import FloatArray, IntArray
from detectors.causes.confidence import judge_confidence
from detectors.causes.deviation import peer_groups
from detectors.causes.evidence import Window, gather, know_quiet
from detectors.causes.graph import CausalGraph
from detectors.causes.ranking import plain_ranking, ranked, suspects
from detectors.causes.settings import CausesSettings, EvidenceSettings
from detectors.findings import Ranking

FEWEST_ROWS = 8  # before the change


def explain(
    times: IntArray,
    values: FloatArray,
    variables: Sequence[str],
    at: int,
    *,
    settings: CausesSettings,
    graph: CausalGraph | None = None,
) -> Ranking:
    """Rank the causes of what happened at the time `at` (ns). Rows after it may be used.

    times: (T,) ns.  values: (T, D), NaN = not there. The last row always counts as after, so that a time past the end
    asks about the end. Raises ValueError if fewer than 8 rows precede `at`.
    """
    split = min(int(np.searchsorted(times, at)), len(times) - 1)
    if split < FEWEST_ROWS:
        raise ValueError(f"at must leave at least {FEWEST_ROWS} rows before it, got {split}")
    window = told_window(values, split, settings.evidence)
    evidence = gather(window, know_quiet(window.before, peer_groups(variables), settings.evidence))
    parents = graph.adjacency() if graph is not None and len(graph) else None
    found = suspects(evidence, parents)
    confidence = judge_confidence(evidence, found, variables)
    return Ranking(
        opened=at,
        opened_by="trigger",
        onset=at,
        time=int(times[split + len(window.after) - 1]),
        revision=0,
        causes=ranked(found, variables),
        baseline_causes=plain_ranking(window.before, window.after, variables),
        edges=graph.edges() if graph is not None else (),
        converged=True,
        ended=True,
        confidence=confidence.value,
        note=confidence.note,
    )


def told_window(values: FloatArray, split: int, settings: EvidenceSettings) -> Window:
    """The rows around row `split`; the last quarter before it, at most guard_rows, is no baseline: told times are
    late more often than not."""
    guard = min(settings.guard_rows, split // 4)
    return Window(values[: split - guard], values[split - guard : split], values[split : split + settings.rows_after])
