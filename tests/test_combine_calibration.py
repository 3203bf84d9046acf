"""Calibration: the promised rate, equal to its slow twin, and not to be moved by anomalies."""

import numpy as np
import pytest
from reference_team import SlowCalibration

from detectors.block import FloatArray
from detectors.combine.calibration import Calibration, CalibrationSettings


def judge(raw: FloatArray, *, bits: int = 5, settings: CalibrationSettings | None = None) -> FloatArray:
    """Calibrated scores (T,) of one scorer's raw ones."""
    calibration = Calibration(1, settings or CalibrationSettings(), bits=bits)
    return calibration.judge(raw[:, None], np.ones((len(raw), 1), dtype=np.bool_))[:, 0]


def test_calibration_equals_its_slow_twin_to_a_bins_width() -> None:
    rng = np.random.default_rng(0)
    raw = np.abs(rng.normal(size=1500)) * np.where(np.arange(1500) // 40 % 9 == 8, 4.0, 1.0)
    raw[rng.random(1500) < 0.05] = 0.0
    fast = judge(raw)
    twin = SlowCalibration()
    slow = np.array([twin.judge(x) for x in raw])
    assert np.mean(np.abs(fast - slow) <= 0.05 * slow + 1e-9) > 0.98  # a row between the two lines may set them apart
    np.testing.assert_allclose(np.median(fast), np.median(slow), rtol=0.03)


@pytest.mark.parametrize("bits", [3, 5])
@pytest.mark.parametrize("law", ["normal", "exponential", "lognormal", "uniform", "heavy"])
def test_rate_over_the_line_is_the_promised_one_on_stationary_noise(law: str, bits: int) -> None:
    rng = np.random.default_rng(1)
    draw = {
        "normal": np.abs(rng.normal(size=40_000)),
        "exponential": rng.exponential(size=40_000),
        "lognormal": rng.lognormal(0.0, 2.0, size=40_000),
        "uniform": rng.random(40_000),
        "heavy": np.abs(rng.standard_t(2, size=40_000)),
    }[law]
    settings = CalibrationSettings(young_rows=0)
    over = int((judge(draw, bits=bits, settings=settings)[2_000:] > 1.0).sum())
    expected, n = 0.01 * 38_000, 38_000
    assert abs(over - expected) < 4 * np.sqrt(n * 0.01 * 0.99) + 0.1 * expected


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_calibrated_scores_do_not_depend_on_the_raw_scale(scale: float) -> None:
    raw = np.random.default_rng(2).exponential(size=5_000)
    np.testing.assert_allclose(judge(raw * scale)[500:], judge(raw)[500:], rtol=0.06)


def test_young_scores_are_held_down() -> None:
    raw = np.random.default_rng(3).exponential(size=3_000)
    assert not (judge(raw)[:50] > 1.0).any()
    assert (judge(raw, settings=CalibrationSettings(young_rows=0))[:50] > 1.0).any()


def test_long_excursion_moves_the_line_by_less_than_a_twentieth() -> None:
    rng = np.random.default_rng(4)
    raw = rng.exponential(size=20_360)
    raw[10_000:10_360] += 50.0
    calm = raw.copy()
    calm[10_000:10_360] = rng.exponential(size=360)
    ratio = judge(calm)[10_400:12_000] / judge(raw)[10_400:12_000]
    assert 1.0 <= np.median(ratio) < 1.05


def test_constant_scores_are_quiet_and_a_step_out_of_them_is_finite() -> None:
    raw = np.zeros(2_000)
    raw[1_500] = 5.0
    scores = judge(raw)
    assert scores[1_500] == 1000.0 and (np.delete(scores, 1_500) == 0.0).all()
    assert (judge(np.full(2_000, 3.3))[:2_000] <= 1.05).all()


def test_what_is_not_valid_or_no_number_scores_nothing_and_is_not_taken_in() -> None:
    rng = np.random.default_rng(5)
    raw = rng.exponential(size=(3_000, 1))
    valid = rng.random(raw.shape) < 0.7
    one, other = (Calibration(1, CalibrationSettings()) for _ in range(2))
    scores = one.judge(np.where(valid, raw, 99.0), valid)
    assert (scores[~valid] == 0.0).all()
    np.testing.assert_array_equal(scores, other.judge(np.where(valid, raw, np.nan), np.ones_like(valid)))
    only = judge(raw[valid])
    np.testing.assert_array_equal(scores[valid], only)


def test_line_follows_a_slow_change_of_what_is_usual() -> None:
    rng = np.random.default_rng(6)
    raw = rng.exponential(size=30_000) * np.linspace(1.0, 3.0, 30_000)
    late = judge(raw, settings=CalibrationSettings(memory_rows=3_000))[20_000:]
    assert 0.008 < (late > 1.0).mean() < 0.03


def test_weights_scaled_down_leave_the_scores_as_they_are() -> None:
    raw = np.random.default_rng(7).exponential(size=6_000)[:, None]
    settings = CalibrationSettings(memory_rows=100)  # heavy after some 2,800 rows
    ones = np.ones(raw.shape, dtype=np.bool_)
    whole = Calibration(1, settings).judge(raw, ones)
    pieces = Calibration(1, settings)
    scores = np.concatenate([pieces.judge(raw[i : i + 7], ones[i : i + 7]) for i in range(0, 6_000, 7)])
    np.testing.assert_array_equal(scores, whole)
    assert np.isfinite(scores).all() and 0.002 < (scores[3_500:] > 1.0).mean() < 0.05


@pytest.mark.parametrize(
    ("option", "value"), [("quantile", 1.0), ("quantile", 0.1), ("memory_rows", 5), ("young_rows", -1)]
)
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        CalibrationSettings(**{option: value})  # type: ignore[arg-type]
