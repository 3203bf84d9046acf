"""Bad input is an error or a counted rejection: never a traceback, and nothing else is lost. By the command itself."""

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from stream.cli import main

ROWS = 60  # past the warm-up


class Outcome:
    """What a replay said and wrote."""

    def __init__(self, code: int, out: str, err: str, folder: Path, rejects: Path) -> None:
        self.code, self.err = code, err
        self.summary: dict[str, Any] = json.loads(out) if out else {}
        self.times = [line.split(",")[0] for line in (folder / "S.csv").read_text().splitlines()[1:]]
        lines = rejects.read_text().splitlines() if rejects.exists() else []
        self.rejects = [json.loads(line) for line in lines]


@pytest.fixture
def replay(tmp_path, capsys):
    """Replays bytes under a file name."""

    def run(content: bytes, name: str = "x.csv", **options: str) -> Outcome:
        path = tmp_path / name
        path.write_bytes(content)
        words = [word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", value)]
        code = main(["replay", str(path), "--scores", f"{tmp_path}/S.csv", "--output", "json", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Outcome(code, out, err, tmp_path, tmp_path / f"{name}.rejects.jsonl")

    return run


def csv(*odd: str, at: int = 30, header: str = "time,a,b") -> bytes:
    """A good table with odd lines after its 30th row."""
    lines = [f"{i},{i % 7},{i % 5}" for i in range(ROWS)]
    return "\n".join([header, *lines[:at], *odd, *lines[at:]]).encode() + b"\n"


GOOD = [str(i) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("29.5,x,1", "not_a_number"),
        ("29.5,1_000,1", "not_a_number"),
        ("29.5,0x10,1", "not_a_number"),
        ("29.5,inf,1", "not_finite"),
        ("29.5,-Infinity,1", "not_finite"),
        ("29.5,1e999,1", "not_finite"),
        (",1,1", "no_ts"),
        ("x,1,1", "bad_ts"),
        ("nan,1,1", "bad_ts"),
        ("2021-10-28T00:00:00,1,1", "bad_ts"),
        ("29.5,1", "columns"),
        ("29.5,1,1,1", "columns"),
        ("29.5", "columns"),
        ('29.5,"1,1', "columns"),
        ("\x00,\x00,\x00", "not_a_number"),
        ("29.5," + "1" * 10_000_000 + ",1", "too_long"),
        ("29,1,1", "duplicate"),
        ("12,1,1", "late"),
        ("29,1,1\n29,2,2", "duplicate"),
    ],
)
def test_an_odd_line_is_rejected_counted_and_kept_and_all_others_are_scored(replay, line, reason):
    found = replay(csv(line))
    assert found.code == 0
    assert set(found.summary["rejects"]) == {reason}
    assert {reject["reason"] for reject in found.rejects} == {reason}
    assert len(found.rejects) == found.summary["rejects"][reason] == line.count("\n") + 1
    assert found.times == GOOD


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "null"])
def test_a_missing_cell_is_no_reject(replay, cell):
    found = replay(csv(f"29.5,{cell},1"))
    assert found.summary["rejects"] == {}
    assert len(found.times) == ROWS + 1


def test_a_rejected_csv_line_keeps_its_bytes_and_place(replay):
    (reject,) = replay(csv("29.5,x,1")).rejects
    assert reject["value"] == "29.5,x,1"
    assert reject["offset"] == 30
    assert reject["detail"] == "line 32: a must be a number or empty, got 'x'"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "x.csv is empty: expected a CSV header or JSON lines"),
        (b"\n\n\n", "x.csv is empty"),
        (b"time\n1\n2\n", "x.csv: a header needs a time column and at least one variable, got 'time'"),
        (b"time;a;b\n1;2;3\n", "cells must be separated by commas, these seem to be by ';'"),
        (b"time,a,b,a\n1,1,1,1\n", "x.csv: the header names 'a' twice, in columns 2 and 4"),
        (b"time,a,\n1,1,1\n", "x.csv: column 3 of the header has no name"),
        (b"0,1,2\n1,2,3\n", "x.csv: the first line must be a header (time,name,...), got numbers"),
        (b"\xff\xfe\x00\x01,\x00\n", "x.csv: the first line is no CSV header"),
        (b"\x1f\x8b" + b"x" * 50, "damaged gzip data"),
    ],
)
def test_a_file_that_cannot_be_a_table_is_one_clear_error(replay, content, told):
    found = replay(content)
    assert found.code == 1
    assert found.err.startswith("tocsin: ")
    assert told in found.err
    assert found.err.count("\n") == 1


