"""Which part of the vote earns its place: one part left out or changed at a time, on labelled folders. A table.

    python tests/bench/study.py FOLDER [FOLDER ...] [--results study.jsonl] [--seeds 0 1 2] [--only PART ...]

Folders as in accuracy.py, whose measures these are, over all cases and seeds; labels are read there only. Results are
appended as they come, and what the file has already is not measured again: a stop loses nothing.

Read the table by differences: a part earns its place where the line without it is worse, and seeds alone move VUS-PR by
.005. The guilty are not changed by what only decides.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import Case, Tally, cases

from detectors.block import Block, Rows
from detectors.causes.settings import CausesSettings
from detectors.combine.attribution import Part
from detectors.monitor import Monitor
from detectors.online.neighbours import Neighbours
from detectors.online.protocol import Scores
from detectors.online.registry import DETECTORS, DetectorClass
from detectors.settings import MonitorSettings

Change = Callable[[MonitorSettings], MonitorSettings]

ENDLESS = 10**9  # rows
MEASURES = ("VUS-PR", "events", "fa", "fp", "guilty")


def change(path: str, **options: Any) -> Change:
    """Replace options of the settings that stand at the path, e.g. "detectors.neighbours"."""

    def apply(settings: Any, names: list[str]) -> Any:
        if not names:
            return replace(settings, **options)
        inner = apply(getattr(settings, names[0]), names[1:])
        return replace(settings, **{names[0]: inner})

    return lambda settings: apply(settings, [name for name in path.split(".") if name])


def both(first: Change, second: Change) -> Change:
    return lambda settings: second(first(settings))


def neighbours_without(member: str) -> DetectorClass:
    """The neighbours with one member less; no option leaves one out, so it is a class of this study's."""
    kept = [i for i, name in enumerate(Neighbours.members) if name != member]

    class Fewer(Neighbours):
        members = tuple(Neighbours.members[i] for i in kept)

        def score(self, rows: Rows) -> Scores:
            scores = super().score(rows)
            return scores._replace(members=scores.members[:, kept])

    return Fewer


@contextmanager
def neighbours_are(kind: DetectorClass) -> Iterator[None]:
    """Put a class in the place of the neighbours."""
    DETECTORS[Neighbours.name] = kind
    try:
        yield
    finally:
        DETECTORS[Neighbours.name] = Neighbours


@dataclass(frozen=True)
class Variant:
    change: Change
    neighbours: DetectorClass = Neighbours


def without(member: str) -> Variant:
    return Variant(change(""), neighbours_without(member))


MAJORITY = change("", rule="majority")
POLLING = change("", rule="polling")

