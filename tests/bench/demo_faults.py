"""What tocsin says of each recording of the demo: told when the fault began, and with nothing told.

    python tests/bench/demo_faults.py [RECORDING.csv.gz ...] [--without-graph]

Each is explained at its `inject_time` and replayed, both by the commands that users have and with the demo's graph. One
line of a Markdown table for each:

    kind, fault, entity  of the truth; "-" where no service of the shop is to blame
    told      the place of the entity in the list of `tocsin explain`, or, with nobody to blame, what is named instead
    plain     the same in the plain ranking by deviation
    found     whether `tocsin replay` had an incident open while the fault lasted, and how severe it became
    delay     seconds from the fault's first row to that incident; "open" where one that was open already took it in
    rank      the place of the entity in that incident's last list, and its confidence
    before    incidents in the minutes before the fault: all, and how many of them were more than information
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[2] / "deploy" / "demo"
HEAD = ("kind", "fault", "entity", "told", "plain", "found", "delay s", "rank", "before")

Record = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What was said of one recording. told: the explanation, None where no time could be told.  found: the first
    incident that was open during the fault.  before: those that were over ahead of it."""

    truth: Record
    told: Record | None
    found: Record | None
    before: list[Record]


def tocsin(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "stream", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"tocsin {' '.join(words)} ended with status {done.returncode}: {done.stderr}")
    return done.stdout


def recordings() -> list[Path]:
    return sorted(DEMO.rglob("*.csv.gz"))


def truth_of(recording: Path) -> Record:
    truth: Record = json.loads(recording.with_name(recording.name.replace(".csv.gz", ".truth.json")).read_text())
    return truth


def incidents(recording: Path, *words: str) -> list[Record]:
    """The last word on each incident of a replay, in the order they opened."""
    with tempfile.TemporaryDirectory() as folder:
        findings = Path(folder) / "findings.jsonl"
        tocsin("replay", str(recording), "--findings", str(findings), *words)
        lines = [json.loads(line) for line in findings.read_text().splitlines()]
    last = {line["id"]: line for line in lines if line["kind"] == "incident"}
    return sorted(last.values(), key=lambda incident: float(incident["opened_at"]))


def judge(recording: Path, *words: str) -> Judged:
    """Explain and replay one recording; words: further options of both."""
    truth = truth_of(recording)
    opened = incidents(recording, *words)
    begin, end = truth["inject_time"], truth["end_time"]
    if begin is None:
        return Judged(truth, None, None, opened)
    told = json.loads(tocsin("explain", str(recording), "--at", str(begin), "--output", "json", *words))
    before = [one for one in opened if (one["resolved_at"] or end) < begin]
    during = [one for one in opened[len(before) :] if one["opened_at"] <= end]
    return Judged(truth, told, during[0] if during else None, before)


def place(causes: list[Record], truth: Record) -> int | None:
    """The place of the entity to blame among the entities of a list, from 1; None where it is not in it."""
    named = list(dict.fromkeys(cause["entity"] for cause in causes))
    return next((named.index(root) + 1 for root in truth["root_entities"] if root in named), None)


def said(causes: list[Record], truth: Record, answer: str | None = None) -> str:
    """The place, or who is named where nobody in the shop is to blame."""
    if truth["root_entities"]:
        return str(place(causes, truth) or "not listed")
    return answer or (causes[0]["entity"] if causes else "unknown")


def cells(judged: Judged) -> list[str]:
    truth, told, found = judged.truth, judged.told, judged.found
    waking = sum(one["severity"] != "info" for one in judged.before)
    row = [truth["kind"], truth["fault"], ", ".join(truth["root_entities"]) or "-"]
    row += [said(told["causes"], truth, told["answer"]), said(told["baseline_causes"], truth)] if told else ["-", "-"]
    if found:
        rank = f"{said(found['causes'], truth, found['answer'])} ({found['confidence'] or 0:.2f})"
        delay = found["opened_at"] - truth["inject_time"]
        row += [found["severity"], f"{delay:.0f}" if delay >= 0 else "open", rank]
    else:
        row += ["-" if told is None else "no", "-", "-"]
    return [*row, f"{len(judged.before)}, {waking}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=recordings())
    parser.add_argument("--without-graph", action="store_true")
    given = parser.parse_args()
    words = () if given.without_graph else ("--graph", str(DEMO / "graph.csv"))
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for recording in given.recordings:
        print("| " + " | ".join(cells(judge(recording, *words))) + " |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
