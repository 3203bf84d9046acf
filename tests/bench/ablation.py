"""Which part of the ranking earns its place: told the time, with parts left out, and with a walk along learned graphs.

    python tests/bench/ablation.py FOLDER [FOLDER ...] [--walk 0.2]

FOLDER as for `accuracy.py told`. Prints n and AC@1 of

    plain          the largest |z| alone
    unconditional  without what the other variables do not explain
    no graph       without blame and broken mechanisms along the given graph, where there is one
    tocsin         the defaults
    joint          the defaults, and the walk along the jointly learned graph mixed in with the weight --walk
    disentangled   the same along the disentangled graph, without what ended with the change

and, where the truth of the cases has `edges`, how far each learned graph is from it: the structural Hamming distance
over that of an empty graph, the share of its pairs of entities that are true ones, and of those the share told the
right way round.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import Case, cases, given_pairs, nanoseconds, rank_of
from fault_lab import structural_hamming_distance

from detectors.causes.deviation import peer_groups
from detectors.causes.evidence import Evidence, gather, know_quiet
from detectors.causes.explain import told_window
from detectors.causes.graph import CausalGraph
from detectors.causes.ranking import Suspects, entities, plain_ranking, ranked, suspects, with_walk
from detectors.causes.settings import EvidenceSettings, LearningSettings, WalkSettings
from detectors.causes.update import update_graph
from detectors.findings import Cause

Distance = tuple[int, int, int, int, int]  # to the true graph; true, found and joined pairs; told the right way round


def judge(
    case: Case, pairs: Sequence[tuple[str, str]], weight: float
) -> tuple[dict[str, tuple[Cause, ...]], dict[str, Distance]]:
    """Each variant's ranking of a case, and how far its learned graphs are from the true one, if that is known."""
    graph = CausalGraph.from_pairs(pairs, case.variables) if pairs else None
    split = int(np.searchsorted(nanoseconds(case.times), nanoseconds(case.meta["inject_time"])))
    window = told_window(case.values, split, EvidenceSettings())
    quiet = know_quiet(window.before, peer_groups(case.variables), EvidenceSettings())
    evidence = gather(window, quiet)
    parents = graph.adjacency() if graph is not None and len(graph) else None
    whole = suspects(evidence, parents)
    found: dict[str, Suspects] = {
        "unconditional": suspects(unconditional(evidence), parents),
        "no graph": suspects(evidence, None),
        "tocsin": whole,
    }
    far: dict[str, Distance] = {}
    for form in ("joint", "disentangled"):
        learned = update_graph(evidence, case.variables, LearningSettings(form=form), given=graph).graph
        found[form] = with_walk(whole, evidence, learned.in_force().adjacency(), WalkSettings(weight=weight))
        if "edges" in case.meta:
            far[form] = distance(learned, case.meta["edges"])
    plain = {"plain": plain_ranking(quiet.plain, window.after, case.variables)}
    return plain | {name: ranked(one, case.variables) for name, one in found.items()}, far


def distance(learned: CausalGraph, truth: Sequence[Sequence[str]]) -> Distance:
    """Of a graph of variables from the true pairs of entities, each of which has one variable."""
    true = {(cause, effect) for cause, effect in truth}
    edges = [replace(e, cause=e.cause.split(".")[0], effect=e.effect.split(".")[0]) for e in learned.in_force().edges()]
    found = {(edge.cause, edge.effect) for edge in edges}
    joined = {frozenset(pair) for pair in found} & {frozenset(pair) for pair in true}
    return structural_hamming_distance(edges, true), len(true), len(found), len(joined), len(found & true)


def unconditional(evidence: Evidence) -> Evidence:
    """The evidence as it is without the conditional deviation."""
    total = np.maximum(np.log1p(evidence.deviation), np.log1p(evidence.shares))
    return replace(evidence, conditional=evidence.deviation, total=total)


def judge_all(folder: Path, weight: float) -> tuple[dict[str, list[bool]], dict[str, list[Distance]]]:
    """For each variant, whether it names a root first, case by case; and each learned graph's distances."""
    hits: dict[str, list[bool]] = {}
    distances: dict[str, list[Distance]] = {}
    for case in cases(folder):
        rankings, far = judge(case, given_pairs(folder), weight)
        for name, causes in rankings.items():
            hits.setdefault(name, []).append(rank_of(entities(causes), case.meta["root_entities"]) == 1)
        for form, one in far.items():
            distances.setdefault(form, []).append(one)
    return hits, distances


def line(name: str, hits: Mapping[str, Sequence[bool]]) -> str:
    count = len(next(iter(hits.values())))
    return f"{name:18s} n {count:3d}  " + "  ".join(f"{variant} {np.mean(hit):.3f}" for variant, hit in hits.items())


def distance_line(form: str, distances: Sequence[Distance]) -> str:
    far, true, found, joined, right = np.sum(distances, axis=0)
    shares = (
        f"{joined / max(1, found):.2f} of its pairs true, {right / max(1, joined):.2f} of these the right way round"
    )
    return f"  {form} graph: distance {far / true:.2f}, {shares}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--walk", type=float, default=0.2, help="weight of the walk, where there is one")
    asked = parser.parse_args()
    for folder in asked.folders:
        hits, distances = judge_all(folder, asked.walk)
        print("\n".join([line(folder.name, hits), *(distance_line(*one) for one in distances.items())]), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