PARTS: dict[str, Variant] = {
    "the default": Variant(change("")),
    "without the neighbours' vote": Variant(change("", voters=("autoregression",))),
    "without its fast average": without("fast"),
    "without its slow average": without("slow"),
    "without its step": without("step"),
    "without the autoregression's vote": Variant(change("", voters=("neighbours",))),
    "with a vote for principal": Variant(change("", voters=("neighbours", "autoregression", "principal"))),
    "with a vote for loda": Variant(change("", voters=("neighbours", "autoregression", "loda"))),
    "with a vote for half_space_trees": Variant(
        change("", voters=("neighbours", "autoregression", "half_space_trees"))
    ),
    "with a vote for sparse": Variant(change("", voters=("neighbours", "autoregression", "sparse"))),
    "neighbours: rows as they are": Variant(change("detectors.neighbours", fast=1.0, slow=1.0)),
    "neighbours: memory of 128 rows": Variant(change("detectors.neighbours", memory=128)),
    "neighbours: memory of 1,024 rows": Variant(change("detectors.neighbours", memory=1024)),
    "neighbours: horizon of 5,000 rows": Variant(change("detectors.neighbours", horizon_rows=5_000)),
    "neighbours: k = 0.2 % (1 row)": Variant(change("detectors.neighbours", nearest=0.002)),
    "neighbours: k = 1 %": Variant(change("detectors.neighbours", nearest=0.01)),
    "neighbours: k = 5 %": Variant(change("detectors.neighbours", nearest=0.05)),
    "neighbours: no release": Variant(change("detectors.neighbours", release_rows=ENDLESS)),
    "calibration: plain, the last 10,000 rows": Variant(
        change("calibration", excursion_rows=ENDLESS, memory_rows=10_000, young_rows=0)
    ),
    "calibration: excursions taken in whole": Variant(change("calibration", excursion_rows=ENDLESS)),
    "calibration: memory of 10,000 rows": Variant(change("calibration", memory_rows=10_000)),
    "calibration: young scores as they are": Variant(change("calibration", young_rows=0)),
    "without fresh evidence": Variant(change("evidence", headroom=1e9)),
    "without damping the line": Variant(change("line", damped=False)),
    "without the guard": Variant(change("guard", enabled=False)),
    "without muting": Variant(change("muting", enabled=False)),
    "without smoothing the published score": Variant(change("", smoothing=1.0)),
    "rule: plain majority": Variant(MAJORITY),
    "rule: plain majority, slack of 5 rows": Variant(both(MAJORITY, change("", slack_rows=5))),
    "rule: any of them": Variant(change("", rule="any")),
    "rule: RoLA's polling": Variant(POLLING),
    "rule: polling, slack of 5 rows": Variant(both(POLLING, change("", slack_rows=5))),
    "rule: polling, members for the partnerless": Variant(both(POLLING, change("polling", partnerless="members"))),
    "rule: inside a variable, and the members": Variant(
        both(POLLING, change("polling", low=-1.0, high=1.0, partnerless="members"))
    ),
    "preset: majority": Variant(change("", preset="majority")),
    "preset: rola": Variant(change("", preset="rola")),
    "guilt: without the neighbours": Variant(change("attribution", neighbours=Part(0.0))),
    "guilt: without the autoregression": Variant(change("attribution", autoregression=Part(0.0))),
    "guilt: without the EWMA": Variant(change("attribution", ewma=Part(0.0))),
    "guilt: all rows weigh alike": Variant(change("attribution", later=1.0, outside=1.0)),
}


def measure(folder: list[Case], variant: Variant, seeds: list[int]) -> Tally:
    """What the monitor finds in all cases with all seeds."""
    settings = variant.change(MonitorSettings(other_rules=False, causes=CausesSettings(enabled=False)))
    tally = Tally([])
    for case in folder:
        for seed in seeds:
            block = Block(np.arange(len(case.times), dtype=np.int64), case.values)
            with neighbours_are(variant.neighbours):
                found = Monitor(case.variables, settings, seed=seed).step(block)
            tally.add(case, found.scores, found.verdicts, found.variable_scores)
    return tally


def figures(tally: Tally) -> dict[str, str]:
    """The measures as they are printed; they are printed once more when the table is made from the file."""
    words = tally.line().split()
    return {name: words[words.index(name) + 1] for name in MEASURES}


def known(results: Path | None, seeds: list[int]) -> dict[tuple[str, str], dict[str, str]]:
    """By part and folder, what was measured with these seeds."""
    lines = results.read_text().splitlines() if results and results.is_file() else []
    found = [json.loads(line) for line in lines]
    return {(one["part"], one["folder"]): one["figures"] for one in found if one["seeds"] == seeds}


def table(parts: list[str], folders: list[str], measured: dict[tuple[str, str], dict[str, str]]) -> str:
    """Markdown: a line a part, under each folder its measures."""
    head = ["part", *(f"{folder}: {', '.join(MEASURES)}" for folder in folders)]
    lines = [head, ["---"] * len(head)]
    for part in parts:
        cells = [measured.get((part, folder), {}) for folder in folders]
        lines.append([part, *(", ".join(cell[m] for m in MEASURES) if cell else "" for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--results", type=Path, help="file that keeps what was measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="PART")
    given = parser.parse_args()
    measured = known(given.results, given.seeds)
    loaded = {folder.name: list(cases(folder)) for folder in given.folders}
    for part in given.only:
        for name, folder in loaded.items():
            if (part, name) in measured:
                continue
            measured[part, name] = figures(measure(folder, PARTS[part], given.seeds))
            print(f"{part:42s} {name:10s} {measured[part, name]}", flush=True)
            if given.results:
                line = {"part": part, "folder": name, "seeds": given.seeds, "figures": measured[part, name]}
                with given.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
    print(table(given.only, list(loaded), measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
