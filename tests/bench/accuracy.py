"""How well tocsin finds and explains labelled anomalies, beside a plain baseline. Labels are read here only.

    python tests/bench/accuracy.py detection FOLDER [--seeds 0 1 2] [--preset team]
    python tests/bench/accuracy.py told FOLDER
    python tests/bench/accuracy.py hidden FOLDER

FOLDER holds cases: `<case>/data.csv.gz` (`time`, then one column a variable, empty = missing) and `<case>/meta.json`.

detection: `anomalies` (first and last row of each), `warmup_rows`, `guilty`. Prints for each case and in all: VUS-PR,
events found, false-alarm episodes and false rows per 1,000 normal rows, and how often the first variable is guilty;
at the end means and standard deviations over the seeds. Beside it an EWMA z-score, its line at the .995 quantile of
what it said before.
told: `inject_time`, `root_entities`; FOLDER/graph.csv where there is one. Prints AC@1, AC@3 and Avg@5 beside the plain
ranking by deviation, and how often a right first answer is more confident than a wrong one (area under the curve);
then AC@1 and AC@3 of both for each kind of fault (`fault`), where the cases have several, and `shown`: in how many the
root goes further from its quiet median than in any row before: where it does not, its metrics alone cannot tell.
hidden: the same cases, and each once more without the variables of its root. Prints how many of these are below the
confidence that refuses a tenth of the right answers, and below the default of `causes.unknown_below`.
"""

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from fault_lab import area_under_curve, unknown_at

from detectors.block import Block
from detectors.causes.explain import explain
from detectors.causes.graph import CausalGraph, entity_of
from detectors.causes.ranking import entities
from detectors.causes.settings import CausesSettings
from detectors.findings import Ranking
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

LEVELS = 250  # thresholds of a precision-recall curve
JOINED_ROWS = 10  # verdicts closer than this are one episode


@dataclass(frozen=True)
class Case:
    name: str
    variables: tuple[str, ...]
    times: np.ndarray  # (T,) seconds, or row numbers where the file has dates
    values: np.ndarray  # (T, D)
    meta: dict[str, Any]


def cases(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*/meta.json")):
        with gzip.open(path.with_name("data.csv.gz"), "rt") as file:
            head, *rows = csv.reader(file)
        values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
        is_number = rows[0][0].replace(".", "", 1).isdigit()
        times = np.array([float(row[0]) for row in rows]) if is_number else np.arange(len(rows), dtype=float)
        yield Case(path.parent.name, tuple(head[1:]), times, values, json.loads(path.read_text()))


def nanoseconds(seconds: np.ndarray | float) -> Any:
    return np.round(np.asarray(seconds) * 1e9).astype(np.int64)


def labels(case: Case) -> np.ndarray:
    marked = np.zeros(len(case.times), dtype=bool)
    for first, last in case.meta["anomalies"]:
        marked[first : last + 1] = True
    return marked


def runs(marked: np.ndarray, joined: int = 1) -> list[tuple[int, int]]:
    """(first, last) of the stretches of True; stretches less than `joined` rows apart are one."""
    where = np.flatnonzero(marked)
    if not len(where):
        return []
    cuts = np.flatnonzero(np.diff(where) > joined)
    return list(zip(where[np.r_[0, cuts + 1]], where[np.r_[cuts, len(where) - 1]], strict=True))


def dominant_period(x: np.ndarray) -> int:
    """The buffer of VUS: the lag of the highest autocorrelation up to 400; 125 if it is not from 6 to 303."""
    z = np.nan_to_num(x[:20_000] - np.nanmean(x[:20_000]))
    if not z.any():
        return 125
    spectrum = np.fft.rfft(z, 2 * len(z))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:401]
    lags = [k for k in range(4, len(correlation) - 1) if correlation[k - 1] < correlation[k] > correlation[k + 1]]
    highest = max(lags, key=lambda k: correlation[k]) if lags else 0
    return highest if 6 <= highest <= 303 else 125


def soft_labels(marked: np.ndarray, buffer: int) -> np.ndarray:
    """(T,) 1 inside events, falling as sqrt(1 - distance / buffer) over half a buffer on either side."""
    soft = np.zeros(len(marked))
    half = buffer // 2
    for first, last in runs(marked) if half else []:
        for distance in range(half + 1):
            for row in (first - distance, last + distance):
                if 0 <= row < len(marked):
                    soft[row] = max(soft[row], np.sqrt(max(0.0, 1.0 - distance / buffer)))
    soft[marked] = 1.0
    return soft


