"""Two commits side by side: what each costs, and whether they find the same, byte for byte.

    python tests/bench/compare.py COMMIT_A COMMIT_B [--rounds 5] [--rows 512]

Each commit's packages run in a process of their own, from a git worktree that is made and removed here; the bench is
this checkout's in both. They take turns, round by round. A ratio above 1 says that B is faster. First they compile,
which takes a minute or two each. What a commit does not have is told and left out.

Findings: three faults in a synthetic stream with missing cells, as messages, through each preset; compared are the
records that a sink would write, in order, and the scores, verdicts and guilt of every row. The exit code is 3 where
they differ.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from contest.rounds import Costs
from contest.table import ROOT, commit, head, note, section, versus

HERE = Path(__file__).resolve().parent


@contextmanager
def checkout(name: str) -> Iterator[Path]:
    """A worktree of the commit, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="tocsin-compare-") as folder:
        path = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(path), name], cwd=ROOT, check=True)
        try:
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=ROOT, check=True)


class Side:
    """A process of one commit: asked in a line of JSON, it answers in one."""

    def __init__(self, tree: Path, rounds: int, rows: int) -> None:
        self.commit, self._tree = commit(tree), tree
        paths = os.pathsep.join([str(tree), str(HERE)])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "contest" / "side.py"), str(rounds), str(rows)],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.wait()

    def names(self) -> dict[str, Any]:
        """What can be asked for. Raises RuntimeError where the packages are not the commit's."""
        known: dict[str, Any] = self.ask("names", "")
        if Path(known["packages"]).resolve() != self._tree.resolve():
            raise RuntimeError(f"packages of {self.commit} must come from {self._tree}, got {known['packages']}")
        return known

    def ask(self, what: str, name: str) -> Any:
        """Raises RuntimeError where the process has ended."""
        self.send(what, name)
        return self.answer()

    def send(self, what: str, name: str) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the process has no standard input")
        self._process.stdin.write(json.dumps([what, name]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        answer = self._process.stdout.readline() if self._process.stdout else ""
        if not answer:
            raise RuntimeError(f"the process of {self.commit} ended with exit code {self._process.wait()}")
        return json.loads(answer)


def costs(a: Side, b: Side, rounds: int, contestants: list[str]) -> None:
    section("cost, CPU time", "us in B")
    for name in contestants:
        found: Costs = {"A": [], "B": []}
        lacking = [f"{name}: not in {side.commit}: {why}" for side in (a, b) if (why := side.ask("make", name))]
        if lacking:
            note(lacking)
            continue
        for number in range(rounds + 1):
            for key, side in (("A", a), ("B", b)):
                cost = side.ask("run", name)
                found[key] += [cost] if number else []
        versus(name, found, "B", "A")


def findings(a: Side, b: Side, presets: list[str]) -> bool:
    """Whether all are the same."""
    print("\nfindings on the synthetic stream")
    same = True
    for preset in presets:
        for side in (a, b):  # both at once: most of it is compiling
            side.send("find", preset)
        ours, theirs = a.answer(), b.answer()
        same &= ours == theirs and "error" not in ours
        print(f"  {preset:12} {difference(ours, theirs)}", flush=True)
    return same


def difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The first of what differs, in words."""
    if "error" in a or "error" in b:
        return "cannot be compared: " + (a.get("error") or b.get("error"))
    if a == b:
        return f"identical: {len(a['records'])} records, {a['rows']} rows"
    for number, (one, other) in enumerate(zip(a["records"], b["records"], strict=False)):
        if one != other:
            return f"DIFFERENT from record {number} on:\n    A {one[:300]}\n    B {other[:300]}"
    if a["records"] != b["records"]:
        return f"DIFFERENT: {len(a['records'])} records in A, {len(b['records'])} in B"
    other = [name for name, digest in a["digests"].items() if digest != b["digests"][name]]
    return f"DIFFERENT: the same records, but other {', '.join(other)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs=2, metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=512, help="of a round")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the worktrees are removed then, too
    with checkout(given.commits[0]) as first, checkout(given.commits[1]) as second:
        size = given.rounds, given.rows
        with Side(first, *size) as a, Side(second, *size) as b:
            known, _ = a.names(), b.names()
            print(f"{head()}\nA = {a.commit}, B = {b.commit}, ratio = A's cost over B's", flush=True)
            same = findings(a, b, known["presets"])
            costs(a, b, given.rounds, known["contestants"])
    return 0 if same else 3


if __name__ == "__main__":
    raise SystemExit(main())
