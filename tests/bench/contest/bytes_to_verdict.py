"""From the bytes of JSON messages to findings, against chains of river's that are fed by json."""

from contest import ours, river_peers
from contest.inputs import messages, names, series
from contest.inputs import pieces as work
from contest.rounds import Contestant, interleave, middle
from contest.table import line, section, versus

TENTH = 10  # the slow chain gets a tenth of the rows
AIMS = {"light": "150", "team": "90", "everything": "35"}
BARE_AIMS = {38: "15", 100: "8"}


def measure(rounds: int, rows: int, learned: int = ours.LEARNED) -> None:
    with_predictor(38, rounds, rows, learned)
    for variables in BARE_AIMS:
        without_predictor(variables, rounds, rows, learned)


def with_predictor(variables: int, rounds: int, rows: int, learned: int) -> None:
    peer = river_peers.by_bytes(river_peers.chain(names(variables), predictor=True))
    found = messages(series(learned + (rounds + 1) * rows, variables))
    contestants = [Contestant("chain", rows // TENTH, work(peer, found, rows // TENTH))]
    for kind in ours.KINDS:
        step = ours.by_bytes(ours.pipeline(kind))
        step(found[:learned])
        contestants.append(Contestant(kind, rows, work(step, found[learned:], rows)))
    costs = interleave(contestants, rounds)
    section(f"bytes to verdict, {variables} variables, beside river's chain", "us a row")
    for kind in ours.KINDS:
        versus(kind, costs, kind, "chain", AIMS.get(kind, "-"))
    pace = variables / middle(costs, "light, LSTMs") * 1e6
    line("values/s of one core, an LSTM on every variable", f"{pace / 1e6:.2f} M", aim="4 M")


def without_predictor(variables: int, rounds: int, rows: int, learned: int) -> None:
    peer = river_peers.by_bytes(river_peers.chain(names(variables), predictor=False))
    step = ours.by_bytes(ours.pipeline("team"))
    found = messages(series(learned + (rounds + 1) * rows, variables))
    step(found[:learned])
    contestants = [
        Contestant("team", rows, work(step, found[learned:], rows)),
        Contestant("chain", rows // TENTH, work(peer, found, rows // TENTH)),
    ]
    section(f"bytes to verdict, {variables} variables, beside it without predictors", "us a row")
    versus("team", interleave(contestants, rounds), "team", "chain", BARE_AIMS.get(variables, "-"))
