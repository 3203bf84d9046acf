"""RoLA's polling: equal to the obvious loop, and what the paper's rule implies."""

from typing import Any

import numpy as np
import pytest
from reference import slow_correlation, slow_poll

from detectors.block import Rows
from detectors.combine.ballot import Ballot, Decision
from detectors.combine.polling import Polling, PollingSettings, poll

SEED = 11
NAMES = ("a", "b", "c", "d")


def related(rows: int = 40) -> np.ndarray:
    """a and b move together, c against them, d on its own."""
    rng = np.random.default_rng(SEED)
    common = rng.normal(size=rows)
    return np.column_stack([common, 3 * common + 0.01 * rng.normal(size=rows), 5 - common, rng.normal(size=rows)])


def decided(flags: str, *, rule: Polling | None = None) -> Decision:
    """The decision over 40 rows, in the last of which the named variables are at 1.5 and the others at 0.5."""
    values = related()
    opinions = np.full((40, 1, 4), 0.5)
    opinions[-1, 0, [NAMES.index(name) for name in flags]] = 1.5
    ballot = Ballot(Rows.complete(values), np.empty((40, 0)), opinions)
    return (rule or Polling(NAMES)).decide(ballot, np.ones(40, np.bool_))


def test_equals_the_obvious_loop() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(300):
        flagged, r = rng.random(6) < 0.4, rng.uniform(-1, 1, (6, 6))
        asking = np.flatnonzero(flagged)
        _, yes = poll(flagged, asking, r[asking], -0.5, 0.5)
        assert list(asking[yes]) == slow_poll(list(flagged), r, -0.5, 0.5)


@pytest.mark.parametrize(
    ("flags", "anomalous"),
    [
        ("", False),
        ("a", False),  # outvoted by b and c
        ("d", False),  # nobody to ask
        ("ad", False),
        ("ab", True),  # 2 against 1
        ("ac", True),  # negative correlation counts
        ("abcd", True),
    ],
)
def test_majority_of_the_strongly_correlated_decides(flags: str, anomalous: bool) -> None:
    scores = decided(flags).scores
    assert scores[-1] == (1.5 if anomalous else 1.0 if flags else 0.5)
    assert (scores[:-1] == 0.5).all()


def test_a_tie_is_no_anomaly() -> None:
    flagged, asking = np.array([True, False]), np.array([0])
    assert not poll(flagged, asking, np.array([[1.0, 0.99]]), -0.95, 0.95)[1][0]


def test_the_thresholds_themselves_are_not_strong() -> None:
    flagged, asking = np.array([True, True, True]), np.array([0])
    strong, _ = poll(flagged, asking, np.array([[1.0, 0.95, -0.95]]), -0.95, 0.95)
    assert not strong.any()


def test_who_was_polled_is_told_with_correlation_and_opinion() -> None:
    polled = decided("ab").polled
    assert list(polled) == [39]
    told = {p.variable: p for p in polled[39]}
    r = slow_correlation(related(), 2880)
    assert set(told) == {"a", "b", "c"}
    assert told["b"].agreed and not told["c"].agreed
    assert told["c"].correlation == pytest.approx(r[0, 2])
    assert abs(polled[39][0].correlation) == max(abs(p.correlation) for p in polled[39])


def test_rows_that_nobody_asks_about_are_followed_and_not_polled() -> None:
    ballot = Ballot(Rows.complete(related()), np.empty((40, 0)), np.full((40, 1, 4), 1.5))
    asked = np.zeros(40, np.bool_)
    asked[[20, 39]] = True
    decision = Polling(NAMES).decide(ballot, asked)
    assert list(decision.polled) == [20, 39]
    r = slow_correlation(related()[:21], 2880)
    assert {p.variable: p.correlation for p in decision.polled[20]}["b"] == pytest.approx(r[0, 1], abs=1e-12)


