"""Told when it happened: what happened then, and why."""

from collections.abc import Sequence

import numpy as np

from detectors.block import FloatArray, IntArray
from detectors.causes.graph import CausalGraph, entity_of
from detectors.causes.settings import CausesSettings
from detectors.findings import Cause, Ranking


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

    times: (T,) ns.  values: (T, D), NaN = not there.
    Raises ValueError if fewer than 8 rows precede `at` or none follows.
    """
    split = int(np.searchsorted(times, at))
    if split < 8 or split == len(times):
        raise ValueError(f"at must leave 8 rows before it and one after, got {split} and {len(times) - split}")
    causes = deviation_ranking(values[:split], values[split:], variables)
    edges = graph.edges() if graph is not None else ()
    return Ranking(at, "trigger", at, int(times[-1]), 0, causes, causes, edges, True, True, 0.0)


def deviation_ranking(before: FloatArray, after: FloatArray, variables: Sequence[str]) -> tuple[Cause, ...]:
    """The plain baseline: largest |z|, best first."""
    present = np.isfinite(before)
    count = np.maximum(present.sum(0), 1)
    mean = np.where(present, before, 0.0).sum(0) / count
    sd = np.sqrt(np.where(present, (before - mean) ** 2, 0.0).sum(0) / count)
    sd = np.where(sd > 0, sd, np.maximum(np.abs(mean), 1.0) * 1e-3)
    z = np.where(np.isfinite(after), np.abs(after - mean) / sd, 0.0).max(0)
    total = max(float(z.sum()), 1e-300)
    return tuple(
        Cause(entity_of(variables[i]), variables[i], float(z[i]), float(z[i]) / total, {"deviation": float(z[i])})
        for i in np.argsort(-z, kind="stable")
    )
