"""What happened, in order: which variables moved, when, how far from what was expected, and along which way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.causes.confidence import noise_level
from detectors.causes.deviation import Baseline, standardise
from detectors.causes.evidence import ONSET_SIZE, Evidence, Quiet, Window
from detectors.causes.graph import CausalGraph, members
from detectors.causes.path import path_to_symptom
from detectors.findings import Edge, Onset


@dataclass(frozen=True, slots=True)
class Moves:
    """moved: (D,) strayed further than noise does.  rows: (D,) from the told row until it began, negative if before.
    deviation: (D,) how far."""

    moved: BoolArray
    rows: IntArray
    deviation: FloatArray


def find_moves(window: Window, quiet: Quiet, evidence: Evidence) -> Moves:
    """Which variables moved, and when."""
    rows = onset_rows(standardise(window.between, quiet.baseline), evidence.after)
    moved = (evidence.deviation > noise_level(evidence.after)) & (rows < len(evidence.after))
    return Moves(moved, rows, evidence.deviation)


def onset_rows(between: FloatArray, after: FloatArray) -> IntArray:
    """(D,) the row of `after` (T, D) in which each variable began to stray; T if it never did. All are deviations.

    The first of two neighbouring rows beyond 3, or the first such row if no two are neighbours: one row alone is easily
    chance. If it strays in the first row, its run is followed back into the rows just before, between (G, D), as a
    negative number: told times are late. A run through all of them is drift, and no onset.

    >>> onset_rows(np.array([[0.0], [5.0]]), np.array([[6.0], [7.0]])), onset_rows(np.zeros((0, 1)), np.ones((2, 1)))
    (array([-1]), array([2]))
    """
    hot = np.abs(after) > ONSET_SIZE
    twice = hot.copy()
    twice[:-1] &= hot[1:]
    twice[-1:] = False
    chosen = np.where(twice.any(axis=0), twice, hot)
    first = np.where(hot.any(axis=0), chosen.argmax(axis=0), len(after))
    earlier = np.abs(between[::-1]) > ONSET_SIZE
    back = np.where(earlier.all(axis=0), 0, np.argmin(earlier, axis=0)) if len(between) else np.zeros_like(first)
    return np.where((first == 0) & hot[0], -back, first)


def list_onsets(
    moves: Moves, times: IntArray, split: int, window: Window, baseline: Baseline, variables: Sequence[str]
) -> tuple[Onset, ...]:
    """The variables that moved, first movers first and among equals those that strayed further.

    times: (T,) ns of all rows, of which row `split` was told. The reading shown is the one furthest from what was
    expected, which is the baseline's median, within 3 of its scales.
    """
    readings = np.concatenate([window.between, window.after])
    width = np.where(baseline.frozen, 0.0, ONSET_SIZE * baseline.scale)
    found = []
    for i in sorted(np.flatnonzero(moves.moved).tolist(), key=lambda i: (moves.rows[i], -moves.deviation[i])):
        rows = readings[len(window.between) + moves.rows[i] :, i]
        expected = float(baseline.center[i])
        furthest = rows[int(np.nan_to_num(np.abs(rows - expected)).argmax())]
        time, row = int(times[split + moves.rows[i]]), int(moves.rows[i])
        size, wide = float(moves.deviation[i]), float(width[i])
        found.append(Onset(variables[i], time, row, size, float(furthest), expected, expected - wide, expected + wide))
    return tuple(found)


def follow(graph: CausalGraph, cause: int, moves: Moves, kpi: BoolArray) -> tuple[Edge, ...]:
    """The edges from the cause to its symptom, which is a KPI (D,) where the way leads to one."""
    groups = np.zeros(len(graph.variables), dtype=np.int64)
    for number, variables in enumerate(members(graph.variables).values()):
        groups[variables] = number
    moved = moves.moved.copy()
    moved[cause] = True  # a stuck sensor does not stray, and is the cause all the same
    onset = moves.rows.copy()
    onset[cause] = min(int(onset[cause]), int(onset[moved].min()))  # nor is its onset seen
    numbers = path_to_symptom(graph, cause, moved=moved, onset=onset, deviation=moves.deviation, groups=groups, kpi=kpi)
    return tuple(graph.edge(number) for number in numbers)
