"""A detector that keeps voting alone loses its vote, is told as muted, and gets its vote back."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from reference import slow_muting
from reference_team import muted_in

from detectors import monitor as house
from detectors.block import Block, FloatArray, Rows, State
from detectors.causes.settings import CausesSettings
from detectors.combine.ballot import Ballot, majority
from detectors.combine.calibration import CalibrationSettings
from detectors.combine.muting import Muting, MutingSettings
from detectors.combine.rules import make_rule
from detectors.findings import Findings
from detectors.monitor import Monitor
from detectors.online.protocol import Scores
from detectors.online.registry import build
from detectors.settings import PRESETS, MonitorSettings, Preset

BROKEN, MENDED, ROWS = 800, 1_600, 3_000
NAMES = ["a", "b", "c"]


class Broken:
    """Scores the size of the row, until it breaks: then it cries out at every row, and is sure of it."""

    name: ClassVar[str] = "broken"
    members: ClassVar[tuple[str, ...]] = ("size",)
    per_variable: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    def score(self, rows: Rows) -> Scores:
        size = np.abs(rows.values).sum(axis=1)
        numbers = rows.first + np.arange(len(rows))
        size[(numbers >= BROKEN) & (numbers < MENDED)] += 100.0
        return Scores(size[:, None], fresh=size.copy())

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        pass

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        pass


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The team, with the broken detector voting beside it."""
    team = PRESETS["team"]
    monkeypatch.setitem(PRESETS, "team", Preset(team.detectors, (*team.voters, "broken"), team.rule))
    ours = lambda names: [name for name in names if name != Broken.name]  # noqa: E731
    monkeypatch.setattr(house, "build", lambda names, *given, seed: [*build(ours(names), *given, seed=seed), Broken()])


def series() -> FloatArray:
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    values[[1_500, 2_900]] += 12.0  # faults that everybody sees
    return values


def settings(*, enabled: bool = True) -> MonitorSettings:
    """So young a calibration would follow the broken detector, if it took in more than a few rows of it."""
    muting, calibration = MutingSettings(enabled=enabled, window_rows=200), CalibrationSettings(excursion_rows=2)
    return MonitorSettings(muting=muting, calibration=calibration, causes=CausesSettings(enabled=False))


def run(values: FloatArray, monitor: Monitor, *, first: int = 0) -> Findings:
    return monitor.step(Block(np.arange(first, first + len(values)), values))


def test_broken_detector_is_muted_told_and_back(broken: None) -> None:
    monitor, values = Monitor(NAMES, settings()), series()
    before = run(values[:1_490], monitor)
    assert monitor.standing.muted == ("broken",)
    during = run(values[1_490:MENDED], monitor, first=1_490)
    after = run(values[MENDED:], monitor, first=MENDED)
    assert monitor.standing.muted == ()
    # ln 2 of the window's rows, and what the excursion's start and calibration take
    assert before.verdicts[BROKEN:].sum() < 250 and not during.verdicts[:10].any()
    for found, row, state, vote in ((during, 1_500, "muted", False), (after, 2_900, "ready", True)):
        verdict = next(v for v in found.details if v.row == row)
        told = next(v for v in verdict.votes if v.detector == "broken.size")
        assert (told.state, told.vote) == (state, vote) and told.score > 1.0
        voting = [v.score for v in verdict.votes if v.variable is None and v.state != "muted"]
        assert verdict.score == pytest.approx(np.sqrt(np.mean(np.square(voting))))


def test_without_muting_it_cries_all_the_time(broken: None) -> None:
    monitor = Monitor(NAMES, settings(enabled=False))
    found = run(series()[:1_490], monitor)
    assert found.verdicts[BROKEN:].mean() > 0.9 and monitor.standing.muted == ()


def test_muting_survives_a_restart_and_any_cut_into_blocks(broken: None) -> None:
    values = series()[:1_100]
    whole = run(values, Monitor(NAMES, settings()))
    scores, state = [], None
    for start in range(0, len(values), 137):
        monitor = Monitor(NAMES, settings())
        if state is not None:
            monitor.load_state(state)
        scores.append(run(values[start : start + 137], monitor, first=start).scores)
        state = monitor.state()
    np.testing.assert_array_equal(np.concatenate(scores), whole.scores)
    assert monitor.standing.muted == ("broken",)


def test_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(1)
    chances = np.repeat(rng.choice([0.05, 0.9], size=(12, 3, 2)), 50, axis=0)
    over, valid = rng.random((600, 3, 2)) < chances, rng.random((600, 2)) < 0.9
    given = MutingSettings(window_rows=30, mutes_at=0.4, heard_at=0.2)
    expected = slow_muting(over, valid, 30, 0.4, 0.2)
    muting = Muting(3, 2, given)
    np.testing.assert_array_equal(muted_in(over, valid, muting), expected)
    assert expected.any() and not expected.all(axis=1).any()  # somebody always votes


def test_lone_detector_and_company_are_never_muted() -> None:
    ones = np.ones((5_000, 1), dtype=np.bool_)
    alone = Muting(1, 1, MutingSettings())
    assert not muted_in(ones[:, :, None], ones, alone).any()
    together = Muting(2, 1, MutingSettings())
    assert not muted_in(np.ones((5_000, 2, 1), dtype=np.bool_), ones, together).any()


def test_incident_that_one_detector_sees_until_it_is_accepted_costs_no_vote() -> None:
    over = np.zeros((900, 2, 1), dtype=np.bool_)
    over[:, 0] = True  # longer than the memory takes to accept a new normal
    muting = Muting(2, 1, MutingSettings())
    assert not muted_in(over, np.ones((900, 1), dtype=np.bool_), muting).any()


@pytest.mark.parametrize("rule", ["weighted", "majority", "any"])
def test_muted_members_count_in_no_rule(rule: str) -> None:
    members = np.array([[9.0, 0.6, 0.7], [0.2, 0.6, 9.0]])
    muted = np.array([[True, False, False], [False, False, True]])
    rows = Rows.complete(np.zeros((2, 1)))
    inside = np.zeros((2, 0, 1))
    asked = np.ones(2, dtype=np.bool_)
    given = make_rule(rule, ["a"]).decide(Ballot(rows, members, inside, members, muted), asked)
    for t in range(2):
        rest = members[t : t + 1, ~muted[t]]
        alone = make_rule(rule, ["a"]).decide(Ballot(rows[t : t + 1], rest, inside[:1]), asked[:1])
        assert given.scores[t] == alone.scores[0]
    assert given.uncut is not None and (given.uncut == given.scores).all()


def test_majority_is_of_those_who_are_heard() -> None:
    opinions = np.array([[3.0, 0.5, 2.0, 1.5]])
    heard: Sequence[bool] = [True, False, True, True]
    muted = ~np.array([heard])
    assert majority(opinions, muted)[0] == majority(opinions[:, heard])[0] == 2.0
    assert majority(opinions, np.ones((1, 4), dtype=np.bool_))[0] == 0.0


@pytest.mark.parametrize(("option", "value"), [("window_rows", 0), ("mutes_at", 1.0), ("heard_at", 0.7)])
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        MutingSettings(**{option: value})  # type: ignore[arg-type]
