"""A budget of alerts: the realised rate comes to it, within the bound that the control promises for any rows."""

import numpy as np
import pytest

from detectors.block import Block, FloatArray
from detectors.causes.settings import CausesSettings
from detectors.combine.line import LOWEST, Line, LineSettings, hold
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

ROWS = 60_000


def noise(seed: int) -> FloatArray:
    """Combined scores that are over an undamped line some 8 times in 1,000 rows."""
    return np.random.default_rng(seed).lognormal(-1.2, 0.5, ROWS)


def bursts(seed: int) -> FloatArray:
    """The same with a burst of 15 excursions every 3,000 rows."""
    scores = noise(seed)
    starts = np.arange(1_000, ROWS, 3_000)[:, None] + 20 * np.arange(15)
    scores[np.minimum(starts.ravel(), ROWS - 1)] *= 8.0
    return scores


def follow(scores: FloatArray, settings: LineSettings) -> tuple[Line, FloatArray]:
    """The line after the scores, and how high it stood at each of them (T,)."""
    line = Line(settings)
    heights = [hold(float(score), True, line.levels, line.counts, line.options)[0] for score in scores]
    return line, np.array(heights)


@pytest.mark.parametrize("kind", [noise, bursts])
@pytest.mark.parametrize("budget", [1.0, 2.0])
def test_realised_rate_comes_to_the_budget(kind: type, budget: float) -> None:
    settings = LineSettings(budget_per_1000_rows=budget)
    line, heights = follow(kind(0), settings)
    rate = 1000.0 * line.alerts / line.judged
    assert budget / 1.5 < rate < budget * 1.5
    assert heights.min() >= LOWEST and heights.max() <= settings.budget_limit * 1.5
    free, _ = follow(kind(0), LineSettings())
    assert 1000.0 * free.alerts / free.judged > budget * 1.5  # it would have been another rate


@pytest.mark.parametrize("rows", [500, 5_000, ROWS])
def test_alerts_differ_from_the_budget_by_no_more_than_the_limit_allows(rows: int) -> None:
    settings = LineSettings(budget_per_1000_rows=2.0, budget_step=0.05, damped=False)
    line, heights = follow(bursts(1)[:rows], settings)
    assert heights.min() > LOWEST and heights.max() < settings.budget_limit  # never at its bounds
    spent = line.alerts - 0.002 * rows
    assert -np.log(2.0) / 0.05 < spent < np.log(settings.budget_limit) / 0.05
    assert line.height == pytest.approx(np.exp(0.05 * spent))  # it telescopes


def test_quiet_system_gets_no_lower_line_than_half_and_an_attack_no_higher_than_the_limit() -> None:
    settings = LineSettings(budget_per_1000_rows=5.0, damped=False)
    quiet, _ = follow(np.full(20_000, 0.1), settings)
    assert quiet.height == pytest.approx(LOWEST) and quiet.alerts == 0
    attack, heights = follow(np.where(np.arange(20_000) % 20 == 0, 50.0, 0.3), settings)
    assert heights.max() == pytest.approx(settings.budget_limit) and attack.alerts == 1_000


def test_without_a_budget_the_line_is_as_it_was() -> None:
    scores = bursts(2)[:5_000]
    _, heights = follow(scores, LineSettings(budget_step=1.0, budget_limit=9.0))
    np.testing.assert_array_equal(heights, follow(scores, LineSettings())[1])


def test_record_and_monitor_tell_the_line_and_what_it_let_through() -> None:
    values = np.random.default_rng(3).normal(size=(3_000, 3))
    values[500::250] += 9.0
    line = LineSettings(budget_per_1000_rows=0.5)
    monitor = Monitor(list("abc"), MonitorSettings(line=line, causes=CausesSettings(enabled=False)))
    found = monitor.step(Block(np.arange(len(values)), values))
    standing, last = monitor.standing, found.details[-1]
    assert standing.judged_rows == 2_950 and standing.alerts >= 8
    assert standing.line > 1.5 and last.line > 1.5 > found.details[0].line
    opened = sum(v.row == 500 or not found.verdicts[v.row - 12 : v.row].any() for v in found.details)
    assert last.alerts_per_1000_rows == pytest.approx(1000.0 * opened / (last.row - 49))


@pytest.mark.parametrize(
    ("option", "value"), [("budget_per_1000_rows", 0.0), ("budget_step", 0.0), ("budget_limit", 0.5)]
)
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        LineSettings(**{option: value})  # type: ignore[arg-type]