def vus_pr(marked: np.ndarray, scores: np.ndarray, longest: int) -> float:
    """Volume under the precision-recall surface over buffers 0 to `longest` (Paparrizos et al., VLDB 2022).

    True positives count by soft labels, recall also by the share of events touched at all; positives are the labelled
    rows and half of what was hit around them, as the reference implementation (TSB-AD) has it.
    """
    ordered = np.argsort(-scores, kind="stable")
    lines = scores[ordered][np.linspace(0, len(scores) - 1, LEVELS).astype(int)]
    counts = np.searchsorted(-scores[ordered], -lines, side="right")
    areas = []
    for buffer in range(longest + 1):
        soft = soft_labels(marked, buffer)
        reach = soft > 0
        peaks = np.array([scores[first : last + 1].max() for first, last in runs(reach)])
        touched = (peaks[None, :] >= lines[:, None]).mean(axis=1)
        hits = np.cumsum(soft[ordered])[counts - 1]
        outside = hits - np.cumsum(marked[ordered])[counts - 1]
        positives = marked.sum() + outside / 2
        recall = np.minimum(hits / positives, 1.0) * touched
        areas.append(float(np.diff(recall, prepend=0.0) @ (hits / counts)))
    return float(np.mean(areas))


@dataclass
class Tally:
    """Sums over cases."""

    volumes: list[float]
    events: int = 0
    found: int = 0
    episodes: int = 0
    false_rows: int = 0
    normal: int = 0
    guilty: int = 0
    blamed: int = 0

    def add(self, case: Case, scores: np.ndarray, verdicts: np.ndarray, blame: np.ndarray) -> "Tally":
        begin = case.meta.get("warmup_rows", 0)
        marked, flags = labels(case)[begin:], verdicts[begin:]
        self.volumes.append(vus_pr(marked, scores[begin:], dominant_period(case.values[begin:, 0])))
        events = runs(marked)
        self.events += len(events)
        self.found += sum(flags[first : last + 1].any() for first, last in events)
        self.episodes += sum(not marked[first : last + 1].any() for first, last in runs(flags, JOINED_ROWS))
        self.false_rows += int((flags & ~marked).sum())
        self.normal += int((~marked).sum())
        for event in case.meta.get("guilty", []):
            first, last = event["rows"]
            self.blamed += 1
            self.guilty += case.variables[int(blame[first : last + 1].max(axis=0).argmax())] in event["variables"]
        return self

    def join(self, other: "Tally") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def figures(self) -> dict[str, float]:
        per_thousand = 1000 / max(self.normal, 1)
        return {
            "VUS-PR": float(np.mean(self.volumes)),
            "events": self.found,
            "fa": self.episodes * per_thousand,
            "fp": self.false_rows * per_thousand,
            "guilty": self.guilty / self.blamed if self.blamed else np.nan,
        }

    def line(self) -> str:
        figures = self.figures()
        first = f"{figures['guilty']:.3f}" if self.blamed else "-"
        return (
            f"VUS-PR {figures['VUS-PR']:.3f}  events {self.found}/{self.events}  "
            f"fa {figures['fa']:.3f}  fp {figures['fp']:.3f}  guilty {first}"
        )


