"""The benches of causes: what they count is what they say, at tiny sizes; nothing here looks at how long it took."""

from typing import Any

import numpy as np
import pytest
from bench import first_ranking
from bench.accuracy import Case, by_kind, is_shown
from bench.demo_faults import Judged, cells
from bench.trigger_rate import FIRST_ROW, NOISES, Realised, line, realise


@pytest.mark.parametrize("noise", NOISES)
def test_quiet_noise_repeats_and_is_stationary(noise: str) -> None:
    early, late = np.split(NOISES[noise](np.random.default_rng(3), 8000, 4), 2)
    again = NOISES[noise](np.random.default_rng(3), 8000, 4)
    np.testing.assert_array_equal(np.vstack([early, late]), again)
    assert late.std(axis=0) == pytest.approx(early.std(axis=0), rel=0.25)


def test_memory_is_in_ar_and_common_factors_in_correlated() -> None:
    x = NOISES["ar"](np.random.default_rng(0), 20_000, 1)[:, 0]
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.8, abs=0.02)
    together = np.corrcoef(NOISES["correlated"](np.random.default_rng(0), 5000, 6).T)
    assert np.abs(together[np.triu_indices(6, 1)]).mean() > 0.3


def test_the_ratio_is_realised_over_promised_and_its_bounds_hold_it() -> None:
    found = Realised(promise=100, rows=10_000, false=150, uncalibrated=3)
    low, high = found.bounds
    assert found.ratio == 1.5 and low < 1.5 < high
    assert (low, high) == (pytest.approx(1.28, abs=0.01), pytest.approx(1.76, abs=0.01))
    assert Realised(promise=100, rows=1000, false=0, uncalibrated=0).bounds[0] == 0.0
    assert line("white", 10, found).split()[4:] == ["100", "150", "3", "1.50", "1.28", "to", "1.76"]


def test_false_triggers_of_quiet_noise_are_counted_from_row_120_on() -> None:
    found = realise("white", 3, 50, streams=1, rows=620)
    assert found.rows == 620 - FIRST_ROW
    assert 0 < found.false < 30


def test_the_row_of_a_step_gives_a_ranking_and_so_does_the_first_batch() -> None:
    first, later = first_ranking.measure(5, before=60, rounds=1)
    assert min(first.cpu_s, first.wall_s, later.cpu_s, later.wall_s) > 0.0


def case_of(root: list[float], *, fault_at: float) -> Case:
    values = np.column_stack([root, [1.0, 9.0] * (len(root) // 2)])
    meta = {"inject_time": fault_at, "root_entities": ["a"]}
    return Case("one", ("a.cpu", "b.cpu"), np.arange(len(root), dtype=float), values, meta)


def test_a_root_is_shown_where_it_goes_further_than_ever_before() -> None:
    assert is_shown(case_of([1.0, 2.0, 3.0, 2.0, 2.0, 4.0], fault_at=4))
    assert is_shown(case_of([1.0, 2.0, 3.0, 2.0, np.nan, 2.0], fault_at=4))  # what is not there counts as 0
    assert not is_shown(case_of([1.0, 2.0, 3.0, 2.0, 3.0, 1.0], fault_at=4))


def test_accuracy_by_kind_has_a_line_for_each_of_several_kinds() -> None:
    ranks = {"tocsin": [1, 2, 9], "plain ranking": [4, 1, 1]}
    _, cpu, network = by_kind(["cpu", "network", "cpu"], [True, False, True], ranks)
    assert cpu.split() == ["cpu", "2", "1.00", "0.50", "0.50", "0.50", "0.50"]
    assert network.split() == ["network", "1", "0.00", "0.00", "1.00", "1.00", "1.00"]
    assert by_kind(["cpu"] * 3, [True] * 3, ranks) == []


def incident(opened_at: float, severity: str, *named: str) -> dict[str, Any]:
    causes = [{"entity": name} for name in named]
    return {"opened_at": opened_at, "severity": severity, "causes": causes, "answer": named[0], "confidence": 0.5}


def test_a_recordings_line_says_place_severity_delay_and_what_came_before() -> None:
    truth = {"kind": "delay", "fault": "lock", "root_entities": ["store"], "inject_time": 100}
    told = {"causes": [{"entity": "a"}, {"entity": "a"}, {"entity": "store"}], "baseline_causes": [{"entity": "b"}]}
    told |= {"answer": "unknown"}
    before = [incident(10, "info", "a"), incident(20, "warning", "a")]
    found = incident(103, "warning", "store", "a")
    line = cells(Judged(truth, told, found, before))
    assert line == ["delay", "lock", "store", "2", "not listed", "warning", "3", "1 (0.50)", "2, 1"]
    assert cells(Judged(truth, told, incident(90, "warning", "a"), []))[6:8] == ["open", "not listed (0.50)"]
    assert cells(Judged(truth, told, None, []))[5:] == ["no", "-", "-", "0, 0"]


def test_a_recording_with_nobody_to_blame_says_who_is_named() -> None:
    truth = {"kind": "outside", "fault": "crowd", "root_entities": [], "inject_time": 100}
    told = {"causes": [{"entity": "a"}], "baseline_causes": [{"entity": "b"}], "answer": "unknown"}
    line = cells(Judged(truth, told, incident(100, "info", "unknown"), []))
    assert line[2:8] == ["-", "unknown", "b", "info", "0", "unknown (0.50)"]
    assert cells(Judged({**truth, "inject_time": None}, None, None, []))[3:8] == ["-", "-", "-", "-", "-"]
