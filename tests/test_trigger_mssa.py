"""mSSA + CUSUM: equal to a plain SVD, blind to units, quiet on what it knows, loud on a change of course."""

import numpy as np
import pytest

from detectors.causes.mssa import MssaTrigger, departure, fit_base, outside_directions, page_matrix
from detectors.causes.settings import MssaSettings
from detectors.causes.trigger import TriggerDetector


def waves(rows: int, seed: int = 0) -> np.ndarray:
    """Six series that share two slow waves, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    return np.sin(t / 9 + np.arange(6)) + 0.5 * np.cos(t / 23 * np.arange(1, 7)) + 0.1 * rng.normal(size=(rows, 6))


def first_alarm(x: np.ndarray, settings: MssaSettings | None = None) -> int | None:
    trigger = MssaTrigger(x.shape[1], settings or MssaSettings())
    return next((i for i, row in enumerate(x) if trigger.step(row, i, i)), None)


def test_departure_equals_that_of_a_plain_svd() -> None:
    z = waves(120)
    page = page_matrix(z, 12)
    stacked = page.reshape(-1, 12).T  # L x NC
    left, values, _ = np.linalg.svd(stacked, full_matrices=True)
    rank = int(np.searchsorted(np.cumsum(values**2) / (values**2).sum(), 0.95)) + 1
    slow = sum(np.linalg.norm(left[:, rank:].T @ vector) for vector in page[3]) ** 2
    assert departure(page[3], outside_directions(page.reshape(-1, 12), 0.95)) == pytest.approx(slow)


def test_the_drift_is_more_than_any_held_out_block_departs() -> None:
    x = waves(120)
    base = fit_base(x, MssaSettings())
    z = (x - base.scale.center) / base.scale.scale
    assert max(departure(block, base.outside) for block in page_matrix(z, 12)) < base.drift


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


@pytest.mark.parametrize("moving", [False, True])
def test_a_state_taken_anywhere_goes_on_bit_for_bit(moving: bool) -> None:
    settings = MssaSettings(moving=moving)
    x = waves(700)
    x[300:] *= 3.0
    x[50, 2] = np.nan
    whole = MssaTrigger(6, settings)
    expected = [whole.step(row, i, i) for i, row in enumerate(x)]
    found = []
    trigger: TriggerDetector = MssaTrigger(6, settings)
    for i, row in enumerate(x):
        if i % 37 == 0:
            fresh = MssaTrigger(6, settings)
            fresh.load_state(trigger.state())
            trigger = fresh
        found.append(trigger.step(row, i, i))
    assert found == expected
    assert any(expected)


def test_constant_and_missing_columns_are_harmless() -> None:
    x = waves(500)
    x[:, 1], x[:, 2] = 3.0, np.nan
    assert first_alarm(x) is None