@pytest.mark.parametrize("slack_rows", [0, 3, 9])
def test_any_split_and_a_state_in_mid_stream_give_the_same_decisions(slack_rows: int) -> None:
    opinions = np.random.default_rng(SEED).random((40, 2, 4)) * 2
    rows, asked = Rows.complete(related()), np.ones(40, np.bool_)
    settings = PollingSettings(window_rows=15)
    whole = Polling(NAMES, settings, slack_rows=slack_rows).decide(Ballot(rows, np.empty((40, 0)), opinions), asked)
    rule, polled = Polling(NAMES, settings, slack_rows=slack_rows), {}
    for start in range(0, 40, 7):
        cut = slice(start, start + 7)
        decision = rule.decide(Ballot(rows[cut], np.empty((len(rows[cut]), 0)), opinions[cut]), asked[cut])
        np.testing.assert_array_equal(decision.scores, whole.scores[cut])
        polled |= {start + t: who for t, who in decision.polled.items()}
        state, rule = rule.state(), Polling(NAMES, settings, slack_rows=slack_rows)
        rule.load_state(state)
    assert polled == whole.polled and len(polled) > 20


def flags_apart(rows_apart: int, slack_rows: int) -> Decision:
    """b is flagged in the last row, and a so many rows before it."""
    opinions = np.full((40, 1, 4), 0.5)
    opinions[39, 0, 1] = opinions[39 - rows_apart, 0, 0] = 1.5
    ballot = Ballot(Rows.complete(related()), np.empty((40, 0)), opinions)
    return Polling(NAMES, slack_rows=slack_rows).decide(ballot, np.ones(40, np.bool_))


@pytest.mark.parametrize(
    ("rows_apart", "slack_rows", "anomalous"), [(0, 0, True), (2, 0, False), (2, 2, True), (3, 2, False)]
)
def test_flags_count_together_within_the_slack(rows_apart: int, slack_rows: int, anomalous: bool) -> None:
    decision = flags_apart(rows_apart, slack_rows)
    assert (decision.scores[-1] > 1.0) == anomalous
    assert {p.variable: p.agreed for p in decision.polled[39]}["a"] == anomalous
    assert rows_apart == 0 or (decision.scores[:-1] <= 1.0).all()  # only who is flagged now can report


@pytest.mark.parametrize(
    ("partnerless", "members", "anomalous"),
    [
        ("never", [2.0, 2.0, 2.0], False),  # RoLA: d has no partner, and can never report
        ("members", [2.0, 2.0, 0.5], True),
        ("members", [2.0, 0.5, 0.5], False),
        ("members", [], False),
    ],
)
def test_variable_without_partners_asks_the_members(partnerless: str, members: list[float], anomalous: bool) -> None:
    opinions = np.full((40, 1, 4), 0.5)
    opinions[-1, 0, NAMES.index("d")] = 1.5
    ballot = Ballot(Rows.complete(related()), np.tile(members, (40, 1)), opinions)
    rule = Polling(NAMES, PollingSettings(partnerless=partnerless))  # type: ignore[arg-type]
    decision = rule.decide(ballot, np.ones(40, np.bool_))
    assert decision.scores[-1] == (1.5 if anomalous else 1.0)
    assert decision.polled[39] == ()


def test_variable_with_partners_asks_them_and_not_the_members() -> None:
    opinions = np.full((40, 1, 4), 0.5)
    opinions[-1, 0, NAMES.index("a")] = 1.5  # outvoted by b and c
    ballot = Ballot(Rows.complete(related()), np.full((40, 3), 2.0), opinions)
    rule = Polling(NAMES, PollingSettings(partnerless="members"))
    assert rule.decide(ballot, np.ones(40, np.bool_)).scores[-1] == 1.0


@pytest.mark.parametrize(
    "options", [{"window_rows": 1}, {"low": 0.5, "high": 0.4}, {"high": 1.5}, {"partnerless": "always"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        PollingSettings(**options)