def ewma_baseline(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, verdicts and blame of the largest |z| over the variables, by slow averages of each."""
    x = np.nan_to_num(values)
    mean, variance = x[0].copy(), np.ones(x.shape[1])
    z = np.zeros_like(x)
    for t, row in enumerate(x):
        z[t] = np.abs(row - mean) / np.sqrt(variance + 1e-9)
        variance += 0.005 * ((row - mean) ** 2 - variance)
        mean += 0.005 * (row - mean)
    scores = z.max(axis=1)
    verdicts = np.zeros(len(x), dtype=bool)
    for begin in range(500, len(x), 500):  # the line is renewed every 500 rows
        verdicts[begin : begin + 500] = scores[begin : begin + 500] > np.quantile(scores[:begin], 0.995)
    return scores, verdicts, z


def detection(folder: Path, seeds: list[int], preset: Any) -> None:
    settings = MonitorSettings(preset=preset, causes=CausesSettings(enabled=False))
    totals = {"EWMA z": Tally([]), **{f"seed {seed}": Tally([]) for seed in seeds}}
    rates = []  # of false-alarm episodes, by case and seed
    for case in cases(folder):
        totals["EWMA z"].add(case, *ewma_baseline(case.values))
        rates.append([])
        for seed in seeds:
            found = Monitor(case.variables, settings, seed=seed).step(
                Block(np.arange(len(case.times), dtype=np.int64), case.values)
            )
            one = Tally([]).add(case, found.scores, found.verdicts, found.variable_scores)
            print(f"{case.name}  seed {seed}  {one.line()}", flush=True)
            totals[f"seed {seed}"].join(one)
            rates[-1].append(one.figures()["fa"])
    for name, tally in totals.items():
        print(f"ALL  {name}  {tally.line()}")
    over_seeds([totals[f"seed {seed}"] for seed in seeds], np.mean(rates, axis=1))


def over_seeds(tallies: list[Tally], rates: np.ndarray) -> None:
    """Prints means and standard deviations, and how uneven the series (S,) are in their rates of false alarms."""
    figures = [tally.figures() for tally in tallies]
    for name in figures[0]:
        values = [figure[name] for figure in figures if not np.isnan(figure[name])]
        if not values:
            continue
        spread = f" +- {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        print(f"MEAN  {name} {np.mean(values):.4f}{spread}")
    print(f"fa, worst series over the mean of all: {rates.max() / max(rates.mean(), 1e-9):.2f}")


def rank_of(named: tuple[str, ...], roots: list[str]) -> int:
    return next((place for place, name in enumerate(named, start=1) if name in roots), sys.maxsize)


def given_pairs(folder: Path) -> list[tuple[str, str]]:
    """(cause, effect) of the folder's graph; none where there is none."""
    path = folder / "graph.csv"
    rows = list(csv.reader(path.open()))[1:] if path.is_file() else []
    return [(cause, effect) for cause, effect, *_ in rows]


def explained(folder: Path, *, hidden: bool) -> Iterator[tuple[Case, Ranking]]:
    """Every case with its ranking, told the time; hidden: as if nobody measured the root."""
    pairs = given_pairs(folder)
    for case in cases(folder):
        kept = [i for i, v in enumerate(case.variables) if not hidden or entity_of(v) not in case.meta["root_entities"]]
        names, values = [case.variables[i] for i in kept], np.ascontiguousarray(case.values[:, kept])
        graph = CausalGraph.from_pairs(pairs, names) if pairs else None
        at = int(nanoseconds(case.meta["inject_time"]))
        times = nanoseconds(case.times)
        yield case, explain(times, values, names, at, settings=CausesSettings(), graph=graph).ranking


def told(folder: Path) -> tuple[list[float], list[float]]:
    """Prints accuracy; gives the confidence of the right and of the wrong first answers."""
    ranks: dict[str, list[int]] = {"tocsin": [], "plain ranking": []}
    sure: dict[bool, list[float]] = {True: [], False: []}
    kinds: list[str] = []
    shown: list[bool] = []
    for case, found in explained(folder, hidden=False):
        for name, causes in (("tocsin", found.causes), ("plain ranking", found.baseline_causes)):
            ranks[name].append(rank_of(entities(causes), case.meta["root_entities"]))
        sure[ranks["tocsin"][-1] == 1].append(found.confidence)
        kinds.append(str(case.meta.get("fault", "")))
        shown.append(is_shown(case))
    for name, places in ranks.items():
        reached = {k: float(np.mean([place <= k for place in places])) for k in range(1, 6)}
        average = np.mean(list(reached.values()))
        print(f"{name:14s} n {len(places)}  AC@1 {reached[1]:.3f}  AC@3 {reached[3]:.3f}  Avg@5 {average:.3f}")
    print(f"confidence     area {area_under_curve(sure[True], sure[False]):.3f}")
    print("\n".join(by_kind(kinds, shown, ranks)))
    return sure[True], sure[False]


def is_shown(case: Case) -> bool:
    """Whether any variable of a root goes further from its quiet median after the fault than in all rows before."""
    mine = [i for i, v in enumerate(case.variables) if entity_of(v) in case.meta["root_entities"]]
    values, quiet = np.nan_to_num(case.values[:, mine]), case.times < case.meta["inject_time"]
    away = np.abs(values - np.median(values[quiet], axis=0))
    return bool((away[~quiet].max(axis=0) > away[quiet].max(axis=0)).any())


def by_kind(kinds: list[str], shown: list[bool], ranks: dict[str, list[int]]) -> list[str]:
    """One line for each kind of fault; none where there is only one."""
    names = sorted(set(kinds))
    if len(names) < 2:
        return []
    lines = [f"{'fault':20s} {'n':>3s} {'shown':>6s}  AC@1  AC@3  plain AC@1  AC@3"]
    for name in names:
        mine = [number for number, kind in enumerate(kinds) if kind == name]
        reached = [np.mean([places[i] <= k for i in mine]) for places in ranks.values() for k in (1, 3)]
        share = np.mean([shown[i] for i in mine])
        lines.append("{:20s} {:3d} {:6.2f} {:5.2f} {:5.2f}  {:10.2f} {:5.2f}".format(name, len(mine), share, *reached))
    return lines


def hidden(folder: Path) -> None:
    right, wrong = told(folder)
    without = [found.confidence for _, found in explained(folder, hidden=True)]
    for level in (unknown_at(right, without)[0], CausesSettings().unknown_below):
        shares = [float(np.mean(np.array(some) < level)) if some else np.nan for some in (right, wrong, without)]
        print("below {:.2f}     {:.3f} of the right, {:.3f} of the wrong, {:.3f} of the hidden".format(level, *shares))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("detection", "told", "hidden"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--preset", default="team")
    given = parser.parse_args()
    if not any(given.folder.glob("*/meta.json")):
        parser.error(f"{given.folder} must hold cases: <case>/meta.json and <case>/data.csv.gz")
    if given.what == "told":
        told(given.folder)
    elif given.what == "hidden":
        hidden(given.folder)
    else:
        detection(given.folder, given.seeds, given.preset)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
