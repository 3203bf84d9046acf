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


def test_a_lasting_jump_of_one_variable_in_six_is_a_verdict() -> None:
    x = np.random.default_rng(0).normal(size=(260, 6))
    x[200:, 3] += 40.0
    assert verdicts(x)[200:205].any()
