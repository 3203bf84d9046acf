"""The guard's promises on synthetic rows: a lasting change is accepted in time, an incident is not, drift is no alarm.

A lasting shift is flagged for release_rows; SETTLING rows later nine rows in ten are quiet, and 400 rows later the rate
of verdicts is that of chance again, at most 5 in 1,000 rows. An incident of 360 rows (six hours of minutes) leaves the
scores of later quiet rows within a twentieth of what they would have been.
"""

import numpy as np
import pytest

from detectors.block import Block, FloatArray
from detectors.causes.settings import CausesSettings
from detectors.findings import Findings
from detectors.monitor import Monitor
from detectors.online.neighbours import NeighboursSettings
from detectors.online.registry import DetectorSettings
from detectors.settings import MonitorSettings

SETTLING = 50  # rows: those that the averages and the open segments need
CHANCE = 0.005


def system(rows: int, seed: int) -> FloatArray:
    """(T, 6) AR(1) noise with a daily wave, of standard deviation 2."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 6))
    for t in range(1, rows):
        values[t] += 0.7 * values[t - 1]
    return values + 2.0 * np.sin(2.0 * np.pi * np.arange(rows) / 1_440.0)[:, None]


def run(values: FloatArray, *, release_rows: int = 720) -> Findings:
    detectors = DetectorSettings(neighbours=NeighboursSettings(release_rows=release_rows))
    settings = MonitorSettings(detectors=detectors, causes=CausesSettings(enabled=False), other_rules=False)
    return Monitor([f"v{i}" for i in range(6)], settings).step(Block(np.arange(len(values)), values))


@pytest.mark.parametrize("release_rows", [360, 720])
@pytest.mark.parametrize("shift", [6.0, 15.0])
def test_lasting_shift_is_flagged_at_once_and_accepted_after_the_rows_configured(
    shift: float, release_rows: int
) -> None:
    start, seen = 5_000, release_rows + 1_000
    values = system(start + seen, seed=1)
    values[start:, :3] += shift
    verdicts = run(values, release_rows=release_rows).verdicts[start:]
    assert verdicts[:2].any()
    assert verdicts[release_rows + SETTLING : release_rows + 400].mean() < 0.1
    assert verdicts[release_rows + 400 :].mean() <= CHANCE
    if shift > 10.0:  # and not before: such an incident is flagged whole
        assert verdicts[: release_rows - 100].mean() > 0.9


def test_six_hours_incident_hardly_moves_the_line_and_is_flagged_again() -> None:
    values, length = system(7_800, seed=1), 360
    undisturbed = run(values)
    for start in (6_000, 7_440):  # at one time of day
        values[start : start + length, :3] += 6.0
    found = run(values)
    assert found.verdicts[6_000:6_360].mean() > 0.9
    assert found.verdicts[7_440:7_443].any() and found.verdicts[7_440:7_800].mean() > 0.2
    quiet = slice(6_400, 7_440)
    ratio = np.median(found.scores[quiet]) / np.median(undisturbed.scores[quiet])
    assert 0.95 < ratio <= 1.01
    assert found.verdicts[quiet].mean() <= CHANCE


def test_slow_drift_is_learned_and_not_flagged() -> None:
    values = system(12_000, seed=2)
    values[:, :3] += 8.0 * np.clip((np.arange(12_000) - 2_000) / 10_000, 0.0, 1.0)[:, None]  # four deviations
    assert run(values).verdicts.mean() <= CHANCE
