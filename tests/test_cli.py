"""The command line: what it prints, what it writes, and with which code it ends."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from stream.cli import main, parser
from stream.version import VERSION

ROWS, FAULT = 700, 600


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Six variables of three entities; for 30 rows db.cpu goes astray and, a little later, web.latency."""
    rng = np.random.default_rng(5)
    values = 10 + rng.normal(size=(ROWS, 6))
    values[FAULT : FAULT + 30, 0] += 40
    values[FAULT + 2 : FAULT + 30, 3] += 8
    path = tmp_path_factory.mktemp("recording") / "shop.csv"
    names = "db.cpu,db.memory,web.cpu,web.latency,auth.cpu,auth.latency"
    rows = (f"{1_700_000_000 + 60 * i}," + ",".join(f"{v:.4f}" for v in row) for i, row in enumerate(values))
    path.write_text(f"time,{names}\n" + "\n".join(rows) + "\n")
    return path


def run(capsys, *words: object) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in words])
    except SystemExit as error:
        code = int(error.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_replay_finds_the_fault_and_says_so(recording, capsys):
    code, out, err = run(capsys, "replay", recording)
    assert (code, err) == (0, "")
    assert any(line.startswith("● 2023-11-15 08:1") and "  db  " in line for line in out.splitlines())
    assert "db.cpu" in out
    assert "expected" in out
    assert "700 rows of 6 variables" in out
    assert "the autoencoder did not run" in out
    assert "\033" not in out


def test_each_incident_is_told_once(recording, capsys):
    _, text, _ = run(capsys, "replay", recording)
    _, document, _ = run(capsys, "replay", recording, "--output", "json")
    assert sum(line[0] in "●○" for line in text.splitlines() if line) == len(json.loads(document)["incidents"])


def test_the_scores_have_one_line_a_row_with_the_times_of_the_input(recording, tmp_path, capsys):
    code, _, _ = run(
        capsys, "replay", recording, "--scores", tmp_path / "S.csv", "--variable-scores", tmp_path / "V.csv"
    )
    scores, variables, inputs = table(tmp_path / "S.csv"), table(tmp_path / "V.csv"), table(recording)
    assert code == 0
    assert list(scores[0]) == ["time", "score", "verdict"]
    assert list(variables[0]) == list(inputs[0])
    assert [row["time"] for row in scores] == [row["time"] for row in variables] == [row["time"] for row in inputs]
    assert all(math.isfinite(float(row["score"])) and float(row["score"]) >= 0 for row in scores)
    assert {row["verdict"] for row in scores} == {"0", "1"}
    worst = variables[FAULT + 1]
    assert max(list(worst)[1:], key=lambda name: float(worst[name])) == "db.cpu"


def test_findings_are_json_lines_with_kinds_and_the_times_are_numbers(recording, tmp_path, capsys):
    run(capsys, "replay", recording, "--findings", tmp_path / "F.jsonl")
    findings = [json.loads(line) for line in (tmp_path / "F.jsonl").read_text().splitlines()]
    assert {"verdict", "incident"} <= {finding["kind"] for finding in findings}
    incidents = [finding for finding in findings if finding["kind"] == "incident"]
    near = range(1_700_000_000 + 60 * (FAULT - 1), 1_700_000_000 + 60 * (FAULT + 3))
    of_the_fault = [incident for incident in incidents if incident["opened_at"] in near]
    assert [incident["status"] for incident in of_the_fault][:1] == ["open"]
    assert len({incident["id"] for incident in of_the_fault}) == 1
    assert of_the_fault[-1]["causes"][0]["entity"] == "db"
    verdict = next(finding for finding in findings if finding["kind"] == "verdict")
    assert {"id", "system", "ts", "score", "votes", "contributions", "rules", "incident_id"} <= verdict.keys()
    assert verdict["observed_at"] is None


def test_a_replay_repeats_byte_for_byte(recording, tmp_path, capsys):
    for name in ("1.jsonl", "2.jsonl"):
        run(capsys, "replay", recording, "--findings", tmp_path / name)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_the_same_rows_as_messages_give_the_same_findings(recording, tmp_path, capsys):
    path = tmp_path / "shop.jsonl"
    lines = []
    for row in table(recording):
        at = int(row.pop("time")) * 1000
        lines.append(json.dumps({"system": "shop", "ts": at, "values": {name: float(v) for name, v in row.items()}}))
    path.write_text("\n".join(lines))
    outs = [run(capsys, "replay", source, "--output", "json")[1] for source in (recording, path)]
    first, second = ([(i["score"], i["verdicts"]) for i in json.loads(out)["incidents"]] for out in outs)
    assert first == second


def test_a_replay_summarised_for_machines(recording, capsys):
    code, out, _ = run(capsys, "replay", recording, "--output", "json")
    document = json.loads(out)
    assert code == 0
    assert (document["rows"], document["variables"], document["systems"]) == (ROWS, 6, ["shop"])
    assert document["incidents"][0]["causes"]


def test_a_graph_and_a_config_are_heeded(recording, tmp_path, capsys):
    (tmp_path / "graph.csv").write_text("cause,effect\ndb,web\n")
    (tmp_path / "c.yml").write_text("incidents: {opened_by: []}\n")
    words = "replay", recording, "--graph", tmp_path / "graph.csv", "--config", tmp_path / "c.yml", "--output", "json"
    code, out, _ = run(capsys, *words)
    assert (code, json.loads(out)["incidents"]) == (0, [])


def test_a_system_is_called_as_told(recording, capsys):
    _, out, _ = run(capsys, "replay", recording, "--system", "mine", "--output", "json")
    assert json.loads(out)["systems"] == ["mine"]


def test_explain_names_the_cause_for_machines(recording, capsys):
    at = 1_700_000_000 + 60 * FAULT
    code, out, _ = run(capsys, "explain", recording, "--at", f"{at}.0", "--output", "json")
    document = json.loads(out)
    assert code == 0
    assert document["at"] == at
    assert document["causes"][0]["entity"] == "db"
    assert document["causes"][0]["variable"] == "db.cpu"
    assert {"entity", "variable", "score", "share", "evidence"} <= document["causes"][0].keys()
    assert document["baseline_causes"][0]["entity"] == "db"
    assert document["answer"] == "db"
    assert document["graph"]["edges"][0].keys() == {"cause", "effect", "lag", "weight", "origin", "rows", "holds"}
    first = document["onsets"][0]
    assert (first["variable"], first["time"]) == ("db.cpu", at)
    assert first["expected"] < first["upper"] < first["actual"]


def test_explain_tells_a_person_and_takes_iso_times(recording, capsys):
    code, out, _ = run(capsys, "explain", recording, "--at", "2023-11-15T08:13:20Z")
    assert code == 0
    assert out.splitlines()[0] == "shop at 2023-11-15 08:13:20: 600 rows before, 100 from then on"
    assert out.splitlines()[1].startswith("the cause is likely db; confidence 0.")
    assert out.splitlines()[2].split()[:2] == ["1", "db.cpu"]
    told = out.split("what moved first\n")[1].splitlines()[0]
    assert told.split()[:3] == ["2023-11-15", "08:13:20", "db.cpu"]


def test_explain_says_unknown_below_the_level_that_is_set_and_keeps_the_list(recording, tmp_path, capsys):
    (tmp_path / "c.yml").write_text("monitor: {causes: {unknown_below: 1.0}}\n")
    words = "explain", recording, "--at", 1_700_000_000 + 60 * FAULT
    sure = json.loads(run(capsys, *words, "--output", "json")[1])
    unsure = json.loads(run(capsys, *words, "--config", tmp_path / "c.yml", "--output", "json")[1])
    assert (sure["answer"], unsure["answer"]) == ("db", "unknown")
    assert unsure["causes"] == sure["causes"]
    text = run(capsys, *words, "--config", tmp_path / "c.yml")[1]
    assert "the cause is unknown, best guess db" in text


def test_explain_draws_a_picture(recording, tmp_path, capsys):
    (tmp_path / "graph.csv").write_text("cause,effect\ndb,web\n")
    words = "--at", 1_700_000_000 + 60 * FAULT, "--graph", tmp_path / "graph.csv", "--output", "svg"
    code, out, _ = run(capsys, "explain", recording, *words)
    picture = ElementTree.fromstring(out)
    assert code == 0
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert "the cause is likely db" in out


def with_gaps(recording: Path, folder: Path) -> Path:
    """The same recording; auth is silent from row 300 to 349, and for good from row 650 on."""
    lines = recording.read_text().splitlines()
    for place, line in enumerate(lines[1:], start=1):
        if 300 <= place - 1 < 350 or place - 1 >= 650:
            lines[place] = ",".join([*line.split(",")[:5], "", ""])
    path = folder / "gaps.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_silences_are_records_of_their_own_and_lines_for_a_person(recording, tmp_path, capsys):
    path = with_gaps(recording, tmp_path)
    code, out, _ = run(capsys, "replay", path, "--findings", tmp_path / "F.jsonl")
    found = [json.loads(line) for line in (tmp_path / "F.jsonl").read_text().splitlines()]
    silences = [finding for finding in found if finding["kind"] == "silence"]
    at = [((silence["ts"] - 1_700_000_000) // 60, silence["state"]) for silence in silences]
    assert at == [(310, "silent"), (350, "back"), (660, "silent")]
    first = silences[0]
    assert (first["system"], first["entity"], first["variable"]) == ("gaps", "auth", None)
    assert first["variables"] == ["auth.cpu", "auth.latency"]
    assert (first["since"], first["usual_gap_rows"]) == (1_700_000_000 + 60 * 299, 0.0)
    lines = [line for line in out.splitlines() if line.startswith("◌")]
    assert code == 0 and len(lines) == 2
    assert "auth is silent (2 variables)  nothing since 2023-11-15 03:12:20, there every row until then" in lines[0]
    assert "2 silences; silent at the end: auth.cpu, auth.latency" in out
    document = json.loads(run(capsys, "replay", path, "--output", "json")[1])
    assert (document["silences"], document["silent"]) == (2, {"gaps": ["auth.cpu", "auth.latency"]})


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (30, "still warming: 30 of 50 rows before the first verdict"),
        (80, "neighbours 80 of 100, autoregression 80 of 100, ewma 80 of 100 rows"),
        (150, None),
    ],
)
def test_a_replay_that_ends_while_warming_says_how_far_it_is(recording, tmp_path, capsys, rows, told):
    path = tmp_path / "short.csv"
    path.write_text("\n".join(recording.read_text().splitlines()[: rows + 1]) + "\n")
    _, out, _ = run(capsys, "replay", path)
    assert told in out if told else "warming" not in out
    warming = json.loads(run(capsys, "replay", path, "--output", "json")[1])["warming"]
    if told is None:
        assert warming == {}
    else:
        assert (warming["short"]["rows"], warming["short"]["needed"]) == (min(rows, 50), 50)


def test_explain_says_where_a_monitor_was_still_warming(recording, capsys):
    said = {}
    for row in (30, 80, 400):
        words = "explain", recording, "--at", 1_700_000_000 + 60 * row
        said[row] = run(capsys, *words)[1]
        document = json.loads(run(capsys, *words, "--output", "json")[1])
        assert (document["warming"] is None) == (row == 400)
    assert "still warming then: 30 of 50 rows before the first verdict" in said[30]
    assert "detectors still warming then: neighbours 80 of 100 rows" in said[80]
    assert "warming" not in said[400]


def test_explain_takes_a_graph(recording, tmp_path, capsys):
    (tmp_path / "graph.csv").write_text("cause,effect\ndb,web\n")
    words = "--at", 1_700_000_000 + 60 * FAULT, "--graph", tmp_path / "graph.csv", "--output", "json"
    _, out, _ = run(capsys, "explain", recording, *words)
    origins = {(edge["cause"], edge["effect"]): edge["origin"] for edge in json.loads(out)["graph"]["edges"]}
    assert {origin for (cause, effect), origin in origins.items() if cause[:2] == "db" and effect[:3] == "web"} == {
        "given"
    }
    assert "given" not in {origin for (cause, _), origin in origins.items() if cause[:3] == "web"}


def test_explain_tells_relations_that_the_change_brought_and_ended(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 4))
    x[1:600, 1] += 0.9 * x[:599, 0]  # until the change a moves b, since then it moves c
    x[600:, 2] += 0.9 * x[599:-1, 0]
    rows = "".join(f"{t},{','.join(map(str, row))}\n" for t, row in enumerate(x))
    (tmp_path / "rows.csv").write_text("time,a,b,c,d\n" + rows)
    (tmp_path / "tocsin.yml").write_text("monitor: {causes: {learning: {form: disentangled}}}\n")
    words = "explain", tmp_path / "rows.csv", "--at", 600, "--config", tmp_path / "tocsin.yml"
    _, said, _ = run(capsys, *words)
    assert "relations only since the change\n  a → c" in said
    assert "relations that ended with the change\n  a → b" in said
    _, out, _ = run(capsys, *words, "--output", "json")
    holds = {(edge["cause"], edge["effect"]): edge["holds"] for edge in json.loads(out)["graph"]["edges"]}
    assert holds == {("a", "c"): "since_change", ("a", "b"): "until_change"}
    _, picture, _ = run(capsys, *words, "--output", "svg")
    assert "only since the change" in picture and "ended with the change" in picture


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["explain", "FILE", "--at", "soon"], 2, "--at must be a time in s, or as ISO 8601, got 'soon'"),
        (["explain", "FILE", "--at", "5"], 2, "--at must be a time of the input, 1700000000 to 1700041940, got 5"),
        (["explain", "FILE", "--at", "1700000060"], 1, "cannot explain 1700000060: at must leave"),
        (["explain", "nowhere.csv", "--at", "5"], 1, "cannot read nowhere.csv: No such file or directory"),
        (["explain", "FILE"], 2, "the following arguments are required: --at"),
        (["replay", "nowhere.csv"], 1, "cannot read nowhere.csv: No such file or directory"),
        (["replay", "FILE", "--graph", "nowhere.csv"], 2, "cannot read graph nowhere.csv: No such file or directory"),
        (["replay", "FILE", "--graph", "FILE"], 2, "a graph begins with the header cause,effect, got"),
        (["replay", "FILE", "--config", "nowhere.yml"], 2, "config nowhere.yml does not exist"),
        (["replay", "FILE", "--scores", "/nowhere/S.csv"], 2, "cannot write /nowhere/S.csv: No such file or directory"),
        (["replay", "FILE", "--findings", "/nowhere/F"], 2, "cannot write /nowhere/F: No such file or directory"),
        (["replay", "FILE", "--time-unit", "weeks"], 2, "invalid choice: 'weeks'"),
        (["replay"], 2, "the following arguments are required: FILE"),
        (["run"], 2, "the following arguments are required: --config"),
        (["check-config", "nowhere.yml"], 2, "config nowhere.yml does not exist"),
        (["dance"], 2, "invalid choice: 'dance'"),
        ([], 2, "the following arguments are required: VERB"),
    ],
)
def test_a_mistake_is_one_line_and_a_code(recording, tmp_path, monkeypatch, capsys, words, code, told):
    monkeypatch.chdir(tmp_path)
    got, out, err = run(capsys, *[str(recording) if word == "FILE" else word for word in words])
    assert (got, out) == (code, "")
    assert told in err.splitlines()[-1]


