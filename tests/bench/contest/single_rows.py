"""Rows that come one at a time, rows early in life, whose segments are one row, and bursts of retrainings."""

from functools import partial

import numpy as np

from contest import ours
from contest.inputs import pieces, series
from contest.rounds import Contestant, cpu_us, interleave, middle
from contest.table import line, section, versus
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
    """Quiet rows, and rows at which the LSTM of every variable is trained again: each a hundredfold jump."""
    detector, rng = Repad2(variables), np.random.default_rng(1)
    for number, row in enumerate(series(400, variables)):
        detector.score(Rows.complete(row[None], first=number))
    busy, tried = [], rounds * 4
    for number in range(400, 400 + tried):
        before, row = detector.retrained.sum(), 10.0 ** rng.uniform(2, 6, (1, variables))
        cost = cpu_us(partial(detector.score, Rows.complete(row, first=number)))
        if detector.retrained.sum() - before == variables:
            busy.append(cost)
    calm, flat = Repad2(variables), np.ones((64, variables))
    calm.score(Rows.complete(flat))
    costs = interleave([Contestant("calm", 64, lambda: calm.score(Rows.complete(flat, first=64)))], rounds)
    section(f"RePAD2, {variables} variables, one row", "us a row")
    line("no variable is trained again", f"{middle(costs, 'calm'):.1f}")
    line(f"all are: the burst ({len(busy)} of {tried} rows)", f"{np.median(busy):.0f}" if busy else "none")
