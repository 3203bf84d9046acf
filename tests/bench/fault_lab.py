"""A fault lab: faults of known kind, place and time in simulated systems, found and explained with nothing told.

    python tests/bench/fault_lab.py [--seeds 20] [--variables 10] [--before 900] [--nonlinear] [--given] [--kinds ...]
                                      [--form disentangled] [--sizes 4 8]

Each seed draws a system: a random acyclic graph over variables that move each other after 0 to 3 rows, each with a
memory, a level and a unit of its own. A fault begins at row `before` and lasts to the end:

    level       it is moved by 4 to 8 of its standard deviations
    leak        it drifts away, that far in 60 rows
    noise       what is its own grows fivefold
    drop        its reading falls to 0
    saturation  its reading cannot rise above 4 to 8 of its standard deviations below its mean
    delay       it follows its causes 8 rows later; a size would not make it larger
    outside     a level fault of a variable that nobody measures: the right answer is "unknown"

Printed for each kind: n; found, the share that a trigger or a verdict found within 60 rows, and after how many rows
(median); size, by how much the root's rows differ from what they would have been, in its standard deviations (median
of the trials' means over 60 rows: below 1 a fault hides in the noise of a row); AC@1 and AC@3 of the last ranking,
and AC@1 of the plain deviation ranking beside it; false, episodes before the fault in 1,000 rows; SHD, the structural
Hamming distance of the graph that was learned over that of the empty graph (1 = no better than no graph), and new,
how many relations it tells as there only since the fault (there are none but a later one, of delay). Then how well
confidence told right first answers from wrong ones (area under the curve), and how often a cause outside was said to
be unknown at the level that refuses a tenth of the right answers, and at the default one.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.block import Block
from detectors.causes.graph import CausalGraph
from detectors.causes.ranking import entities
from detectors.causes.settings import CausesSettings, LearningSettings
from detectors.findings import Edge, Ranking
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

KINDS = ("level", "leak", "noise", "drop", "saturation", "delay", "outside")
LONGEST_LAG = 3
SETTLE = 50  # rows that the simulation runs ahead
AFTER = 120  # rows of the fault
FOUND_WITHIN = 60
LEVEL = 10.0  # of a reading, in units of its innovations
LEAK_ROWS = 60
DELAY_ROWS = 8
LOUDER = 5.0
SIZES = (4.0, 8.0)  # standard deviations


@dataclass(frozen=True)
class System:
    """weights (D, D): [i, j] of i's effect on j, upper triangular; lags (D, D); memory (D,); units (D,)."""

    weights: np.ndarray
    lags: np.ndarray
    memory: np.ndarray
    units: np.ndarray
    nonlinear: bool


@dataclass(frozen=True)
class Fault:
    """size: in units of the root's innovations; of a level, a leak or a saturation."""

    kind: str
    root: int
    start: int
    size: float


def draw_system(rng: np.random.Generator, variables: int, *, nonlinear: bool = False) -> System:
    """A random graph with two causes a variable on average."""
    share = min(1.0, 4.0 / (variables - 1))
    edges = np.triu(rng.random((variables, variables)) < share, 1)
    signs = rng.choice([-1.0, 1.0], size=edges.shape)
    return System(
        weights=edges * signs * rng.uniform(0.4, 0.9, size=edges.shape),
        lags=rng.integers(0, LONGEST_LAG + 1, size=edges.shape),
        memory=rng.uniform(0.0, 0.6, size=variables),
        units=10.0 ** rng.uniform(-3, 3, size=variables),
        nonlinear=nonlinear,
    )


def simulate(system: System, innovations: np.ndarray, fault: Fault | None = None) -> np.ndarray:
    """Readings (T - SETTLE, D) from innovations (T, D). A fault changes only its root and what follows from it."""
    x = np.zeros_like(innovations)
    for t in range(LONGEST_LAG + DELAY_ROWS, len(x)):
        for j in range(x.shape[1]):
            hit = fault is not None and fault.root == j and t - SETTLE >= fault.start
            x[t, j] = _value(system, x, innovations, t, j, fault if hit else None)
    return np.asarray((LEVEL + x[SETTLE:]) * system.units)