def test_two_systems_cannot_share_a_table(tmp_path, capsys):
    path = tmp_path / "x.jsonl"
    path.write_text('{"system":"a","ts":1,"values":{"x":1}}\n{"system":"b","ts":1,"values":{"x":1}}\n')
    code, _, err = run(capsys, "replay", path, "--scores", tmp_path / "S.csv")
    assert (code, "a table of scores holds one system, and the input has a and b" in err) == (1, True)
    code, out, _ = run(capsys, "replay", path)
    assert (code, "2 rows of 1 variable of 2 systems" in out) == (0, True)
    code, _, err = run(capsys, "explain", path, "--at", 1)
    assert (code, "several systems, a and b" in err) == (1, True)


def test_configs_are_checked_shown_and_described(tmp_path, capsys):
    path = tmp_path / "c.yml"
    path.write_text("source: {kind: file}\nsinks: {kinds: [jsonlines], dead_letters: none}\n")
    code, out, _ = run(capsys, "check-config", path)
    assert (code, f"{path} is right: source file, sinks jsonlines, config hash " in out) == (0, True)
    path.write_text("source: {kind: fiel}\n")
    assert run(capsys, "check-config", path)[0] == 2
    path.write_text("seed: 7\n")
    code, out, _ = run(capsys, "config", "show", path)
    assert (code, "seed: 7\n" in out) == (0, True)
    code, out, _ = run(capsys, "config", "schema")
    assert (code, json.loads(out)["title"]) == (0, "tocsin")


