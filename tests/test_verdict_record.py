"""A verdict is recomputed from the JSON document that a replay wrote of it, and from nothing else."""

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.cli import main

ROWS = 900
RESTLESS = "line: {bucket_free: 0.0, bucket_leak: 0.0}"  # damping that each onset raises the line by
Document = dict[str, Any]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four variables that move together and two on their own; short faults, each larger, the first one very early."""
    rng = np.random.default_rng(8)
    common = rng.normal(size=(ROWS, 1))
    values = 50 + np.hstack(
        [common * [1.0, 2.0, -3.0, 5.0] + 0.01 * rng.normal(size=(ROWS, 4)), rng.normal(size=(ROWS, 2))]
    )
    for start in (80, *range(400, ROWS, 50)):
        values[start : start + 2, [0, 1, 3]] += 0.1 * start * rng.uniform(1, 2, 3)
    path = tmp_path_factory.mktemp("recording") / "plant.csv"
    lines = (f"{60 * t}," + ",".join(f"{v:.5f}" for v in row) for t, row in enumerate(values))
    path.write_text("time,a.x,a.y,b.x,b.y,c.x,c.y\n" + "\n".join(lines) + "\n")
    return path


def replayed(recording: Path, folder: Path, monitor: str) -> list[Document]:
    """The verdicts that a replay wrote."""
    (folder / "c.yml").write_text(f"monitor: {{causes: {{enabled: false}}, {monitor}}}\n")
    findings = folder / "f.jsonl"
    assert main(["replay", str(recording), "--config", str(folder / "c.yml"), "--findings", str(findings)]) == 0
    documents = [json.loads(line) for line in findings.read_text().splitlines()]
    return [document for document in documents if document["kind"] == "verdict"]


def recomputed(record: Document) -> float:
    """The score of a verdict, by the rule that decided."""
    votes = [v["score"] for v in record["votes"] if v["variable"] is None and v["state"] != "muted"]
    if record["rule"] == "polling":
        return by_polling(record)
    if record["rule"] == "weighted":
        return math.sqrt(sum(score * score for score in votes) / len(votes))
    return sorted(votes, reverse=True)[len(votes) // 2] if record["rule"] == "majority" else max(votes)


def by_polling(record: Document) -> float:
    """The largest opinion of a variable whose poll said yes, over the line: the opinion of the majority inside it."""
    inside: dict[str, list[float]] = defaultdict(list)
    for vote in record["votes"]:
        if vote["variable"] is not None:
            inside[vote["variable"]].append(vote["score"])
    polls: dict[str, list[bool]] = defaultdict(list)
    for polled in record["polled"]:
        for name in polled["by"]:
            polls[name].append(polled["agreed"])
    yes = [name for name, agreed in polls.items() if 1 + sum(agreed) > len(agreed) - sum(agreed)]
    return max(sorted(inside[name], reverse=True)[len(inside[name]) // 2] for name in yes) / record["line"]


@pytest.mark.parametrize(
    "monitor",
    ["rule: weighted", "rule: majority", "rule: any", "rule: polling", "preset: rola", "preset: majority"],
)
def test_a_verdict_can_be_recomputed_from_its_record(
    recording: Path, tmp_path: Path, monitor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    records = replayed(recording, tmp_path, f"{monitor}, {RESTLESS}")
    assert len(records) > 3
    for record in records:
        assert record["score"] > 1.0 and record["line"] >= 1.0
        assert recomputed(record) == pytest.approx(record["score"], rel=1e-12)
        assert record["rules"][record["rule"]]
    if "rola" not in monitor:
        assert max(record["line"] for record in records) > 1.0


def test_what_the_other_rules_said_can_be_recomputed_where_they_ask_members(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in replayed(recording, tmp_path, "rule: any"):
        for rule in ("weighted", "majority"):
            assert (recomputed({**record, "rule": rule}) * record["line"] > 1.0) == record["rules"][rule]


def test_bounds_are_where_the_most_alarmed_detector_inside_would_be_at_its_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in replayed(recording, tmp_path, "rule: weighted"):
        alarmed = {
            vote["variable"] for vote in record["votes"] if vote["variable"] and vote["detector"] != "neighbours"
        }
        for c in record["contributions"]:
            assert c["lower"] <= c["expected"] <= c["upper"] and 0 < c["share"] <= 1
            assert (c["variable"] in alarmed) == (not c["lower"] <= c["actual"] <= c["upper"])
        shares = [c["share"] for c in record["contributions"]]
        assert shares == sorted(shares, reverse=True) and sum(shares) <= 1 + 1e-9


def test_each_vote_tells_how_far_its_detector_is_in_warming(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = replayed(recording, tmp_path, "calibration: {young_rows: 100}")
    early = [record for record in records if record["ts"] < 60 * 100]
    assert early and len(early) < len(records)
    for record in records:
        row = record["ts"] // 60
        for vote in record["votes"]:
            assert vote["state"] in ("warming", "ready")
            assert (vote["rows"], vote["needed"]) == (min(row, 100), 100)
            assert (vote["state"] == "warming") == (row < 100)


def test_a_muted_member_is_told_and_never_votes(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in replayed(recording, tmp_path, "preset: full"):
        muted = [vote for vote in record["votes"] if vote["state"] == "muted"]
        told = [vote["detector"] for vote in muted]
        assert told == ["half_space_trees.mass", "principal.residual", "loda.rarity", "sparse.few"]
        assert not any(vote["vote"] for vote in muted)


def test_what_fresh_evidence_cut_is_told_beside_what_counted(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = [v for record in replayed(recording, tmp_path, "evidence: {headroom: 0.8}") for v in record["votes"]]
    whole = [vote for vote in votes if vote["variable"] is None]
    assert all(vote["score"] <= vote["uncut"] for vote in whole) and any(v["score"] < v["uncut"] for v in whole)
    assert all(vote["uncut"] is None for vote in votes if vote["variable"] is not None)


def test_the_counterfactual_is_part_of_the_record(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [record["counterfactual"] for record in replayed(recording, tmp_path, "rule: weighted")]
    assert found[0].keys() == {"changes", "score", "note"}
    assert found[0]["changes"][0].keys() == {"variable", "actual", "value"} and found[0]["score"] <= 1.0
