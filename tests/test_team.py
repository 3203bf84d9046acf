"""Who runs and who votes is the preset's, unless the user says otherwise."""

import dataclasses

import numpy as np
import pytest

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.findings import Findings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings, team

SEED = 4
QUIET = MonitorSettings(causes=dataclasses.replace(CausesSettings(), enabled=False))


def found(**options: object) -> Findings:
    """What a monitor finds in noise with one far row, at 450."""
    values = np.random.default_rng(SEED).normal(size=(500, 4))
    values[450] = [9.0, -9.0, 9.0, -9.0]
    settings = dataclasses.replace(QUIET, **options)
    return Monitor(list("abcd"), settings, seed=SEED).step(Block(np.arange(500), values))


def votes(findings: Findings) -> dict[str, str]:
    """The row's votes by state."""
    verdict = next(v for v in findings.details if v.row == 450)
    return {v.detector: v.state for v in verdict.votes if v.variable is None}


def test_the_default_team_is_what_it_was() -> None:
    chosen = team(MonitorSettings())
    assert chosen.detectors == ("neighbours", "autoregression", "ewma")
    assert (chosen.voters, chosen.rule) == (("neighbours", "autoregression"), "weighted")


def test_sparse_votes_from_a_hundred_variables_on_unless_the_user_chose_the_voters() -> None:
    assert team(MonitorSettings(), 99) == team(MonitorSettings())
    assert team(MonitorSettings(), 100).voters == ("neighbours", "autoregression", "sparse")
    assert team(MonitorSettings(wide=4), 4).detectors == ("neighbours", "autoregression", "ewma", "sparse")
    assert team(MonitorSettings(preset="full"), 100).voters == team(MonitorSettings(), 100).voters
    assert team(MonitorSettings(voters=("neighbours",)), 100).voters == ("neighbours",)
    with pytest.raises(ValueError, match="wide must be at least 1 variable, got 0"):
        MonitorSettings(wide=0)


def test_detectors_that_run_besides_are_told_and_change_no_verdict() -> None:
    plain, more = found(), found(also=("principal", "loda"))
    np.testing.assert_array_equal(plain.scores, more.scores)
    np.testing.assert_array_equal(plain.variable_scores, more.variable_scores)
    silent = {name for name, state in votes(more).items() if state == "muted"}
    assert silent == {"principal.residual", "loda.rarity"}


def test_a_voter_of_the_users_choice_runs_and_votes_and_the_others_are_told() -> None:
    findings = found(voters=("principal",))
    states = votes(findings)
    assert {name for name, state in states.items() if state != "muted"} == {"principal.residual"}
    assert "neighbours.fast" in states
    assert (findings.scores != found().scores).any()


def test_the_record_of_a_chosen_team_gives_its_verdict_back() -> None:
    verdict = next(v for v in found(voters=("principal", "loda")).details if v.row == 450)
    cast = [v.score for v in verdict.votes if v.variable is None and v.state != "muted"]
    assert len(cast) == 2
    assert verdict.score == pytest.approx(np.sqrt(np.mean(np.square(cast))))


def test_full_has_both_beside_the_teams_voters() -> None:
    chosen = team(MonitorSettings(preset="full"))
    assert {"principal", "loda"} <= set(chosen.detectors)
    assert chosen.voters == team(MonitorSettings()).voters


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"voters": ("principle",)}, "voters must be names of detectors, got 'principle'; did you mean principal?"),
        ({"also": ("zzz",)}, "also must be names of detectors, got 'zzz'; known are neighbours, "),
        ({"also": ("river.LODA",)}, "also must be names of detectors, got 'river.LODA'"),
        ({"voters": ("loda", "loda")}, "voters must name each detector once, got loda, loda"),
        ({"voters": ("loda",), "also": ("loda",)}, "voters and also must name different detectors, got loda in both"),
        ({"voters": ("ewma",)}, "voters must judge whole rows; ewma judges single variables"),
        ({"voters": ()}, "voters must name at least one detector, unless the rule is polling"),
    ],
)
def test_a_team_that_cannot_be_is_refused(options: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        MonitorSettings(**options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(told)


def test_polling_needs_no_voters() -> None:
    assert team(MonitorSettings(voters=(), rule="polling")).voters == ()
