"""Which part of the vote earns its place: one part left out or changed at a time, on labelled folders. A table.

    python tests/bench/study.py FOLDER [FOLDER ...] [--seeds 0 1 2] [--only PART ...]

Folders as in accuracy.py, whose measures these are, over all cases and seeds; labels are read there only. Read the
table by differences: a part earns its place where the line without it is worse, and seeds alone move VUS-PR by .005.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import Case, Tally, cases

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.combine.attribution import Part
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

Change = Callable[[MonitorSettings], MonitorSettings]

ENDLESS = 10**9  # rows


def change(path: str, **options: Any) -> Change:
    """Replace options of the settings that stand at the path, e.g. "detectors.neighbours"."""

    def apply(settings: Any, names: list[str]) -> Any:
        if not names:
            return replace(settings, **options)
        inner = apply(getattr(settings, names[0]), names[1:])
        return replace(settings, **{names[0]: inner})

    return lambda settings: apply(settings, [name for name in path.split(".") if name])


PARTS: dict[str, Change] = {
    "the default": lambda settings: settings,
    "without the neighbours' vote": change("", voters=("autoregression",)),
    "without the autoregression's vote": change("", voters=("neighbours",)),
    "with a vote for principal components": change("", voters=("neighbours", "autoregression", "principal")),
    "with a vote for LODA": change("", voters=("neighbours", "autoregression", "loda")),
    "with a vote for half-space trees": change("", voters=("neighbours", "autoregression", "half_space_trees")),
    "neighbours: rows as they are": change("detectors.neighbours", fast=1.0, slow=1.0),
    "neighbours: memory of 128 rows": change("detectors.neighbours", memory=128),
    "neighbours: memory of 1,024 rows": change("detectors.neighbours", memory=1024),
    "neighbours: horizon of 5,000 rows": change("detectors.neighbours", horizon_rows=5_000),
    "neighbours: no release": change("detectors.neighbours", release_rows=ENDLESS),
    "calibration: excursions taken in whole": change("calibration", excursion_rows=ENDLESS),
    "calibration: memory of 5,000 rows": change("calibration", memory_rows=5_000),
    "calibration: young scores as they are": change("calibration", young_rows=0),
    "without fresh evidence": change("evidence", headroom=1e9),
    "without damping the line": change("line", damped=False),
    "without the guard": change("guard", enabled=False),
    "without smoothing the published score": change("", smoothing=1.0),
    "rule: plain majority": change("", rule="majority"),
    "rule: any of them": change("", rule="any"),
    "rule: RoLA's polling": change("", rule="polling"),
    "guilt: without the neighbours": change("attribution", neighbours=Part(0.0)),
    "guilt: without the autoregression": change("attribution", autoregression=Part(0.0)),
    "guilt: without the EWMA": change("attribution", ewma=Part(0.0)),
}


def measure(folder: list[Case], settings: MonitorSettings, seeds: list[int]) -> Tally:
    """What the monitor finds in all cases with all seeds."""
    tally = Tally([])
    for case in folder:
        for seed in seeds:
            block = Block(np.arange(len(case.times), dtype=np.int64), case.values)
            found = Monitor(case.variables, settings, seed=seed).step(block)
            tally.add(case, found.scores, found.verdicts, found.variable_scores)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="PART")
    given = parser.parse_args()
    base = MonitorSettings(other_rules=False, causes=CausesSettings(enabled=False))
    loaded = {folder.name: list(cases(folder)) for folder in given.folders}
    for part in given.only:
        for name, folder in loaded.items():
            tally = measure(folder, PARTS[part](base), given.seeds)
            print(f"{part:40s} {name:10s} {tally.line()}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
