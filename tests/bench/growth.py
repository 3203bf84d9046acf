"""How tocsin's cost grows: in rows, variables and systems. Longer than speed.py, with progress; CPU time, one process.

    make bench-growth
    python tests/bench/growth.py [--only rows variables systems] [--most-rows 1000000]

rows       the vote (the default team) on 3 variables to 10^6 rows, the default monitor to a tenth of it
variables  10 to 1,000, the vote and the default monitor, and light detectors with RePAD2 on every variable
systems    1 to 10,000 in random order, the vote on 10 variables

A ratio here is the cost of the first line over that of this one: 1 = flat. Where the first line is 10 variables, "by
value" divides each cost by its variables first.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import torch
from contest import many_systems, ours
from contest.inputs import endless, pieces, series
from contest.rounds import Contestant, Costs, cpu_us, interleave, middle, ratio
from contest.table import head, line, section

WINDOW = 2_500  # rows that are timed at each mark
ROUNDS = 5
VARIABLES = (10, 38, 100, 300, 1_000)
KINDS = ("team", "default", "light, LSTMs")


def progress(text: str) -> None:
    print(f"\r{text:70}", end="", file=sys.stderr, flush=True)


def rows(kind: str, most: int, variables: int = 3) -> None:
    """The cost of a row at 10^4, 10^5 ... `most` rows, on noise that never ends."""
    marks = [10**power for power in range(4, 10) if 10**power <= most]
    watching, step = ours.by_rows(kind, variables)
    costs: Costs = {f"{mark:,}": [] for mark in marks}
    for part in endless(variables):
        cost = cpu_us(partial(step, part)) / len(part)
        for mark in marks:
            if mark - WINDOW < watching.rows <= mark:
                costs[f"{mark:,}"].append(cost)
        if watching.rows >= most:
            break
        if watching.rows % 10_000 == 0:
            progress(f"{kind}: {watching.rows:,} of {most:,} rows")
    progress("")
    print("\r", end="", file=sys.stderr)
    _lines(f"{kind}, {variables} variables", "rows", costs)


def variables(counts: Sequence[int], kinds: Sequence[str], learned: int = ours.LEARNED) -> None:
    """The cost of a row and of a value."""
    for kind in kinds:
        costs = Costs()
        for count in counts:
            progress(f"{kind}: {count} variables learn {learned:,} rows")
            size = max(16, WINDOW // count)
            _, step = ours.by_rows(kind, count)
            data = series(learned + (ROUNDS + 1) * size, count)
            step(data[:learned])
            contestant = Contestant(str(count), size * count, pieces(step, data[learned:], size))
            costs |= interleave([contestant], ROUNDS)
        progress("")
        print("\r", end="", file=sys.stderr)
        _lines(f"{kind}, by value", "variables", costs)


def _lines(title: str, of: str, costs: Costs) -> None:
    section(title, "us")
    first = next(iter(costs))
    for name in costs:
        line(f"{name} {of}", f"{middle(costs, name):.2f}", "", None if name == first else ratio(costs, name, first))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("rows", "variables", "systems"), metavar="WHAT")
    parser.add_argument("--most-rows", type=int, default=10**6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(head())
    wanted = given.only or ("rows", "variables", "systems")
    if "rows" in wanted:
        rows("team", given.most_rows)
        rows("default", given.most_rows // 10)
    if "variables" in wanted:
        variables(VARIABLES, KINDS)
    if "systems" in wanted:
        many_systems.measure((1, 100, 1_000, 10_000), ROUNDS, variables=10)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
