"""Rows that come one at a time, rows early in life, whose segments are one row, and bursts of retrainings."""

from functools import partial

from contest import ours
from contest.inputs import pieces, series
from contest.rounds import Contestant, Costs, cpu_us, interleave
from contest.table import section, versus
from detectors.block import Rows
from detectors.online.repad2 import Repad2

YOUNG = 100  # rows of a life that are done when the clock runs: it has given verdicts for a while
KINDS = ("team", "default")


def measure(rounds: int, rows: int, variables: int = 38) -> None:
    young_and_single(rounds, rows, variables)
    burst(rounds, variables)


def young_and_single(rounds: int, rows: int, variables: int) -> None:
    """A ratio above 1 says how many times as dear as in blocks of 256 with segments of 16."""
    few = max(1, min(rows // 4, (512 - YOUNG) // (rounds + 1)))  # so that all of them are young
    contestants = []
    for kind in KINDS:
        data = series(ours.LEARNED + (rounds + 1) * rows, variables)
        grown, step = ours.by_rows(kind, variables)
        step(data[: ours.LEARNED])
        state = grown.state()
        single, step_single = ours.by_rows(kind, variables, block=1)
        single.load_state(state)
        _, step_young = ours.by_rows(kind, variables, block=1)
        step_young(data[:YOUNG])
        later = data[ours.LEARNED :]
        contestants += [
            Contestant(kind, rows, pieces(step, later, rows)),
            Contestant(f"{kind}, single", few, pieces(step_single, later, few)),
            Contestant(f"{kind}, young", few, pieces(step_young, data[YOUNG:], few)),
        ]
    costs = interleave(contestants, rounds)
    section(f"rows one at a time, {variables} variables, beside blocks of 256", "us in 256")
    for kind in KINDS:
        versus(f"{kind}: a row by itself", costs, kind, f"{kind}, single")
        versus(f"{kind}: the same, early in life (segments of one row)", costs, kind, f"{kind}, young")


def burst(rounds: int, variables: int) -> None:
    """A row like those before it, and one that nobody can foresee: the LSTM of every variable is trained again."""
    grown = Repad2(variables)
    data = 100.0 + series(400, variables)  # far from 0, where a jump is a large relative error
    grown.score(Rows.complete(data))
    state, jump = grown.state(), Rows.complete(data[-1:] + 1e4, first=400)
    costs: Costs = {"quiet": [], "burst": []}
    for number in range(rounds + 1):
        for name, row in (("quiet", Rows.complete(data[-1:], first=400)), ("burst", jump)):
            grown.load_state(state)
            cost = cpu_us(partial(grown.score, row))
            costs[name] += [cost] if number else []
    trained = int((grown.retrained - state["retrained"]).sum())
    section(f"RePAD2, a row of {variables}, beside one that trains {trained} again", "us a row")
    versus("the burst", costs, "quiet", "burst")
