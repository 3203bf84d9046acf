"""From calibrated opinions to a verdict: rules, fresh evidence, the damped line, the guard and the guilty."""

import numpy as np
import pytest
from reference_team import guilt_of

from detectors.block import FloatArray, Rows
from detectors.combine.attribution import Attribution, AttributionSettings
from detectors.combine.ballot import Ballot, Decision, majority
from detectors.combine.evidence import EvidenceSettings, cut_tails
from detectors.combine.guard import Guard, GuardSettings, weigh
from detectors.combine.line import Line, LineSettings, hold
from detectors.combine.rules import RULES, make_rule
from detectors.settings import MonitorSettings


def decide(name: str, members: FloatArray) -> FloatArray:
    """Scores (T,) by a rule of row-wise members (T, M)."""
    rows = Rows.complete(np.zeros((len(members), 2)))
    ballot = Ballot(rows, members, np.zeros((len(members), 1, 2)))
    decision: Decision = make_rule(name, ["a", "b"]).decide(ballot, np.ones(len(members), dtype=np.bool_))
    return decision.scores


def held(scores: FloatArray, settings: LineSettings | None = None) -> tuple[FloatArray, list[int]]:
    """The line (T,) under scores (T,), and the rows' places in excursions."""
    line = Line(settings or LineSettings())
    found = [hold(float(score), True, line.levels, line.counts, line.options) for score in scores]
    return np.array([level for level, _ in found]), [place for _, place in found]


def weights(scores: FloatArray, settings: GuardSettings | None = None) -> list[float]:
    guard = Guard(settings or GuardSettings())
    return [weigh(float(score), guard.left, guard.options) for score in scores]


def test_each_rule_is_over_the_line_when_its_majority_is() -> None:
    members = np.array([[3.0, 0.0, 0.0], [1.2, 1.2, 0.0], [1.2, 1.2, 1.2], [0.9, 0.9, 0.9]])
    assert (decide("weighted", members) > 1.0).tolist() == [True, False, True, False]
    assert (decide("majority", members) > 1.0).tolist() == [False, True, True, False]
    assert (decide("any", members) > 1.0).tolist() == [True, True, True, False]


def test_tie_is_no_majority() -> None:
    assert majority(np.array([[2.0, 2.0, 0.5, 0.5]]))[0] == 0.5
    assert majority(np.zeros((3, 0))).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("slack_rows", "found"), [(0, []), (1, []), (2, [3])])
def test_members_of_a_majority_may_be_some_rows_apart(slack_rows: int, found: list[int]) -> None:
    members = np.full((6, 3), 0.5)
    members[1, 0], members[3, 1] = 4.0, 1.5
    rows, asked = Rows.complete(np.zeros((6, 2))), np.ones(6, dtype=np.bool_)
    rule = make_rule("majority", ["a", "b"], slack_rows=slack_rows)
    whole = rule.decide(Ballot(rows, members, np.zeros((6, 1, 2)), members), asked)
    assert np.flatnonzero(whole.scores > 1.0).tolist() == found  # and not the row after, in which nobody votes
    pieces, rule = [], make_rule("majority", ["a", "b"], slack_rows=slack_rows)
    for t in range(6):
        ballot = Ballot(rows[t : t + 1], members[t : t + 1], np.zeros((1, 1, 2)), members[t : t + 1])
        pieces.append(rule.decide(ballot, asked[:1]).scores[0])
        state, rule = rule.state(), make_rule("majority", ["a", "b"], slack_rows=slack_rows)
        rule.load_state(state)
    assert pieces == whole.scores.tolist()


def test_slack_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="slack_rows must be at least 0, got -1"):
        MonitorSettings(slack_rows=-1)


def test_unknown_rule_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=f"one of {', '.join(RULES)}, got 'unanimous'"):
        make_rule("unanimous", ["a"])


def test_members_do_not_outlast_the_fresh_evidence() -> None:
    members = np.array([[5.0, 0.3], [5.0, 0.3]])
    fresh = np.array([[9.0, 0.0], [0.5, 1.0]])
    settings = EvidenceSettings(headroom=2.0, autoregression=0.5)
    bounds = np.array([settings.bound("neighbours"), settings.bound("autoregression")])
    assert cut_tails(members, fresh, bounds).tolist() == [[5.0, 0.3], [1.0, 0.3]]
    assert cut_tails(members, fresh[:, :0], bounds[:0]).tolist() == members.tolist()


def test_quiet_line_is_one_and_a_restless_one_is_bounded() -> None:
    rng = np.random.default_rng(0)
    calm, _ = held(np.exp(0.3 * rng.normal(size=4_000)) * 0.3)
    assert calm.max() < 1.1 and calm.min() >= 1.0
    restless, _ = held(np.where(np.arange(6_000) % 20 == 0, 5.0, 0.3))
    assert 1.2 < restless.max() <= 1.5


def test_one_onset_moves_the_line_by_four_percent_at_most_and_it_comes_back() -> None:
    scores = np.full(8_000, 0.3)
    scores[1_000:1_200:20] = 3.0
    line, _ = held(scores, LineSettings(drift=0.0))
    assert np.diff(line).max() <= 0.04 + 1e-12
    assert line[1_250] > 1.1 and line[-1] == 1.0


def test_long_incident_moves_the_line_no_more_than_its_onset() -> None:
    scores = np.full(3_000, 0.3)
    scores[1_000:1_360] = 3.0
    line, places = held(scores)
    assert line.max() < 1.05
    assert places[999] == 0 and places[1_000] == 1 and places[1_359] == 360


def test_undamped_line_stays_at_one() -> None:
    line, _ = held(np.random.default_rng(1).exponential(2.0, 2_000), LineSettings(damped=False))
    assert (line == 1.0).all()


def test_guard_opens_at_twice_the_line_and_closes_after_quiet_rows() -> None:
    scores = np.array([0.5, 1.5, 2.0, 1.2, *[0.5] * 12])
    assert weights(scores) == [1.0, 1.0, 0.1, 0.1, *[0.1] * 9, *[1.0] * 3]
    assert weights(scores, GuardSettings(enabled=False)) == [1.0] * len(scores)


def test_guilt_is_weighted_by_detector_and_place() -> None:
    raw = np.zeros((3, 2, 2))
    raw[:, 0], raw[:, 1] = [1.0, 0.0], [0.0, 100.0]
    attribution = Attribution(["neighbours", "autoregression"], AttributionSettings())
    guilt = guilt_of(raw, [0, 3, 11], attribution)
    np.testing.assert_allclose(guilt, [[0.3, 0.3 * 14], [1.0, 14.0], [0.5, 7.0]])


def test_detectors_without_a_part_name_the_guilty_only_among_themselves() -> None:
    raw = np.ones((1, 2, 3))
    both, alone = (Attribution(names, AttributionSettings()) for names in (["repad2", "ewma"], ["repad2"]))
    assert guilt_of(raw, [1], both)[0, 0] == pytest.approx(0.1)
    assert guilt_of(raw[:, :1], [1], alone)[0, 0] == 1.0


@pytest.mark.parametrize(
    ("settings", "option", "value"),
    [
        (GuardSettings, "opens_at", 0.5),
        (GuardSettings, "weight", 2.0),
        (LineSettings, "drift_limit", 0.9),
        (LineSettings, "fast_rows", 10**6),
        (EvidenceSettings, "headroom", 0.0),
    ],
)
def test_impossible_option_is_refused_by_name(settings: type, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        settings(**{option: value})