def _value(system: System, x: np.ndarray, innovations: np.ndarray, t: int, j: int, fault: Fault | None) -> float:
    kind = fault.kind if fault is not None else ""
    causes = np.flatnonzero(system.weights[:, j])
    lags = system.lags[causes, j] + (DELAY_ROWS if kind == "delay" else 0)
    moved = x[t - lags, causes]
    driven = system.weights[causes, j] @ (1.5 * np.tanh(moved) if system.nonlinear else moved)
    value = system.memory[j] * x[t - 1, j] + driven + innovations[t, j] * (LOUDER if kind == "noise" else 1.0)
    if fault is None:
        return float(value)
    if kind == "level":  # a lasting push, so that the variable itself settles at this size
        value += fault.size * (1.0 - system.memory[j])
    if kind == "leak":
        value += fault.size * (1.0 - system.memory[j]) * (t - SETTLE - fault.start) / LEAK_ROWS
    if kind == "saturation":
        value = min(value, -fault.size)
    return -LEVEL if kind == "drop" else float(value)


def draw_fault(
    rng: np.random.Generator,
    system: System,
    kind: str,
    start: int,
    spread: np.ndarray,
    sizes: tuple[float, float] = SIZES,
) -> Fault:
    """A fault of the kind: of a variable with effects; with causes, if they are to be followed late; with two effects
    or more, if it is to be outside. spread: (D,) standard deviations, in units of the innovations.  sizes: least and
    most, in these."""
    effects, causes = (system.weights != 0).sum(axis=1), (system.weights != 0).sum(axis=0)
    fits = {"delay": causes > 0, "outside": effects > 1}.get(kind, effects > 0)
    chosen = np.flatnonzero(fits)
    root = int(rng.choice(chosen if len(chosen) else np.arange(len(fits))))
    return Fault("level" if kind == "outside" else kind, root, start, float(rng.uniform(*sizes) * spread[root]))


@dataclass(frozen=True)
class Trial:
    """What was found of one fault. delay: rows, None if it was not found. rank, plain: places of the root, from 1;
    0 if it is not listed. shd, empty: of the learned and of the empty graph. new: relations told as such. size: of what
    the fault changed at its root, in standard deviations."""

    kind: str
    delay: int | None
    rank: int
    plain: int
    confidence: float
    false: int
    shd: int
    empty: int
    new: int = 0
    size: float = 0.0


def run_trial(
    kind: str,
    seed: int,
    *,
    variables: int,
    before: int,
    nonlinear: bool,
    given: bool,
    form: str,
    sizes: tuple[float, float] = SIZES,
) -> Trial:
    """Simulate a system with a fault, and watch it with tocsin's defaults but for the form of the learned graph."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    system = draw_system(rng, variables + (kind == "outside"), nonlinear=nonlinear)
    innovations = rng.normal(size=(SETTLE + before + AFTER, len(system.units)))
    normal = simulate(system, innovations)
    fault = draw_fault(rng, system, kind, before, (normal / system.units).std(axis=0), sizes)
    rows = simulate(system, innovations, fault)
    seen = np.arange(len(system.units))
    if kind == "outside":
        seen = np.delete(seen, fault.root)
    names = [f"n{number}.x" for number in seen]
    truth = [(names[i], names[j]) for i, j in np.argwhere(system.weights[np.ix_(seen, seen)] != 0)]
    graph = CausalGraph.from_pairs(truth, names) if given else None
    settings = MonitorSettings(causes=CausesSettings(learning=LearningSettings(form=form)))
    monitor = Monitor(names, settings, graph=graph)
    found = monitor.step(Block(np.arange(len(rows), dtype=np.int64), rows[:, seen]))
    trial = _judge(kind, f"n{fault.root}", before, found.rankings, truth)
    return replace(trial, size=change_size(normal[:, fault.root], rows[:, fault.root], before))


def change_size(normal: np.ndarray, faulty: np.ndarray, start: int) -> float:
    """The mean distance of a variable's first rows (T,) of a fault from those without it, in standard deviations."""
    first = slice(start, start + FOUND_WITHIN)
    return float(np.abs(faulty - normal)[first].mean() / normal.std())


def _judge(kind: str, root: str, start: int, rankings: Sequence[Ranking], truth: list[tuple[str, str]]) -> Trial:
    """The episode that opened first within the fault's first rows is the answer; its last ranking stands."""
    opened = sorted({ranking.opened for ranking in rankings})
    hits = [time for time in opened if start - 1 <= time <= start + FOUND_WITHIN]
    false = sum(time < start - 1 for time in opened)
    if not hits:
        return Trial(kind, None, 0, 0, 0.0, false, len(truth), len(truth))
    last = [ranking for ranking in rankings if ranking.opened == hits[0]][-1]
    places = [_place(entities(causes), root) for causes in (last.causes, last.baseline_causes)]
    shd = structural_hamming_distance([edge for edge in last.edges if edge.holds != "until_change"], truth)
    new = sum(edge.holds == "since_change" for edge in last.edges)
    return Trial(kind, max(0, hits[0] - start), *places, last.confidence, false, shd, len(truth), new)


