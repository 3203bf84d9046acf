"""The benches of causes: what they count is what they say, at tiny sizes; nothing here looks at how long it took."""

import numpy as np
import pytest
from bench import first_ranking, trigger_rate
from bench.trigger_rate import FIRST_ROW, NOISES, Realised, line, realise


@pytest.mark.parametrize("noise", NOISES)
def test_quiet_noise_repeats_and_is_stationary(noise: str) -> None:
    early, late = np.split(NOISES[noise](np.random.default_rng(3), 8000, 4), 2)
    again = NOISES[noise](np.random.default_rng(3), 8000, 4)
    np.testing.assert_array_equal(np.vstack([early, late]), again)
    assert late.std(axis=0) == pytest.approx(early.std(axis=0), rel=0.25)


def test_memory_is_in_ar_and_common_factors_in_correlated() -> None:
    x = NOISES["ar"](np.random.default_rng(0), 20_000, 1)[:, 0]
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.8, abs=0.02)
    together = np.corrcoef(NOISES["correlated"](np.random.default_rng(0), 5000, 6).T)
    assert np.abs(together[np.triu_indices(6, 1)]).mean() > 0.3


def test_the_ratio_is_realised_over_promised_and_its_bounds_hold_it() -> None:
    found = Realised(promise=100, rows=10_000, false=150, uncalibrated=3)
    low, high = found.bounds
    assert found.ratio == 1.5 and low < 1.5 < high
    assert (low, high) == (pytest.approx(1.28, abs=0.01), pytest.approx(1.76, abs=0.01))
    assert Realised(promise=100, rows=1000, false=0, uncalibrated=0).bounds[0] == 0.0
    assert line("white", 10, found).split() == "10 white 1 in 100 150 3 1.50 1.28 to 1.76".split()


def test_false_triggers_of_quiet_noise_are_counted_from_row_120_on() -> None:
    found = realise("white", 3, 50, streams=1, rows=620)
    assert found.rows == 620 - FIRST_ROW
    assert 0 < found.false < 30


def test_the_row_of_a_step_gives_a_ranking_and_so_does_the_first_batch() -> None:
    first, later = first_ranking.measure(5, before=60, rounds=1)
    assert min(first.cpu_s, first.wall_s, later.cpu_s, later.wall_s) > 0.0
