"""Drift: ADWIN finds what river's finds, and a lasting rise of the scores opens the warm-up anew."""

import numpy as np
import pytest
from river.drift import ADWIN

from detectors.block import Block, FloatArray
from detectors.causes.settings import CausesSettings
from detectors.combine.adwin import Adwin, clear, update
from detectors.combine.calibration import Calibration, CalibrationSettings
from detectors.combine.drift import Drift, DriftSettings
from detectors.findings import Findings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings


def detections(numbers: FloatArray, delta: float = 0.002) -> list[int]:
    adwin, found = Adwin(), []
    for t, x in enumerate(numbers):
        if update(float(x), adwin.arrays, delta):
            clear(adwin.arrays)
            found.append(t)
    return found


def rivers(numbers: FloatArray, delta: float = 0.002) -> list[int]:
    twin, found = ADWIN(delta=delta), []
    for t, x in enumerate(numbers):
        twin.update(float(x))
        if twin.drift_detected:
            found.append(t)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("delta", [0.002, 0.2])
def test_adwin_detects_what_rivers_detects(seed: int, delta: float) -> None:
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.normal(0.0, [0.3, 1.0, 3.0][seed % 3], 20), rng.integers(20, 600, 20))
    numbers = levels + rng.normal(size=len(levels)) * rng.choice([0.3, 1.0])
    found = detections(numbers, delta)
    assert found == rivers(numbers, delta)
    assert found


def accepted(scores: FloatArray, *, piece: int = 16) -> list[int]:
    """The rows at which segments of so many rows would open the warm-up anew."""
    drift, found = Drift(DriftSettings(reopens=True, lasting_rows=500), young_rows=0), []
    for start in range(0, len(scores), piece):
        rows = scores[start : start + piece]
        drift.follow(rows, np.ones(len(rows), dtype=np.bool_), first=start)
        if drift.accept(start + len(rows)):
            found.append(start + len(rows))
    return found


def scores(*stretches: tuple[int, float]) -> FloatArray:
    """Combined scores: so many rows at each level."""
    levels = np.repeat([level for _, level in stretches], [rows for rows, _ in stretches])
    return levels * np.random.default_rng(0).lognormal(0.0, 0.4, len(levels))


def test_rise_that_lasts_is_accepted_once() -> None:
    found = accepted(scores((4_000, 0.4), (4_000, 0.8)))
    assert len(found) == 1
    assert 4_500 < found[0] < 4_500 + 300  # lasting_rows after ADWIN has seen it
    assert accepted(scores((4_000, 0.4), (4_000, 0.8)), piece=1)[0] <= found[0] < found[0] + 16


def test_incident_and_fall_and_noise_and_a_rise_far_below_the_line_are_not_accepted() -> None:
    assert accepted(scores((4_000, 0.4), (300, 3.0), (4_000, 0.4))) == []
    assert accepted(scores((4_000, 0.8), (4_000, 0.4))) == []
    assert accepted(scores((20_000, 0.4))) == []
    assert accepted(scores((4_000, 0.1), (4_000, 0.2))) == []


def test_end_of_the_young_damping_is_no_drift() -> None:
    rows = np.arange(8_000)
    damped = scores((8_000, 0.9)) / (1.0 + 100.0 / (rows + 1.0))
    drift = Drift(DriftSettings(reopens=True, lasting_rows=500), young_rows=100)
    drift.follow(damped, rows >= 50, first=0)
    assert not drift.accept(8_000)
    assert accepted(damped[50:]) != []  # which it would be


def test_without_the_option_nothing_is_followed() -> None:
    drift = Drift(DriftSettings(), young_rows=100)
    drift.follow(scores((4_000, 0.4), (4_000, 0.8)), np.ones(8_000, dtype=np.bool_), first=0)
    assert not drift.accept(8_000) and not any(array.any() for array in drift.state().values())


def restless(start: int, rows: int) -> FloatArray:
    """(T, 4) noise that is three times as large from a row on, for good."""
    values = np.random.default_rng(1).standard_t(5, size=(rows, 4))
    values[start:] *= 3.0
    return values


def run(
    values: FloatArray, *, reopens: bool, monitor: Monitor | None = None, first: int = 0
) -> tuple[Monitor, Findings]:
    settings = MonitorSettings(
        drift=DriftSettings(reopens=reopens, lasting_rows=500), causes=CausesSettings(enabled=False)
    )
    monitor = monitor or Monitor(list("abcd"), settings)
    return monitor, monitor.step(Block(np.arange(first, first + len(values)), values))


def test_reopened_calibration_follows_a_new_normal_that_the_old_one_pages_for() -> None:
    rng = np.random.default_rng(2)
    raw = rng.exponential(size=(34_000, 1))
    raw[30_000:] *= 2.0
    valid = np.ones_like(raw, dtype=np.bool_)
    rates = []
    for reopens in (False, True):
        calibration = Calibration(1, CalibrationSettings())
        calibration.judge(raw[:30_000], valid[:30_000])
        if reopens:
            calibration.reopen(1_000)
        rates.append((calibration.judge(raw[30_000:], valid[30_000:]) > 1.0).mean())
    assert rates[0] > 0.05 and rates[1] < 0.02


def test_warm_up_opens_anew_in_a_monitor_is_told_and_survives_a_restart() -> None:
    values = restless(2_000, 3_200)
    _, without = run(values, reopens=False)
    at = int(np.flatnonzero(run(values, reopens=True)[1].scores != without.scores)[0])
    assert 2_000 < at < 2_600
    values[at + 80 : at + 90] += 300.0
    whole, found = run(values, reopens=True)
    assert whole.standing.reopened == 1
    states = {vote.state for verdict in found.details if at < verdict.row < at + 90 for vote in verdict.votes}
    assert "warming" in states and "ready" not in states
    monitor, pieces = None, []
    for start in range(0, len(values), 307):
        fresh, _ = run(values[:0], reopens=True)
        if monitor is not None:
            fresh.load_state(monitor.state())
        monitor, piece = run(values[start : start + 307], reopens=True, monitor=fresh, first=start)
        pieces.append(piece.scores)
    np.testing.assert_array_equal(np.concatenate(pieces), found.scores)


@pytest.mark.parametrize(("option", "value"), [("delta", 0.0), ("lasting_rows", 0), ("kept_rows", 0), ("paging", 2.0)])
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        DriftSettings(**{option: value})  # type: ignore[arg-type]
