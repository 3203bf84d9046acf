"""The benches of speed run: tiny sizes, and nothing here looks at how long anything took."""

import json
import subprocess
import sys
from pathlib import Path

import growth
import numpy as np
import pytest
import speed
import torch
from compare import difference
from contest import bytes_to_verdict, many_systems, memory, ours, service, side, single_parts, single_rows
from contest.inputs import messages, pieces, series
from contest.notears_peer import Notears
from contest.repad2_peer import NaiveRepad2
from contest.rounds import Contestant, interleave, ratio
from contest.ssa_peer import SvdSsa

from detectors.settings import PRESETS

SIDE = Path(side.__file__)


def test_rounds_are_interleaved_and_the_one_ahead_is_not_counted() -> None:
    order: list[str] = []
    contestants = [Contestant(name, 2, lambda name=name: order.append(name)) for name in ("a", "b")]  # type: ignore[misc]
    costs = interleave(contestants, 3)
    assert order == ["a", "b"] * 4
    assert [len(found) for found in costs.values()] == [3, 3]


def test_a_ratio_is_the_median_over_rounds() -> None:
    costs = {"ours": [1.0, 2.0, 4.0], "peer": [10.0, 10.0, 10.0]}
    assert ratio(costs, "ours", "peer") == (5.0, 2.5, 10.0)


def test_fewer_rows_are_the_beginning_of_more() -> None:
    more = series(1_200, 2)
    np.testing.assert_array_equal(series(30, 2), more[:30])
    assert np.abs(np.diff(more, axis=0)).max() < 8.0


def test_data_end_rather_than_repeat() -> None:
    taken: list[list[int]] = []
    step = pieces(taken.append, [1, 2, 3], 2)
    step()
    with pytest.raises(IndexError, match="the data end at 3, asked for 4"):
        step()
    assert taken == [[1, 2]]


def test_every_section_of_the_table_prints(capsys: pytest.CaptureFixture[str]) -> None:
    bytes_to_verdict.with_predictor(4, rounds=1, rows=20, learned=60)
    bytes_to_verdict.without_predictor(4, rounds=1, rows=20, learned=60)
    single_parts.repad2(2, rounds=1, rows=6)
    single_parts.ssa(3, rounds=1, span=24, window=4)
    single_parts.graph(4, rounds=1, iterations=3)
    single_parts.rowwise(4, rounds=1, rows=16)
    single_rows.burst(rounds=1, variables=2)
    many_systems.measure((1, 3), 1, variables=3, learned=30, touched=2)
    memory.measure(3, rows=20)
    service.measure(rows=20, learned=30, kinds=("team",))
    growth.variables((2, 3), ("team",), learned=20)
    printed = capsys.readouterr().out
    assert "nan" not in printed
    for words in ("bytes to verdict", "RePAD2", "SVD", "systems", "state, packed", "service", "3 variables"):
        assert words in printed
    assert not PRESETS.keys() & ours.OWN.keys()


def test_the_commands_tell_their_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (speed, growth):
        monkeypatch.setattr(sys, "argv", ["bench", "--help"])
        with pytest.raises(SystemExit):
            command.main()
    assert "bytes to verdict" in capsys.readouterr().out


def test_the_light_detectors_judge_without_neighbours() -> None:
    step = ours.by_bytes(house := ours.pipeline("light"))
    step(messages(series(20, 3)))
    names = house.state(ours.PARTITION)["system0"].arrays
    assert any("half_space_trees" in name for name in names)
    assert not any("neighbours" in name for name in names)


def test_the_naive_loop_flags_a_spike_and_no_steady_rise() -> None:
    values = np.linspace(10.0, 20.0, 40)
    values[30] = 500.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one = NaiveRepad2()
        flags = np.array([one(value) for value in values.tolist()])
    assert flags[30]
    assert not flags[10:30].any()


def test_the_svd_at_each_row_rises_when_the_course_changes() -> None:
    rows = np.sin(np.arange(120.0)[:, None] / np.array([3.0, 5.0, 8.0]))
    rows += 0.05 * np.random.default_rng(0).normal(size=rows.shape)
    rows[110:] = np.random.default_rng(1).normal(size=(10, 3)) * 3
    one = SvdSsa(3, rows=60, window=10)
    cusum = [one(row) for row in rows]
    assert cusum[-1] > 10 * max(cusum[60:109])


def test_notears_finds_an_effect() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=500)
    peer = Notears(np.column_stack([cause, 0.9 * cause + 0.3 * rng.normal(size=500)]))
    peer.descend(100)
    assert abs(peer.weights.detach().numpy()).max() > 0.4


def test_a_side_answers_and_finds_the_same_twice() -> None:
    questions = [
        ["names", ""],
        ["make", "a graph iteration"],
        ["run", "a graph iteration"],
        ["make", "of another time"],
    ]
    asked = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run(
        [sys.executable, str(SIDE), "1", "16"],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
        cwd=SIDE.parents[3],
        env={"PYTHONPATH": f"{SIDE.parents[3]}:{SIDE.parents[1]}", "PATH": ""},
    )
    told, made, cost, why = map(json.loads, done.stdout.splitlines())
    assert "bytes to verdict, team" in told["contestants"]
    assert made is None
    assert cost > 0
    assert "of another time" in why
    found = side.find("team")
    assert found["records"]
    assert difference(found, side.find("team")) == f"identical: {len(found['records'])} records, 1600 rows"


def test_the_first_difference_is_told() -> None:
    a = {"records": ["x", "y"], "digests": {"scores": "1"}, "rows": 3}
    assert "from record 1" in difference(a, {**a, "records": ["x", "z"]})
    assert "1 in B" in difference(a, {**a, "records": ["x"]})
    assert "other scores" in difference(a, {**a, "digests": {"scores": "2"}})
