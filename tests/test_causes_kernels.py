"""The kernels of the causes equal their slow twins: bit for bit, where both add up in the same order."""

import numpy as np
import pytest
from reference_causes import (
    slow_center_and_spread,
    slow_conditional,
    slow_lines,
    slow_share_shift,
    slow_signals,
    slow_statistic,
    slow_statistics,
    slow_strength,
)

from detectors.causes.conditional import fit_conditional
from detectors.causes.deviation import fit_baseline, standardise, strength
from detectors.causes.exceedance import fit_lines, log_excess, past_statistics
from detectors.causes.shares import of_few_levels, share_shift
from detectors.causes.signals import advance, exceed

CAP = 9.0


def heavy(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(3, size=(rows, columns))


def with_holes(rows: int, seed: int) -> np.ndarray:
    """Nine columns: one constant, one missing, one of few levels, some cells missing or infinite, one column huge."""
    x = heavy(rows, 9, seed)
    x[:, 1], x[:, 2], x[:, 3] = 7.0, np.nan, np.round(x[:, 3])
    x[::5, 4], x[3::7, 5], x[:, 6] = np.nan, np.inf, 1e9 * x[:, 6]
    return x


@pytest.mark.parametrize("rows", [1, 2, 20, 333])
def test_the_baseline_equals_a_plain_one(rows: int) -> None:
    x = with_holes(rows, rows)
    center, spread, width = slow_center_and_spread(x)
    found = fit_baseline(x, np.full(9, -1), peer_floor=0.0)
    np.testing.assert_array_equal(found.center, center)
    np.testing.assert_array_equal(found.scale, np.where(spread > 0.0, spread, 1.0))
    np.testing.assert_array_equal(found.constant, width == 0.0)


@pytest.mark.parametrize("peers", [3, 4, 11, 12])
def test_the_floor_is_taken_from_the_deviation_of_the_peers_medians(peers: int) -> None:
    x = heavy(50, peers, peers) + np.arange(peers) ** 2.0
    found = fit_baseline(x, np.zeros(peers, dtype=np.int64), peer_floor=0.5, level_share=np.inf)
    center, spread, _ = slow_center_and_spread(x)
    np.testing.assert_array_equal(found.scale, spread + 0.5 * np.median(np.abs(center - np.median(center))))


@pytest.mark.parametrize(("rows", "columns", "lags"), [(24, 2, 1), (40, 30, 1), (200, 9, 3), (1440, 38, 3)])
def test_the_conditional_model_equals_a_plain_one(rows: int, columns: int, lags: int) -> None:
    z = heavy(rows, columns, 0)
    options = {"lags": lags, "ridge": 0.03, "ridge_per_weight": 2.0, "floor": 0.05}
    found = fit_conditional(z, **options)
    np.testing.assert_array_equal(found.weights, slow_conditional(z, **options))
    assert found.lags == lags


@pytest.mark.parametrize("rows", [1, 2, 5, 60])
def test_a_strength_equals_a_plain_one(rows: int) -> None:
    z = heavy(rows + 1, 7, rows)
    np.testing.assert_array_equal(strength(z[1:], z[0]), slow_strength(z[1:], z[0]))


@pytest.mark.parametrize(("quiet", "new"), [(40, 8), (300, 60), (300, 700)])
def test_shifts_of_level_shares_equal_plain_ones(quiet: int, new: int) -> None:
    rng = np.random.default_rng(quiet + new)
    levels = np.array([3, 4, 6, 2, 3])  # the fourth is no matter of shares
    rows = rng.integers(0, levels, size=(quiet + new, 5)).astype(float)
    rows[:, 4] = np.repeat(rows[:, 4], 7)[: quiet + new]  # held for seven rows
    rows[quiet:, 1] = (rows[quiet:, 0] + rng.integers(0, 2, size=new)) % 4  # follows another, from the change on
    known = of_few_levels(rows[:quiet])
    found = share_shift(known, rows[quiet:])
    np.testing.assert_allclose(found, slow_share_shift(known, rows[:quiet], rows[quiet:]), rtol=1e-9)
    assert sorted(known) == [0, 1, 2, 4]
    assert known[4].independence < 0.3
    assert known[0].independence > 0.8


@pytest.mark.parametrize(("rows", "columns"), [(20, 2), (131, 4), (1440, 76)])
def test_lines_and_past_statistics_equal_plain_ones(rows: int, columns: int) -> None:
    signals = heavy(rows, columns, rows)
    signals[rows // 2 :, 0] = 0.0
    lines = fit_lines(signals)
    np.testing.assert_array_equal(lines, slow_lines(signals))
    for low in (lines, 0.3 * lines, np.full(lines.shape, np.inf)):
        np.testing.assert_array_equal(past_statistics(signals, low, CAP), slow_statistics(signals, low, CAP))


def test_row_by_row_the_statistic_is_that_of_all_rows_at_once() -> None:
    quiet, x = with_holes(200, 1), 3.0 * with_holes(60, 2)
    baseline = fit_baseline(quiet, np.full(9, -1), peer_floor=0.0)
    model = fit_conditional(standardise(quiet, baseline), lags=1, ridge=0.3, ridge_per_weight=3.0, floor=0.3)
    lines = np.full((3, 18), 1.5)
    past = slow_signals(x, baseline, model.weights)
    fit = baseline.center, baseline.scale, baseline.frozen, model.weights, lines
    signals, profile = np.zeros((4, 18)), np.zeros(9)
    advance(x[0], 0, fit, signals)
    for t, row in enumerate(x[1:]):
        sums = [np.abs(past[t + 1 - h : t + 1].sum(axis=0)) / np.sqrt(h) for h in (1, 2, 4) if t + 1 >= h]
        excess = np.max([log_excess(s, lines[0], CAP) for s in sums], axis=0)
        advance(row, t + 1, fit, signals)
        statistic = exceed(signals, t + 1, lines, CAP, profile)
        np.testing.assert_allclose(signals[(t + 1) % 4], past[t], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(profile, np.sqrt(np.maximum(excess[:9], excess[9:])), rtol=1e-6, atol=1e-6)
        assert statistic == pytest.approx(float(slow_statistic(excess)))
