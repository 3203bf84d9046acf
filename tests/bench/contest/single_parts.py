"""One part of ours against the same method as others have it or as it is written at first.

Half-space trees are river's in both, in ours as arrays and behind another scale. LODA and SSA are not the same to the
letter: our LODA also standardises and weighs the rows; our SSA trigger renews its subspace every N rows, the peer at
every row.
"""

import numpy as np

from contest import ours, pysad_peer, river_peers
from contest.inputs import names, series
from contest.inputs import pieces as work
from contest.notears_peer import Notears
from contest.repad2_peer import Model, NaiveRepad2
from contest.rounds import Contestant, interleave
from contest.ssa_peer import SvdSsa
from contest.table import note, section, versus
from detectors.causes.learning import learn, moments
from detectors.causes.mssa import MssaTrigger
from detectors.causes.settings import LearningSettings, MssaSettings
from detectors.online.half_space_trees import HalfSpaceTrees
from detectors.online.loda import Loda
from detectors.online.lstm_kernel import initial_parameters, new_room, train
from detectors.online.repad2 import Repad2

SLOW_ROWS = 16  # of a peer that is slow, a round
LEARNED = 512


def rowwise(variables: int, rounds: int, rows: int) -> None:
    """Half-space trees and LODA."""
    data = series(LEARNED + (rounds + 1) * rows, variables)
    dicts = [dict(enumerate(row)) for row in data.tolist()]
    steps = {
        "our trees": (ours.one_detector(HalfSpaceTrees(variables)), data),
        "river's trees": (river_peers.by_rows(river_peers.half_space_trees()), dicts),
        "our LODA": (ours.one_detector(Loda(variables)), data),
    }
    loda = pysad_peer.loda()
    if loda is not None:
        steps["PySAD's LODA"] = (loda, data)
    contestants = []
    for name, (step, inputs) in steps.items():
        step(inputs[:LEARNED])
        contestants.append(Contestant(name, rows, work(step, inputs[LEARNED:], rows)))
    costs = interleave(contestants, rounds)
    section(f"one detector, {variables} variables, rows decoded already", "us a row")
    versus("half-space trees, beside river's", costs, "our trees", "river's trees")
    if loda is None:
        note(f"LODA: {pysad_peer.WITHOUT}")
    else:
        versus("LODA, beside PySAD's", costs, "our LODA", "PySAD's LODA")


def repad2(variables: int, rounds: int, rows: int) -> None:
    """A retraining, and the whole loop from its first row on; the naive loop gets one variable."""
    data = series(rows, variables)
    rng, three = np.random.default_rng(0), np.array([0.2, 0.9, 0.4])
    initial, room = initial_parameters(rng), new_room()

    def retrain() -> None:
        train(initial.copy(), three, 50, 0.005, 0.0, room)

    def naive_loop() -> None:
        one = NaiveRepad2()
        for value in data[:, 0].tolist():
            one(value)

    contestants = [
        Contestant("our retraining", 20, lambda: [retrain() for _ in range(20)]),
        Contestant("torch retraining", 1, lambda: Model(three.tolist())),
        Contestant("our loop", rows * variables, lambda: ours.one_detector(Repad2(variables))(data)),
        Contestant("torch loop", rows, naive_loop),
    ]
    costs = interleave(contestants, rounds)
    section(f"RePAD2, {variables} variables, beside torch in a Python loop")
    versus("a retraining", costs, "our retraining", "torch retraining", "2000")
    versus(f"the whole loop, a value, first {rows} rows", costs, "our loop", "torch loop", "1000")


def ssa(variables: int, rounds: int, *, span: int = 120, window: int = 12) -> None:
    """N = span. Ours is armed, and renews its subspace within each round's rows once."""
    trigger = MssaTrigger(variables, MssaSettings(window=window, columns=span // window, moving=True))
    peers = {length: SvdSsa(variables, span, length) for length in (window, span // 2)}
    data = series(span + (rounds + 1) * span, variables)
    seen = 0

    def step(rows: np.ndarray) -> None:
        nonlocal seen
        trigger.follow(rows, np.arange(seen, seen + len(rows)), seen)
        seen += len(rows)

    step(data[:span])
    contestants = [Contestant("ours", span, work(step, data[span:], span))]
    for length, peer in peers.items():
        for row in data[:span]:
            peer(row)
        slowly = work(lambda rows, one=peer: [one(row) for row in rows], data[span:], SLOW_ROWS)
        contestants.append(Contestant(f"L = {length}", SLOW_ROWS, slowly))
    costs = interleave(contestants, rounds)
    section(f"SSA, {variables} variables, N = {span}, L = {window}, beside SVD each row", "us a row")
    for length in peers:
        versus(f"the peer with L = {length}", costs, "ours", f"L = {length}", "2000")


def graph(variables: int, rounds: int, *, iterations: int, aim: str = "-") -> None:
    """An iteration, from the second moments of 1,000 rows or more; no lags, like the peer, which descends on the rows
    themselves. Ours counts no fewer than 3 rows a variable as enough."""
    rows = series(max(1_000, 3 * variables), variables)
    found, labels = moments(rows, 0), names(variables)
    settings = LearningSettings(max_variables=variables, iterations=iterations, lags=0)
    refused = learn(found, labels, settings).note
    if refused:
        raise ValueError(f"nothing to time: {refused}")
    peer = Notears(rows)
    contestants = [
        Contestant("ours", iterations, lambda: learn(found, labels, settings)),
        Contestant("torch", iterations // 3, lambda: peer.descend(iterations // 3)),
    ]
    versus(f"{variables} variables", interleave(contestants, rounds), "ours", "torch", aim)


def measure(rounds: int, rows: int) -> None:
    rowwise(38, rounds, rows)
    repad2(38, rounds, 300)
    ssa(38, rounds)
    section("a graph iteration, beside NOTEARS in torch", "us")
    graph(38, rounds, iterations=90, aim="30")
    graph(100, rounds, iterations=30)
    graph(500, min(rounds, 3), iterations=3, aim="30")
