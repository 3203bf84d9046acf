"""Windowed correlations: equal to numpy's, free of scale, never NaN, and forgetting what has left the window."""

import numpy as np
from reference import slow_correlation

from detectors.block import Rows
from detectors.combine.correlation import Correlation

SEED = 7


def mixed(rows: int, variables: int = 5) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    return rng.normal(size=(rows, variables)) @ rng.normal(size=(variables, variables))


def followed(values: np.ndarray, window: int = 50) -> Correlation:
    """Correlations after rows (T, D) in which NaN is missing."""
    rows = Rows.complete(np.nan_to_num(values))
    rows.present[:] = ~np.isnan(values)
    correlation = Correlation(values.shape[1], window)
    correlation.follow(rows)
    return correlation


def test_equals_numpy_while_the_window_fills_and_after() -> None:
    values = mixed(130)
    for rows in (1, 2, 3, 49, 50, 51, 130):
        r = followed(values[:rows]).of(np.arange(5))
        np.testing.assert_allclose(r, slow_correlation(values[:rows], 50), atol=1e-12)


def test_missing_readings_are_left_out_pairwise() -> None:
    values = mixed(130)
    values[np.random.default_rng(SEED).random(values.shape) < 0.3] = np.nan
    values[:, 4] = np.nan
    r = followed(values).of(np.arange(5))
    np.testing.assert_allclose(r, slow_correlation(values, 50), atol=1e-12)
    assert not r[4].any() and not r[:, 4].any()


def test_a_variable_that_moves_only_in_the_gaps_of_another_has_no_correlation_with_it() -> None:
    values = mixed(50, 2)
    values[:, 0] = 0.1
    values[20, 0] = 1e6
    values[20, 1] = np.nan
    assert followed(values).of(np.array([0]))[0, 1] == 0.0


def test_scale_and_offset_do_not_matter_but_for_the_sign() -> None:
    values = mixed(60)
    r = followed(values).of(np.arange(5))
    scaled = followed(values * np.array([1e-9, 1e9, 1, -1, 1e50]) + np.array([0, 1e9, -7, 0, 0])).of(np.arange(5))
    sign = np.array([1, 1, 1, -1, 1])
    np.testing.assert_allclose(scaled, r * sign * sign[:, None], atol=1e-6)


def test_constant_variables_give_zero() -> None:
    values = mixed(60)
    values[:, 1] = 0.1
    values[:, 3] = 0.0
    r = followed(values).of(np.arange(5))
    assert not r[[1, 3]].any() and not r[:, [1, 3]].any()
    assert np.isfinite(r).all() and abs(r).max() <= 1


def test_a_huge_reading_leaves_no_trace_once_it_has_left_the_window() -> None:
    values = mixed(130)
    spoiled = values.copy()
    spoiled[40] = 1e15
    np.testing.assert_array_equal(followed(spoiled).of(np.arange(5)), followed(values).of(np.arange(5)))


def test_any_split_and_a_state_in_mid_stream_give_the_same_bits() -> None:
    rows = Rows.complete(mixed(130))
    whole = Correlation(5, 50)
    whole.follow(rows)
    split = Correlation(5, 50)
    for start in range(0, 130, 13):
        split.follow(rows[start : start + 13])
        other = Correlation(5, 50)
        other.load_state(split.state())
        split = other
    np.testing.assert_array_equal(split.of(np.arange(5)), whole.of(np.arange(5)))


def test_a_renewed_variable_starts_with_no_rows() -> None:
    rows = Rows.complete(mixed(40))
    rows.renewed[30, 2] = True
    correlation = Correlation(5, 50)
    correlation.follow(rows)
    expected = rows.values.copy()
    expected[:30, 2] = np.nan
    np.testing.assert_allclose(correlation.of(np.arange(5)), slow_correlation(expected, 50), atol=1e-12)