def _place(named: Sequence[str], root: str) -> int:
    return named.index(root) + 1 if root in named else 0


def structural_hamming_distance(edges: Iterable[Edge], truth: Iterable[tuple[str, str]]) -> int:
    """Relations to add, drop or turn round until the graph is the true one, lags aside."""
    found = {(edge.cause, edge.effect) for edge in edges}
    true = set(truth)
    pairs = {frozenset(pair) for pair in found | true}
    return sum({p for p in found if set(p) == pair} != {p for p in true if set(p) == pair} for pair in pairs)


def area_under_curve(right: Sequence[float], wrong: Sequence[float]) -> float:
    """How often a right answer is more confident than a wrong one."""
    if not right or not wrong:
        return float("nan")
    pairs = np.subtract.outer(np.array(right), np.array(wrong))
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def unknown_at(right: Sequence[float], outside: Sequence[float], refused: float = 0.1) -> tuple[float, float]:
    """The level that refuses at most that share of the right answers, and how many causes outside are below it."""
    if not right or not outside:
        return float("nan"), float("nan")
    level = float(np.quantile(right, refused, method="lower"))
    return level, float(np.mean(np.array(outside) < level))


def table(trials: Sequence[Trial], rows: int) -> list[str]:
    """One line for each kind of fault."""
    columns = ("found", "delay", "size", "AC@1", "AC@3", "plain", "false", "SHD", "new")
    head = f"{'fault':11s} {'n':>3s} " + " ".join(f"{column:>6s}" for column in columns)
    kinds = dict.fromkeys(trial.kind for trial in trials)
    return [head, *(_line(kind, [trial for trial in trials if trial.kind == kind], rows) for kind in kinds)]


def _line(kind: str, trials: Sequence[Trial], rows: int) -> str:
    delays = [trial.delay for trial in trials if trial.delay is not None]
    figures = [len(delays) / len(trials), float(np.median(delays)) if delays else float("nan")]
    figures.append(float(np.median([trial.size for trial in trials])))
    figures += [float(np.mean([0 < trial.rank <= k for trial in trials])) for k in (1, 3)]
    figures.append(float(np.mean([trial.plain == 1 for trial in trials])))
    figures.append(1000 * sum(trial.false for trial in trials) / (rows * len(trials)))
    figures.append(sum(trial.shd for trial in trials) / max(1, sum(trial.empty for trial in trials)))
    figures.append(float(np.mean([trial.new for trial in trials])))
    return f"{kind:11s} {len(trials):3d} " + " ".join(f"{figure:6.2f}" for figure in figures)


def calibration(trials: Sequence[Trial]) -> list[str]:
    """How far the confidence can be trusted, over all kinds of faults that were found."""
    found = [trial for trial in trials if trial.delay is not None]
    right = [trial.confidence for trial in found if trial.rank == 1]
    wrong = [trial.confidence for trial in found if trial.rank != 1 and trial.kind != "outside"]
    outside = [trial.confidence for trial in found if trial.kind == "outside"]
    level, unknown = unknown_at(right, outside)
    default = CausesSettings().unknown_below
    refused = [float(np.mean(np.array(some) < default)) if some else float("nan") for some in (right, wrong, outside)]
    return [
        f"confidence of {len(right)} right against {len(wrong)} wrong first answers: "
        f"area {area_under_curve(right, wrong):.2f}",
        f"below {level:.2f}, a tenth of the right ones: {unknown:.2f} of {len(outside)} answers to a cause outside",
        "below {:.2f}, the default: {:.2f} of the right, {:.2f} of the wrong, {:.2f} outside".format(default, *refused),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="systems of each kind")
    parser.add_argument("--variables", type=int, default=10)
    parser.add_argument("--before", type=int, default=900, help="rows before the fault")
    parser.add_argument("--nonlinear", action="store_true", help="variables saturate in what moves them")
    parser.add_argument("--given", action="store_true", help="tocsin is given the true graph")
    parser.add_argument("--sizes", type=float, nargs=2, default=SIZES, help="of level, leak, saturation (4 8)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--form", choices=("joint", "disentangled"), default="joint", help="of the learned graph")
    asked = parser.parse_args()
    options = {name: getattr(asked, name) for name in ("variables", "before", "nonlinear", "given", "form")}
    options["sizes"] = tuple(asked.sizes)
    trials = [run_trial(kind, seed, **options) for kind in asked.kinds for seed in range(asked.seeds)]
    print("\n".join([*table(trials, asked.before), *calibration(trials)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
