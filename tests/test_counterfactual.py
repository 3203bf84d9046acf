"""The counterfactual is exact: a row with its readings is quiet, half as far it is not, and nothing else has moved."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.block import Block, FloatArray, State
from detectors.causes.settings import CausesSettings
from detectors.combine.counterfactual import TOLERANCE, CounterfactualSettings, least_share, nearest_quiet
from detectors.findings import Contribution, Counterfactual, Findings, Verdict
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

VOTE_ONLY = MonitorSettings(causes=CausesSettings(enabled=False))
NAMES = [f"v{i}" for i in range(6)]


def series() -> FloatArray:
    """Six variables; one at a time is off early on, and late, when segments are of 16 rows, three together are, too."""
    rng = np.random.default_rng(3)
    x = 10 + rng.normal(size=(4_270, 6))
    x[600:603, 2] += 12.0
    x[1_500:1_504, 4] -= 20.0
    x[4_201:4_206, :3] += 6.0
    x[4_261, 5] += 15.0
    return x


def watch(
    x: FloatArray, settings: MonitorSettings = VOTE_ONLY, *, rows: int = 10_000
) -> tuple[Monitor, list[Findings]]:
    monitor = Monitor(NAMES, settings)
    found = [monitor.step(Block(np.arange(i, min(i + rows, len(x))), x[i : i + rows])) for i in range(0, len(x), rows)]
    return monitor, found


def told(found: list[Findings]) -> list[Verdict]:
    return [verdict for findings in found for verdict in findings.details]


def before(x: FloatArray, rows: list[int], settings: MonitorSettings = VOTE_ONLY) -> dict[int, State]:
    """The state of a monitor that has seen all rows before each of these."""
    monitor, seen, states = Monitor(NAMES, settings), 0, {}
    for row in rows:
        monitor.step(Block(np.arange(seen, row), x[seen:row]))
        seen, states[row] = row, monitor.state()
    return states


def scored_again(
    x: FloatArray, verdict: Verdict, state: State, settings: MonitorSettings = VOTE_ONLY, share: float = 1.0
) -> Findings:
    """The row of the verdict with the readings of the counterfactual, or part of the way to them."""
    assert verdict.counterfactual is not None
    monitor, row = Monitor(NAMES, settings), x[verdict.row].copy()
    monitor.load_state(state)
    for change in verdict.counterfactual.changes:
        there = change.value if share == 1.0 else change.actual + share * (change.value - change.actual)
        row[NAMES.index(change.variable)] = there
    return monitor.step(Block(np.array([verdict.row]), row[None]))


@pytest.mark.parametrize("rule", ["weighted", "majority", "any"])
def test_row_with_the_readings_of_the_counterfactual_is_quiet_and_half_as_far_is_not(rule: str) -> None:
    settings = replace(VOTE_ONLY, rule=rule)
    x = series()
    asked = [v for v in told(watch(x, settings)[1]) if v.counterfactual is not None and v.counterfactual.changes]
    assert {v.row for v in asked} & {600, 601, 602} and {v.row for v in asked} & set(range(4_201, 4_206))
    states = before(x, [v.row for v in asked], settings)
    for verdict in asked:
        assert verdict.counterfactual is not None
        for change in verdict.counterfactual.changes:
            assert change.actual == x[verdict.row, NAMES.index(change.variable)]
        state = states[verdict.row]
        quiet = scored_again(x, verdict, state, settings)
        assert not quiet.verdicts[0] and verdict.counterfactual.score <= 1.0
        for nearer in (0.5, max(0.0, 1.0 - 2 * TOLERANCE / _share(verdict))):
            assert scored_again(x, verdict, state, settings, nearer).verdicts[0]


def _share(verdict: Verdict) -> float:
    """Of the way to the expected reading."""
    assert verdict.counterfactual is not None
    change = verdict.counterfactual.changes[0]
    (way,) = [c for c in verdict.contributions if c.variable == change.variable]
    return (change.value - change.actual) / (way.expected - way.actual)


def test_one_variable_off_is_named_alone_and_three_together() -> None:
    verdicts = {v.row: v for v in told(watch(series())[1])}
    alone, together = verdicts[600].counterfactual, verdicts[4_201].counterfactual
    assert alone is not None and [c.variable for c in alone.changes] == ["v2"] and alone.note == ""
    assert together is not None and {c.variable for c in together.changes} <= {"v0", "v1", "v2"}
    assert len(together.changes) > 1 and "no single reading" in together.note


def test_only_rows_that_open_a_run_are_asked_and_none_if_told_so() -> None:
    verdicts = {v.row: v for v in told(watch(series())[1])}
    assert 1_503 in verdicts and verdicts[1_503].counterfactual is None
    for off in (
        replace(VOTE_ONLY, counterfactual=CounterfactualSettings(opening_rows=0)),
        replace(VOTE_ONLY, rule="polling"),
    ):
        assert all(v.counterfactual is None for v in told(watch(series()[:700], off)[1]))


def test_asking_changes_no_score_and_no_state() -> None:
    x = series()
    off = replace(VOTE_ONLY, counterfactual=CounterfactualSettings(opening_rows=0))
    (one, found), (other, plain) = watch(x), watch(x, off)
    for name in ("scores", "verdicts", "variable_scores", "normal"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(plain[0], name))
    theirs = other.state()
    for name, array in one.state().items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def test_any_cut_into_blocks_gives_the_same_records() -> None:
    x = series()
    whole = told(watch(x)[1])
    assert any(v.counterfactual is not None for v in whole)
    for rows in (1, 100):
        assert told(watch(x, rows=rows)[1]) == whole


def test_missing_readings_stay_missing() -> None:
    x = series()[:700]
    x[600:603, 0] = np.nan
    asked = [v for v in told(watch(x)[1]) if v.row == 600]
    assert asked and asked[0].counterfactual is not None
    assert [c.variable for c in asked[0].counterfactual.changes] == ["v2"]
    assert not scored_again(x, asked[0], before(x, [600])[600]).verdicts[0]


def contribution(name: str, actual: float, expected: float) -> Contribution:
    return Contribution(name, actual, expected, expected, expected, 0.5)


def ask(readings: dict[str, float], score: float = 9.0) -> Counterfactual:
    """A row whose score is how far its readings are from 0, all together; each is expected to be 0."""
    ways = [contribution(name, actual, 0.0) for name, actual in readings.items()]

    def rescore(changed: dict[str, float]) -> float:
        return sum(abs(value) for value in (readings | changed).values())

    return nearest_quiet(ways, score, rescore, variables=3)  # type: ignore[arg-type]


def test_the_smallest_number_of_the_largest_shares_is_changed() -> None:
    assert [c.variable for c in ask({"a": 3.0, "b": 0.5}).changes] == ["a"]
    assert [c.variable for c in ask({"a": 0.5, "b": 3.0}).changes] == ["b"]
    assert [c.variable for c in ask({"a": 3.0, "b": 2.0, "c": 0.5}).changes] == ["a", "b"]


def test_what_no_change_can_quieten_says_so() -> None:
    found = ask({"a": 3.0, "b": 3.0, "c": 3.0, "d": 3.0}, score=12.0)
    assert found.changes == () and found.score == 12.0
    assert "no single reading" in found.note and "3 largest shares" in found.note
    assert ask({"a": 0.0}).changes == ()


@given(st.floats(0.0001, 1.0))
def test_least_share_is_within_the_tolerance(line: float) -> None:
    share = least_share(lambda share: share >= line)
    assert line <= share <= line + TOLERANCE


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
def test_least_share_is_quiet_and_half_of_it_is_not_even_if_scores_rise_and_fall(edges: list[float]) -> None:
    def is_quiet(share: float) -> bool:
        return share == 1.0 or sum(edge < share for edge in edges) % 2 == 1

    share = least_share(is_quiet)
    assert is_quiet(share) and (not is_quiet(share / 2) or share <= TOLERANCE)


def test_impossible_options_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="opening_rows must be at least 0, got -1"):
        CounterfactualSettings(opening_rows=-1)
    with pytest.raises(ValueError, match="variables must be at least 1, got 0"):
        CounterfactualSettings(variables=0)