def test_a_header_alone_is_a_table_without_rows(replay):
    found = replay(b"time,a,b\n")
    assert (found.code, found.summary["rows"], found.times) == (0, 0, [])


def test_a_truncated_gzip_is_told_after_all_that_was_whole_was_scored(replay):
    found = replay(gzip.compress(csv())[:-20], "x.csv.gz")
    assert found.code == 1
    assert "the gzip data end early; everything before was read" in found.err
    assert found.times == GOOD[: len(found.times)]
    assert len(found.times) > ROWS // 2
    assert found.summary["rows"] == len(found.times)
    assert set(found.summary["rejects"]) <= {"cut_off"}


def test_damaged_gzip_data_are_told_after_what_came_before(replay):
    packed = bytearray(gzip.compress(csv() * 1, 0))
    packed[-40:] = b"\xff" * 40
    found = replay(bytes(packed), "x.csv.gz")
    assert (found.code, found.err.count("\n")) == (1, 1)


def test_a_table_without_a_last_newline_is_whole(replay):
    assert replay(csv()[:-1]).times == GOOD


MESSAGES = {
    b"not json": "not_json",
    b'{"ts": 29500}': "no_values",
    b'{"values": {"a": 1}}': "no_ts",
    b'{"ts": "soon", "values": {"a": 1}}': "bad_ts",
    b'{"ts": 29500, "values": {"a": "1"}}': "not_a_number",
    b'{"ts": 29500, "values": {"a": NaN}}': "not_finite",
    b'{"ts": 29500, "values": {"a": Infinity}}': "not_finite",
    b'{"ts": 29500, "values": {"a": "' + b"x" * 10_000_000 + b'"}}': "too_long",
    b'{"ts": 29000, "values": {"a": 1, "b": 1}}': "duplicate",
    b'{"ts": 12000, "values": {"a": 1, "b": 1}}': "late",
    b'{"ts": 29500, "values": {"a": 1, "b": 1, "c": 1}}': "unknown_variable",
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{MESSAGES[m]}-{len(m)}")
def test_an_odd_message_is_rejected_counted_and_kept_and_all_others_are_scored(replay, message):
    lines = [b'{"ts": %d, "values": {"a": %d, "b": %d}}' % (1000 * i, i % 7, i % 5) for i in range(ROWS)]
    found = replay(b"\n".join([*lines[:30], message, *lines[30:]]), "x.jsonl")
    assert found.code == 0
    assert found.summary["rejects"] == {MESSAGES[message]: 1}
    assert found.rejects[0]["value"]
    kept = 1 if MESSAGES[message] == "unknown_variable" else 0  # its other variables
    assert len(found.times) == ROWS + kept


def test_noise_of_any_kind_never_ends_in_a_traceback(replay):
    random.seed(3)
    for name in ("x.csv", "x.jsonl", "x.csv.gz"):
        for _ in range(10):
            noisy = bytearray(csv() if "csv" in name else b'{"ts": 1, "values": {"a": 1}}\n' * 20)
            for _ in range(30):
                noisy[random.randrange(len(noisy))] = random.randrange(256)
            content = gzip.compress(bytes(noisy)) if name.endswith("gz") else bytes(noisy)
            assert replay(content, name).code in (0, 1)


def test_rejects_go_where_they_are_told_or_are_only_counted_where_nothing_can_be_written(replay, tmp_path, monkeypatch):
    found = replay(csv("29.5,x,1"), dead_letters=f"{tmp_path}/elsewhere.jsonl")
    assert found.rejects == []
    assert json.loads((tmp_path / "elsewhere.jsonl").read_text())["reason"] == "not_a_number"
    monkeypatch.setattr("os.access", lambda *_: False)
    found = replay(csv("29.5,x,1"))
    assert (found.rejects, found.summary["rejects"], found.summary["dead_letters"]) == ([], {"not_a_number": 1}, None)


def test_a_good_file_leaves_no_file_of_rejects(replay, tmp_path):
    replay(csv())
    assert not list(tmp_path.glob("*.rejects.jsonl"))


def test_standard_input_that_is_no_stream_is_told(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["replay", "-"]) == 1
    assert "cannot read -" in capsys.readouterr().err
