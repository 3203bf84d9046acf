"""Who was there regularly and stays away is told at the row that proves it, and what was always sparse is not."""

import numpy as np
import pytest

from detectors.block import Block, FloatArray, Rows
from detectors.causes.settings import CausesSettings
from detectors.findings import Findings, Silence
from detectors.intake import Intake, IntakeSettings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings
from detectors.silence import Silences, SilenceSettings

NAMES = ("cart.cpu", "cart.memory", "db.cpu", "db.memory", "shipping")
VOTE_ONLY = MonitorSettings(causes=CausesSettings(enabled=False))
MINUTE = 60_000_000_000


def read(values: FloatArray, first: int = 0, intake: Intake | None = None) -> tuple[Block, Rows]:
    intake = intake or Intake(values.shape[1], IntakeSettings())
    return Block((first + np.arange(len(values))) * MINUTE, values), intake.read(values)


def silences(values: FloatArray, settings: SilenceSettings | None = None) -> list[Silence]:
    names = NAMES[: values.shape[1]]
    return Silences(names, settings or SilenceSettings(), gap_rows=10).follow(*read(values))


def there(rows: int, variables: int = 5) -> FloatArray:
    return np.random.default_rng(4).normal(size=(rows, variables))


def told(found: list[Silence]) -> list[tuple[int, str | None, tuple[str, ...], str]]:
    return [(s.row, s.entity, s.variables, s.state) for s in found]


def test_a_variable_of_every_row_is_silent_at_the_eleventh_missing_row_and_back_at_once() -> None:
    x = there(200)
    x[100:150, 4] = np.nan
    fell, back = silences(x)
    assert told([fell, back]) == [(110, "shipping", ("shipping",), "silent"), (150, "shipping", ("shipping",), "back")]
    assert (fell.time, fell.since, fell.usual_gap_rows) == (110 * MINUTE, 99 * MINUTE, 0.0)
    assert back.since == 99 * MINUTE


def test_a_gap_that_ends_in_time_is_not_told() -> None:
    x = there(200)
    x[100:110, 4] = np.nan
    assert silences(x) == []


def test_infinite_and_absurd_readings_are_none() -> None:
    x = there(200)
    x[100:120, 4], x[120:140, 4] = np.inf, 1e300
    assert told(silences(x))[0][:2] == (110, "shipping")


def test_variables_of_one_entity_that_fall_silent_together_are_one_finding() -> None:
    x = there(200)
    x[100:, 2:4] = np.nan
    assert told(silences(x)) == [(110, "db", ("db.cpu", "db.memory"), "silent")]


def test_a_system_below_its_quorum_is_one_finding_and_lists_who_is_missing() -> None:
    x = there(200)
    x[100:150, :4] = np.nan
    assert told(silences(x)) == [(110, None, NAMES[:4], "silent"), (150, None, NAMES[:4], "back")]


def test_a_system_that_goes_on_without_those_gone_is_judged_again() -> None:
    x = there(900)
    x[100:, :4] = np.nan
    found = told(silences(x))
    assert found[0] == (110, None, NAMES[:4], "silent")
    assert [(entity, variables, state) for _, entity, variables, state in found[1:]] == [(None, (), "back")]


def test_a_variable_of_every_60th_row_is_silent_after_three_times_its_usual_gap() -> None:
    x = there(6_000)
    x[np.arange(6_000) % 60 != 0, 4] = np.nan
    x[3_001:, 4] = np.nan
    (fell,) = silences(x)
    assert 3_000 + 175 < fell.row <= 3_000 + 178
    assert (fell.since, round(fell.usual_gap_rows)) == (3_000 * MINUTE, 59)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.95])
def test_what_comes_at_random_is_no_silence(share: float) -> None:
    rng = np.random.default_rng(6)
    x = np.where(rng.random((20_000, 4)) < share, 1.0, np.nan)
    x = np.column_stack([x, np.ones(len(x))])
    found = [s for s in silences(x) if s.entity is not None]
    assert len(found) <= 4  # of 4 variables in 20,000 rows, silent and back


def test_a_variable_seen_too_seldom_is_no_regular_one() -> None:
    x = there(200)
    x[49:, 4] = np.nan
    assert silences(x) == []
    assert told(silences(x, SilenceSettings(regular_readings=49)))[0][0] == 49 + 10


def test_a_silence_that_recurs_is_told_a_few_times_and_is_usual_then() -> None:
    x = there(3_000)
    x[np.arange(3_000) % 60 >= 30, 4] = np.nan
    assert 1 <= sum(s.state == "silent" for s in silences(x)) <= 4


