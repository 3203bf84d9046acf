"""The change trigger keeps its promise on noise, sees a step in few variables, and goes on from any state."""

from itertools import pairwise

import numpy as np
import pytest
from reference_triggers import SlowChange, equal_in_pieces

from detectors.causes.change import ChangeTrigger
from detectors.causes.exceedance import moving_sums, running_totals
from detectors.causes.peaks import alarm_threshold, declustered_peaks
from detectors.causes.settings import CausesSettings, ChangeSettings
from detectors.causes.trigger import TriggerDetector

NAMES = [f"s{i}.cpu" for i in range(10)]


def alarms(x: np.ndarray, settings: CausesSettings | None = None) -> list[int]:
    trigger = ChangeTrigger([f"s{i}.cpu" for i in range(x.shape[1])], settings or CausesSettings())
    return [t.row for t in trigger.follow(x, np.arange(len(x)), 0)]


def correlated_noise(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 10)) @ (np.eye(10) + 0.3 * rng.normal(size=(10, 10)))


def test_false_alarms_on_noise_come_no_more_often_than_twice_as_promised() -> None:
    found = [a for seed in range(4) for a in alarms(correlated_noise(1500, seed)) if a >= 200]
    promised = 4 * 1300 / ChangeSettings().rows_per_false_alarm
    assert len(found) <= 2 * promised
    assert len(found) >= 1  # a threshold that nothing ever passes would keep every promise


def test_autocorrelated_noise_brings_about_as_many_false_alarms_as_promised() -> None:
    """Its first models are poor: judged by them, the old rows look louder than new ones ever will."""
    settings = CausesSettings(change=ChangeSettings(rows_per_false_alarm=100))
    found = 0
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(1500, 10))
        for t in range(1, len(x)):
            x[t] = 0.8 * x[t - 1] + 0.6 * x[t]
        found += sum(a >= 200 for a in alarms(x, settings))
    promised = 4 * 1300 / 100
    assert promised / 1.5 <= found <= promised * 1.5


@pytest.mark.parametrize("seed", range(4))
def test_a_step_in_two_of_ten_variables_is_seen_within_a_few_rows(seed: int) -> None:
    x = correlated_noise(600, seed)
    x[500:, 3:5] += 8.0 * x[:500].std(axis=0)[3:5]
    assert any(500 <= a <= 504 for a in alarms(x))


@pytest.mark.parametrize("then", [530, 540])
def test_a_lasting_change_is_one_alarm_and_the_next_one_another(then: int) -> None:
    """The next one may come while the first is still on, or after it fell."""
    x = correlated_noise(560, 0)
    x[500 : 530 if then == 530 else 520, 2] += 30.0
    x[then:, 7:9] += 30.0
    late = [a for a in alarms(x) if a >= 500]
    assert late[0] == 500
    assert then in late
    assert len(late) <= 4


def test_a_change_that_went_down_and_comes_back_is_another_alarm() -> None:
    """It never quite went away in between."""
    x = correlated_noise(600, 0)
    scale = x[:500].std(axis=0)[:3]
    x[500:, :3] += 30.0 * scale
    x[520:560, :3] -= 27.0 * scale
    late = [a for a in alarms(x) if a >= 500]
    assert late[0] == 500
    assert any(560 <= a < 564 for a in late)


def test_a_system_that_begins_in_the_midst_of_faults_still_tells_the_later_ones() -> None:
    """Loud ones among its first rows are no noise to calibrate by; a quarter of its rows may be left out at most."""
    x = correlated_noise(700, 2)
    scale = x.std(axis=0)
    for start in range(60, 300, 12):
        x[start : start + 4, start % 7] += 25.0 * scale[start % 7]
        x[start : start + 4, 8] += 20.0 * scale[8]
        x[start : start + 4, 9] -= 20.0 * scale[9]
    x[600:604, [3, 8, 9]] += 25.0 * scale[[3, 8, 9]]
    assert any(600 <= row < 604 for row in alarms(x))


def test_units_shift_and_constant_columns_do_not_matter() -> None:
    x = np.c_[correlated_noise(500, 1)[:, :9], np.full(500, 3.0)]
    x[400:, 0] += 40.0
    names = list("abcdefghij")  # no metric in common, so no peers: units may differ
    one, two = ChangeTrigger(names, CausesSettings()), ChangeTrigger(names, CausesSettings())
    scaled = x * np.logspace(-6, 6, 10) + 100.0
    times = np.arange(len(x))
    plain = [t.row for t in one.follow(x, times, 0)]
    assert plain == [t.row for t in two.follow(scaled, times, 0)]
    assert any(400 <= i < 404 for i in plain)


