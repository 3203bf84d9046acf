"""The way from a cause to its symptom along the causal graph."""

import heapq

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.causes.graph import CausalGraph

TRUSTED = 0.5  # a given relation counts for at least this much, however little was learned of it
FAINTEST = 0.01  # a learned one, for at least this
BACKWARDS = 1e-12  # strengths are at most 1, so no step is gained by going round


def path_to_symptom(
    graph: CausalGraph,
    cause: int,
    *,
    moved: BoolArray,
    onset: IntArray,
    deviation: FloatArray,
    groups: IntArray,
    kpi: BoolArray | None = None,
) -> list[int]:
    """Numbers of the edges from `cause` to the symptom, in order; empty where no edge leads on.

    The way passes only variables that moved (D,), each not before the one ahead of it (onset (D,), rows). The symptom
    is the KPI (D,) that strays most (deviation (D,)) of those reached, if one was named; else it is the end of the
    line: of the variables reached of which nothing that moved follows, the one that strays most; where all lie on
    cycles, of all. Variables of the cause's own entity (groups (D,)) are symptoms only if there are no others. Of
    several ways the strongest is told: the largest product of the weights' sizes, each at most 1. O(E log E). (Ours.)
    """
    usable = np.flatnonzero(moved[graph.causes] & moved[graph.effects] & (onset[graph.causes] <= onset[graph.effects]))
    leaving: dict[int, list[int]] = {}
    for edge in usable.tolist():
        leaving.setdefault(int(graph.causes[edge]), []).append(edge)
    arrived = _shortest(graph, cause, leaving)
    reached = [node for node in arrived if node != cause]
    for wanted in (
        [n for n in reached if kpi is not None and kpi[n]],
        [n for n in reached if groups[n] != groups[cause] and _ends(graph, n, leaving, groups)],
        [n for n in reached if groups[n] != groups[cause]],
        reached,
    ):
        if wanted:
            return _back(graph, cause, max(wanted, key=lambda node: float(deviation[node])), arrived)
    return []


def _ends(graph: CausalGraph, node: int, leaving: dict[int, list[int]], groups: IntArray) -> bool:
    """Nothing of another entity follows."""
    return all(groups[graph.effects[edge]] == groups[node] for edge in leaving.get(node, ()))


def _shortest(graph: CausalGraph, start: int, leaving: dict[int, list[int]]) -> dict[int, int]:
    """Node -> the edge by which the strongest way arrives there (Dijkstra); -1 for the start."""
    floor = np.where(graph.given, TRUSTED, FAINTEST)
    length = -np.log(np.clip(np.abs(graph.weights), floor, 1.0)) + BACKWARDS
    arrived: dict[int, int] = {}
    waiting = [(0.0, start, -1)]
    while waiting:
        far, node, edge = heapq.heappop(waiting)
        if node in arrived:
            continue
        arrived[node] = edge
        for onward in leaving.get(node, ()):
            heapq.heappush(waiting, (far + float(length[onward]), int(graph.effects[onward]), onward))
    return arrived


def _back(graph: CausalGraph, start: int, end: int, arrived: dict[int, int]) -> list[int]:
    edges = []
    while end != start:
        edges.append(arrived[end])
        end = int(graph.causes[arrived[end]])
    return edges[::-1]