def test_a_rare_outage_is_told_again_days_later() -> None:
    x = there(9_000)
    x[1_000:1_030, 4] = np.nan
    x[8_000:8_030, 4] = np.nan
    assert [s.row for s in silences(x) if s.state == "silent"] == [1_010, 8_010]


def counting(rows: int = 600) -> FloatArray:
    """The last variable counts, three a row; the one before it, too, once in five rows."""
    rng, x = np.random.default_rng(5), there(rows)
    x[:, 4] = np.cumsum(rng.poisson(3.0, rows))
    x[:, 3] = np.cumsum(rng.random(rows) < 0.25)
    return x


def test_a_counter_that_stops_rising_has_stalled() -> None:
    x = counting()
    x[400:450, 4] = x[399, 4]
    found = [s for s in silences(x) if s.reason == "stalled"]
    assert told(found) == [(410, "shipping", ("shipping",), "silent"), (450, "shipping", ("shipping",), "back")]
    assert found[0].since == 399 * MINUTE and found[0].usual_gap_rows < 3
    assert silences(counting()) == []


def test_a_counter_that_is_missing_or_starts_anew_has_not_stalled() -> None:
    x = counting()
    x[400:450, 4] = np.nan
    x[500:, 4] -= x[500, 4]
    assert {s.reason for s in silences(x)} == {"missing"}


def test_what_proves_to_be_no_counter_cannot_stall() -> None:
    x = there(700)
    x[:, 4] = np.concatenate([np.arange(300.0), 300 - np.arange(300.0), np.zeros(100)])
    assert silences(x) == []


class SlowSilence:
    """One variable, by the words of the module."""

    def __init__(self) -> None:
        self.readings, self.missing, self.is_silent = 0, 0, False
        self.gaps: list[float] = [0.0, 0.0]

    def follow(self, is_there: bool) -> str:
        limit = max(10.0, 3.0 * sorted(self.gaps)[-2])
        if not is_there:
            self.missing += 1
            if self.is_silent or self.readings < 50 or self.missing <= limit:
                return ""
            self.is_silent = True
            return "silent"
        said = "back" if self.is_silent else ""
        if self.readings:
            self.gaps = [0.999 * gap for gap in self.gaps] + [min(self.missing, limit)]
        self.readings, self.missing, self.is_silent = self.readings + 1, 0, False
        return said


def test_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(7)
    x = there(9_000, 3)
    share = np.repeat(rng.choice([0.0, 0.05, 0.5, 1.0], 180), 50)
    x[rng.random(9_000) > share, 0] = np.nan
    twin = SlowSilence()
    slow = [(t, said) for t in range(9_000) if (said := twin.follow(bool(np.isfinite(x[t, 0]))))]
    assert [(s.row, s.state) for s in silences(x)] == slow and len(slow) > 4


def outages() -> FloatArray:
    x = counting(1_300)
    x[700:760, 4] = x[699, 4]
    x[300:350, 2:4], x[500:620, :4], x[1_200:, 0] = np.nan, np.nan, np.nan
    return x


def watch(x: FloatArray, rows: int, settings: MonitorSettings = VOTE_ONLY) -> list[Findings]:
    """Found by monitors that hand their state on after each block."""
    found, monitor = [], Monitor(NAMES, settings)
    for start in range(0, len(x), rows):
        state, monitor = monitor.state(), Monitor(NAMES, settings)
        monitor.load_state(state)
        stop = min(start + rows, len(x))
        found.append(monitor.step(Block(np.arange(start, stop), x[start:stop])))
    return found


def test_any_cut_and_a_restore_give_the_same_silences() -> None:
    whole = watch(outages(), 2_000)[0].silences
    assert len(whole) == 7 and {s.reason for s in whole} == {"missing", "stalled"}
    for rows in (7, 101):
        assert [s for found in watch(outages(), rows) for s in found.silences] == whole


def test_scores_and_verdicts_do_not_depend_on_it() -> None:
    off = MonitorSettings(causes=CausesSettings(enabled=False), silence=SilenceSettings(enabled=False))
    (one,), (other,) = watch(outages(), 2_000), watch(outages(), 2_000, off)
    assert other.silences == []
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.variable_scores, other.variable_scores)
    assert one.details == other.details


def test_impossible_options_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="factor must be at least 1"):
        SilenceSettings(factor=0.5)
    with pytest.raises(ValueError, match="regular_readings must be at least 1"):
        SilenceSettings(regular_readings=0)
