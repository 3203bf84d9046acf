"""mSSA + CUSUM: equal to a plain SVD, blind to units, quiet on what it knows, loud on a change of course."""

import numpy as np
import pytest
from reference_triggers import SlowMssa, equal_in_pieces, slow_departure

from detectors.causes.mssa import MssaTrigger, departures, fit_base, outside_directions, page_matrix
from detectors.causes.settings import MssaSettings
from detectors.causes.trigger import TriggerDetector


def waves(rows: int, seed: int = 0) -> np.ndarray:
    """Six series that share two slow waves, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    return np.sin(t / 9 + np.arange(6)) + 0.5 * np.cos(t / 23 * np.arange(1, 7)) + 0.1 * rng.normal(size=(rows, 6))


def first_alarm(x: np.ndarray, settings: MssaSettings | None = None) -> int | None:
    trigger = MssaTrigger(x.shape[1], settings or MssaSettings())
    return next((t.row for t in trigger.follow(x, np.arange(len(x)), 0)), None)


def test_departure_equals_that_of_a_plain_svd() -> None:
    z = waves(120)
    page = page_matrix(z, 12)
    stacked = page.reshape(-1, 12).T  # L x NC
    left, values, _ = np.linalg.svd(stacked, full_matrices=True)
    rank = int(np.searchsorted(np.cumsum(values**2) / (values**2).sum(), 0.95)) + 1
    slow = sum(np.linalg.norm(left[:, rank:].T @ vector) for vector in page[3]) ** 2
    assert departures(page, outside_directions(page.reshape(-1, 12), 0.95))[3] == pytest.approx(slow)


@pytest.mark.parametrize("series", [1, 2, 7, 8, 38, 129, 300])
@pytest.mark.parametrize("left", [1, 7, 8, 11, 17])
def test_departures_equal_a_slow_sum_bit_for_bit(series: int, left: int) -> None:
    rng = np.random.default_rng(series)
    vectors, outside = rng.normal(size=(3, series, 20)), rng.normal(size=(20, left))
    assert departures(vectors, outside) == [slow_departure(one, outside) for one in vectors]


def test_the_drift_is_more_than_any_held_out_block_departs() -> None:
    x = waves(120)
    base = fit_base(x, MssaSettings())
    z = (x - base.scale.center) / base.scale.scale
    assert max(departures(page_matrix(z, 12), base.outside)) < base.drift


def test_a_known_course_is_quiet_and_a_new_one_is_not() -> None:
    x = waves(600)
    assert first_alarm(x) is None
    x[400:] += np.random.default_rng(1).normal(size=(200, 6)) * 2.0
    alarm = first_alarm(x)
    assert alarm is not None
    assert 400 <= alarm < 440


def test_units_do_not_matter() -> None:
    x = waves(600)
    x[400:, :3] *= 4.0
    assert first_alarm(x) == first_alarm(x * [1e6, 1e-6, 1, 1, 5, 1] + 7.0)


def test_it_is_not_armed_while_a_base_is_gathered() -> None:
    x = np.random.default_rng(0).normal(size=(119, 3)) * np.logspace(0, 6, 119)[:, None]
    assert first_alarm(x) is None


def changing() -> np.ndarray:
    x = waves(700)
    x[300:] *= 3.0
    x[50, 2] = np.nan
    x[560:] += 4.0
    return x


@pytest.mark.parametrize(
    "settings", [MssaSettings(), MssaSettings(moving=True), MssaSettings(window=3, columns=4, moving=True)]
)
def test_rows_at_once_equal_a_slow_loop_bit_for_bit_in_findings_and_state(settings: MssaSettings) -> None:
    slow, fast = SlowMssa(6, settings), MssaTrigger(6, settings)
    assert equal_in_pieces(slow, fast, changing(), [1, 1, 2, 5, 16, 150]) >= 1


@pytest.mark.parametrize("moving", [False, True])
def test_a_state_taken_anywhere_goes_on_bit_for_bit(moving: bool) -> None:
    settings, x, times = MssaSettings(moving=moving), changing(), np.arange(700)
    expected = MssaTrigger(6, settings).follow(x, times, 0)
    found = []
    trigger: TriggerDetector = MssaTrigger(6, settings)
    for start in range(0, 700, 37):
        fresh = MssaTrigger(6, settings)
        fresh.load_state(trigger.state())
        trigger = fresh
        found += trigger.follow(x[start : start + 37], times[start : start + 37], start)
    assert found == expected
    assert expected


def test_constant_and_missing_columns_are_harmless() -> None:
    x = waves(500)
    x[:, 1], x[:, 2] = 3.0, np.nan
    assert first_alarm(x) is None
