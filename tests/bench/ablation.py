"""Which part of the ranking earns its place: told the time, with parts left out, and with a walk along learned graphs.

    python tests/bench/ablation.py FOLDER [FOLDER ...] [--walk 0.2]

FOLDER as for `accuracy.py told`. Prints n and AC@1 of

    plain          the largest |z| alone
    unconditional  without what the other variables do not explain
    no graph       without blame and broken mechanisms along the given graph, where there is one
    tocsin         the defaults
    joint          the defaults, and the walk along the jointly learned graph mixed in with the weight --walk
    disentangled   the same along the disentangled graph, without what ended with the change
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import Case, cases, given_pairs, nanoseconds, rank_of

from detectors.causes.deviation import peer_groups
from detectors.causes.evidence import Evidence, gather, know_quiet
from detectors.causes.explain import told_window
from detectors.causes.graph import CausalGraph
from detectors.causes.ranking import Suspects, entities, plain_ranking, ranked, suspects, with_walk
from detectors.causes.settings import EvidenceSettings, LearningSettings, WalkSettings
from detectors.causes.update import update_graph
from detectors.findings import Cause


def rankings(case: Case, pairs: Sequence[tuple[str, str]], weight: float) -> dict[str, tuple[Cause, ...]]:
    """Each variant's ranking of a case."""
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
    for form in ("joint", "disentangled"):
        learned = update_graph(evidence, case.variables, LearningSettings(form=form), given=graph).graph
        found[form] = with_walk(whole, evidence, learned.in_force().adjacency(), WalkSettings(weight=weight))
    plain = {"plain": plain_ranking(quiet.plain, window.after, case.variables)}
    return plain | {name: ranked(one, case.variables) for name, one in found.items()}


def unconditional(evidence: Evidence) -> Evidence:
    """The evidence as it is without the conditional deviation."""
    total = np.maximum(np.log1p(evidence.deviation), np.log1p(evidence.shares))
    return replace(evidence, conditional=evidence.deviation, total=total)


def first_places(folder: Path, weight: float) -> dict[str, list[bool]]:
    """For each variant, whether it names a root first, case by case."""
    hits: dict[str, list[bool]] = {}
    for case in cases(folder):
        for name, causes in rankings(case, given_pairs(folder), weight).items():
            hits.setdefault(name, []).append(rank_of(entities(causes), case.meta["root_entities"]) == 1)
    return hits


def line(name: str, hits: Mapping[str, Sequence[bool]]) -> str:
    count = len(next(iter(hits.values())))
    return f"{name:18s} n {count:3d}  " + "  ".join(f"{variant} {np.mean(hit):.3f}" for variant, hit in hits.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--walk", type=float, default=0.2, help="weight of the walk, where there is one")
    asked = parser.parse_args()
    for folder in asked.folders:
        print(line(folder.name, first_places(folder, asked.walk)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
