"""A system that was met minutes ago: a fault that anyone would see is a verdict, and a quiet start is quiet."""

import numpy as np
import pytest

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

VOTE_ONLY = MonitorSettings(causes=CausesSettings(enabled=False))


def verdicts(x: np.ndarray) -> np.ndarray:
    monitor = Monitor([f"v{i}" for i in range(x.shape[1])], VOTE_ONLY)
    return monitor.step(Block(np.arange(len(x)), x)).verdicts


def wandering(rows: int, variables: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    steps = rng.normal(0, 0.02, (rows, variables)).cumsum(axis=0)
    return 10 + steps + rng.normal(0, 0.1, (rows, variables))


@pytest.mark.parametrize("variables", [4, 8, 38])
def test_the_first_large_disturbance_after_150_rows_is_a_verdict(variables: int) -> None:
    x = wandering(200, variables)
    x[150:154, :2] += 8.0
    found = verdicts(x)
    assert found[150:154].any()
    assert not found[:150].any()


@pytest.mark.parametrize("variables", [1, 4, 38])
def test_a_big_fault_at_row_55_is_a_verdict_within_60_rows(variables: int) -> None:
    x = wandering(60, variables)
    x[55:60] += 30.0
    assert verdicts(x)[55:60].any() and not verdicts(x)[:55].any()


def test_a_system_says_how_far_it_and_its_detectors_are() -> None:
    monitor = Monitor(["a", "b"], VOTE_ONLY)
    x = wandering(120, 2)
    assert not monitor.is_warm and monitor.warm_up.rows == 0
    monitor.step(Block(np.arange(70), x[:70]))
    assert monitor.is_warm and not monitor.warm_up.is_over
    assert monitor.warm_up.warming == dict.fromkeys(("neighbours", "autoregression", "ewma"), (70, 100))
    monitor.step(Block(np.arange(70, 120), x[70:]))
    assert monitor.warm_up.is_over and (monitor.warm_up.rows, monitor.warm_up.needed) == (50, 50)


def test_a_lasting_jump_of_one_variable_in_six_is_a_verdict() -> None:
    x = np.random.default_rng(0).normal(size=(260, 6))
    x[200:, 3] += 40.0
    assert verdicts(x)[200:205].any()


def test_a_fault_early_in_life_does_not_hide_the_next_one() -> None:
    x = wandering(900, 8)
    x[300:320, :2] += 3.0
    x[600:620, :2] += 3.0
    found = verdicts(x)
    assert found[300:320].any() and found[600:620].any()