def test_the_version_is_told_at_once_and_loads_nothing_heavy():
    script = (
        "import sys; from stream.cli import main; main(['version']);"
        "print([m for m in ('numpy', 'numba', 'torch', 'river', 'yaml', 'rich', 'kafka') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"tocsin {VERSION}\n[]\n"


def test_a_replay_without_the_autoencoder_loads_no_torch(recording):
    replay = f"main(['replay', {str(recording)!r}])"
    script = f"import sys; from stream.cli import main; {replay}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)


def test_python_m_stream_is_the_command():
    done = subprocess.run([sys.executable, "-m", "stream", "version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tocsin {VERSION}\n"


def test_a_reader_that_goes_away_is_no_traceback(recording):
    command = f"{sys.executable} -m stream replay {recording} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_every_verb_has_a_help():
    for words in (["replay"], ["explain"], ["run"], ["check-config"], ["config"], ["topics"], ["version"]):
        with pytest.raises(SystemExit) as caught:
            parser().parse_args([*words, "--help"])
        assert caught.value.code == 0


def wait_for(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_run_reads_a_stream_answers_to_sigterm_and_goes_on_where_it_stopped(recording, tmp_path):
    """`tocsin run` over standard input and files: the whole service without a broker."""
    config = tmp_path / "c.yml"
    config.write_text(
        f"source: {{kind: file, file: {{system: shop}}}}\n"
        f"sinks: {{kinds: [jsonlines], dead_letters: jsonlines, jsonlines: {{path: {tmp_path}/F.jsonl}}, "
        f"rejects_path: {tmp_path}/R.jsonl}}\n"
        f"snapshot: {{directory: {tmp_path}/state, every: 100ms}}\n"
        "http: {listen: '127.0.0.1:0'}\nautoencoder: {enabled: false}\n"
    )
    lines = recording.read_bytes().splitlines(keepends=True)

    def start(feed: bytes) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "stream", "run", "--config", str(config), "--log-format", "json"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(feed)
        process.stdin.flush()
        return process

    def position() -> int:
        manifests = sorted((tmp_path / "state").glob("*/*/MANIFEST.json"))
        return json.loads(manifests[-1].read_text())["position"] if manifests else 0

    first = start(b"".join(lines[:606]))
    wait_for(lambda: position() == 605)
    first.send_signal(signal.SIGTERM)
    _, err = first.communicate(timeout=30)
    assert first.returncode == 0, err
    told = [json.loads(line) for line in err.decode().splitlines()]
    assert [line["msg"] for line in told][-1] == "stopped"

    second = start(b"".join(lines) + b"bad line\n")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert position() == ROWS + 1
    findings = [json.loads(line) for line in (tmp_path / "F.jsonl").read_text().splitlines()]
    verdicts = [finding["id"] for finding in findings if finding["kind"] == "verdict"]
    assert len(verdicts) == len(set(verdicts)) > 0  # nothing was said twice: it did not begin anew
    assert findings[-1]["kind"] == "incident"
    assert all(finding["observed_at"] for finding in findings if finding["kind"] == "verdict")
    assert json.loads((tmp_path / "R.jsonl").read_text())["reason"] == "columns"


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    from stream.console import Paint

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Paint(Terminal())("x", "red") == "\033[31mx\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint(Terminal())("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Paint(Terminal())("x", "red") == "x"
    with open(os.devnull, "w") as file:
        assert Paint(file)("x", "red") == "x"
