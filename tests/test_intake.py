"""The intake: one policy for missing readings, counters and too little to judge by."""

import numpy as np
import pytest

from detectors.block import FloatArray, Rows
from detectors.intake import Intake, IntakeSettings


def read(values: list[list[float]] | FloatArray, **options: float) -> Rows:
    x = np.array(values, dtype=np.float64)
    return Intake(x.shape[1], IntakeSettings(**options)).read(x)  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
def test_reading_that_is_no_number_is_missing_and_the_last_one_stands_in(odd: float) -> None:
    rows = read([[1.0], [2.0], [odd], [3.0]])
    assert rows.present[:, 0].tolist() == [True, True, False, True]
    assert rows.values[:, 0].tolist() == [1.0, 2.0, 2.0, 3.0]


def test_values_stay_finite_before_a_variable_was_ever_there() -> None:
    rows = read([[np.nan, 1.0], [np.nan, 1.0], [5.0, 1.0]])
    assert rows.values[:, 0].tolist() == [0.0, 0.0, 5.0]
    assert rows.restart[:, 0].tolist() == [False, False, True]


def test_first_reading_and_the_first_after_a_long_gap_restart_the_variable() -> None:
    gap = [[np.nan]] * 3
    rows = read([[1.0], *gap[:2], [1.0], *gap, [1.0], [1.0]], gap_rows=2)
    assert np.flatnonzero(rows.restart[:, 0]).tolist() == [0, 7]


def test_row_needs_half_of_the_variables_that_are_still_awaited() -> None:
    n = np.nan
    x = [[1, 1, 1, 1], [1, 1, n, n], [1, n, n, n], [1, n, n, n], [1, n, n, n], [1, n, n, n], [n, n, n, n]]
    rows = read(np.array(x, dtype=float), gone_rows=3)
    assert rows.quorum.tolist() == [True, True, False, False, True, True, False]


def test_counter_is_told_by_its_steps_and_read_as_them() -> None:
    rng = np.random.default_rng(0)
    steps = rng.poisson(3.0, 500).astype(float)
    total = np.cumsum(steps)
    total[400:] -= total[400]  # the counted process started anew
    rows = read(total[:, None])
    assert np.flatnonzero(rows.renewed[:, 0]).tolist() == [200]
    assert rows.values[200:400, 0].tolist() == steps[200:400].tolist()
    assert not rows.present[400, 0]
    assert rows.values[401:, 0].tolist() == steps[401:].tolist()


def test_step_of_a_counter_over_missing_rows_is_spread_over_them() -> None:
    total = np.arange(300.0)[:, None] * 4
    total[250:253] = np.nan
    rows = read(total)
    assert rows.values[253, 0] == 4.0


def test_what_rises_and_falls_is_no_counter_and_proves_so_later_too() -> None:
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=600))
    assert not read(walk[:, None]).renewed.any()
    ramp = np.concatenate([np.arange(300.0), 300 - np.arange(300.0)])
    rows = read(ramp[:, None])
    renewed = np.flatnonzero(rows.renewed[:, 0]).tolist()
    assert renewed[0] == 200 and len(renewed) == 2 and 300 < renewed[1] < 330
    assert rows.values[-1, 0] == ramp[-1]


@pytest.mark.parametrize("column", [np.full(900, 7.0), np.arange(900) % 2.0, (np.arange(900) // 300) * 1.0])
def test_constant_binary_and_rarely_rising_columns_stay_as_they_are(column: FloatArray) -> None:
    rows = read(column[:, None])
    assert rows.values[:, 0].tolist() == column.tolist()


def test_any_split_and_a_restore_give_the_same_rows() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.cumsum(rng.poisson(1, 700)), rng.normal(size=700), np.full(700, np.nan)])
    x[rng.random(x.shape) < 0.1] = np.nan
    whole = read(x)
    intake, row = Intake(3, IntakeSettings()), 0
    while row < len(x):
        count = int(rng.integers(1, 50))
        rows = intake.read(x[row : row + count])
        assert rows.first == row
        for name in ("values", "present", "restart", "renewed", "quorum"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(whole, name)[row : row + count])
        row += count
        state = intake.state()
        intake = Intake(3, IntakeSettings())
        intake.load_state(state)


def test_impossible_options_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="quorum must be a share"):
        IntakeSettings(quorum=1.5)
    with pytest.raises(ValueError, match="gap_rows must be at least 1"):
        IntakeSettings(gap_rows=0)