def test_until_it_is_calibrated_it_says_so() -> None:
    x = correlated_noise(60, 2)
    x[56:, 1] += 1000.0
    trigger = ChangeTrigger(NAMES, CausesSettings(change=ChangeSettings(prior_threshold=1.0)))
    found = trigger.follow(x, np.arange(len(x)), 0)
    assert found and not found[-1].calibrated
    assert found[-1].statistic >= found[-1].threshold


def test_until_it_is_calibrated_a_fault_is_no_record_that_hides_the_next_one() -> None:
    """After the largest statistic there can be, what is beyond chance still fires; what might be chance does not."""
    x = correlated_noise(100, 0)
    young = ChangeTrigger(NAMES, CausesSettings())
    young.follow(x, np.arange(len(x)), 0)
    after_a_fault = young.state() | {"record": np.array([9.0, 0.0])}
    found = []
    for size in (3.0, 40.0):
        trigger = ChangeTrigger(NAMES, CausesSettings())
        trigger.load_state(after_a_fault)
        row = x.mean(axis=0) + size * x.std(axis=0) * (np.arange(10) < 4)
        found.append(trigger.follow(row[None], np.array([100]), 100))
    assert not found[0]
    assert found[1][0].threshold < 9.0 * 0.9


def troubled(rows: int, seed: int) -> np.ndarray:
    """With missing cells and rows, a constant that moves, spikes, a level that lasts, and a drift."""
    x = correlated_noise(rows, seed)
    x[:, 9] = 2.0
    x[rows // 2, 9] = 3.0
    x[np.random.default_rng(seed).random(x.shape) < 0.01] = np.nan
    x[40:44] = np.nan
    x[90, 3] += 500.0
    x[250:270, 4] += 50.0
    x[260:300, 6] -= 80.0
    x[350:, 1] += 20.0
    x[420:480, 7] += np.linspace(0.0, 30.0, 60)
    return x


@pytest.mark.parametrize(
    "settings",
    [
        CausesSettings(),
        CausesSettings(history_rows=150, accept_rows=30, change=ChangeSettings(rows_per_false_alarm=20)),
        CausesSettings(history_rows=40, change=ChangeSettings(prior_threshold=1.0)),
    ],
)
def test_rows_at_once_equal_a_slow_loop_bit_for_bit_in_findings_and_state(settings: CausesSettings) -> None:
    slow, fast = SlowChange(NAMES, settings), ChangeTrigger(NAMES, settings)
    assert equal_in_pieces(slow, fast, troubled(600, 3), [1, 1, 2, 5, 16, 70]) >= 2


def test_a_state_taken_anywhere_goes_on_bit_for_bit() -> None:
    x, times = troubled(500, 3), np.arange(500)
    expected = ChangeTrigger(NAMES, CausesSettings()).follow(x, times, 0)
    found = []
    trigger: TriggerDetector = ChangeTrigger(NAMES, CausesSettings())
    cuts = [0, 2, 5, 21, 49, 110, 251, 253, 400, 500]
    for start, stop in pairwise(cuts):
        found += trigger.follow(x[start:stop], times[start:stop], start)
        fresh = ChangeTrigger(NAMES, CausesSettings())
        fresh.load_state(trigger.state())
        assert {k: v.tobytes() for k, v in fresh.state().items()} == {
            k: v.tobytes() for k, v in trigger.state().items()
        }
        trigger = fresh
    assert found == expected
    assert expected


def test_moving_sums_equal_a_loop() -> None:
    values = np.random.default_rng(0).normal(size=(12, 3))
    for span in (1, 2, 4):
        slow = np.array([values[i : i + span].sum(axis=0) for i in range(12 - span + 1)])
        np.testing.assert_allclose(moving_sums(running_totals(values), span), np.abs(slow).T / np.sqrt(span))


def test_the_threshold_is_passed_as_often_as_promised_by_an_exponential_tail() -> None:
    rng = np.random.default_rng(0)
    level = alarm_threshold(rng.exponential(size=4000), rows_per_alarm=200)
    assert level is not None
    rate = (rng.exponential(size=200_000) > level).mean()
    assert 1 / 800 < rate < 1 / 100
    assert alarm_threshold(np.zeros(100), rows_per_alarm=50) is None


def test_runs_close_together_are_one_peak() -> None:
    past = np.zeros(30)
    past[[3, 5, 20]] = [2.0, 4.0, 3.0]
    assert declustered_peaks(past, 1.0).tolist() == [4.0, 3.0]
