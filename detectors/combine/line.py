"""The damped line of the combined score: it rises a little while a system is restless, and never by more than half.

    line = clip(exp(.3 (a - c)), 1, 1.25) + min(.04 max(0, x - 3), .25)

a and c follow the .8 quantile of the log score over some 2,000 and 30,000 rows; x is a leaky bucket that each alert's
onset fills by 1. It is bounded damping, not a promised rate of alerts: on real systems a line that promises a rate
treats incidents as noise, and an attack of anomalies must not buy silence. One onset moves the line by 4 % at most.

A user may set a budget of alerts all the same. The line is then multiplied by exp(b), and after every judged row

    b <- clip(b + budget_step (1 if an alert began else 0 - budget_per_1000_rows / 1000), -ln 2, ln budget_limit)

so that as long as b is within its bounds the alerts of n rows differ from the budget by at most ln(budget_limit) /
budget_step, whatever the rows are: the sum telescopes (adaptive conformal inference, Gibbs and Candes 2021, whose
control is of the error rate; the log, the bounds and the count of alerts in place of rows are ours). What it costs:
real systems have their incidents in bursts, which raise the line for what comes next, and quiet ones get alerts that
the budget had room for. README has it measured.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray, State

QUANTILE = 0.8

LOWEST = 0.5  # of the undamped line, to which a budget may lower it

Options: TypeAlias = tuple[float, float, float, float, float, float, float, float, int, float, float, float]


@dataclass(frozen=True, slots=True)
class LineSettings:
    """damped: False keeps the line at 1.0.

    fast_rows, slow_rows: how far back the two quantiles look.
    drift: the exponent of their difference; drift_limit: the most it raises the line to.
    bucket_free, bucket_step, bucket_limit, bucket_leak: onsets that cost nothing, what each further one raises the
    line by, the most all raise it by, and what leaks a row.
    excursion_rows: rows of one excursion that the quantiles take in; it ends after as many quiet rows.
    budget_per_1000_rows: excursions over the line, so many for 1,000 rows judged, that the line is to keep to; None: as
        many as there are. (An alert a day at one row a minute: 1000 / 1440 = .69.)
    budget_step: what one alert raises the line by, as a share. budget_limit: the most the budget raises it to; it
        lowers it to half at most.
    """

    damped: bool = True
    fast_rows: int = 2_000
    slow_rows: int = 30_000
    drift: float = 0.3
    drift_limit: float = 1.25
    bucket_free: float = 3.0
    bucket_step: float = 0.04
    bucket_limit: float = 0.25
    bucket_leak: float = 0.004
    excursion_rows: int = 10
    budget_per_1000_rows: float | None = None
    budget_step: float = 0.1
    budget_limit: float = 4.0

    def __post_init__(self) -> None:
        if self.drift_limit < 1:
            raise ValueError(f"drift_limit must be at least 1.0, got {self.drift_limit}")
        if not 0 < self.fast_rows <= self.slow_rows:
            raise ValueError(f"fast_rows must be from 1 to slow_rows={self.slow_rows}, got {self.fast_rows}")
        if self.budget_per_1000_rows is not None and not 0 < self.budget_per_1000_rows <= 100:
            raise ValueError(
                f"budget_per_1000_rows must be above 0 and at most 100, or null, got {self.budget_per_1000_rows}"
            )
        if not 0 < self.budget_step <= 1:
            raise ValueError(f"budget_step must be above 0 and at most 1, got {self.budget_step}")
        if self.budget_limit < 1:
            raise ValueError(f"budget_limit must be at least 1.0, got {self.budget_limit}")


class Line:
    """Follows the combined score, row by row, by :func:`hold`. Cost: some 30 ns a row.

    levels: fast quantile, slow quantile, bucket, log of the budget's factor.
    counts: rows taken in, rows of the open excursion, quiet rows since, alerts begun, rows judged.
    """

    def __init__(self, settings: LineSettings) -> None:
        self.levels = np.zeros(4)
        self.counts = np.zeros(5, dtype=np.int64)
        self.set(settings)

    def set(self, settings: LineSettings) -> None:
        """Other settings from the next row on; what was followed stays. Without a budget nothing is left of one."""
        s = settings
        drift = (s.drift if s.damped else 0.0, s.drift_limit, 1.0 / s.fast_rows, 1.0 / s.slow_rows)
        bucket = (s.bucket_free, s.bucket_step if s.damped else 0.0, s.bucket_limit, s.bucket_leak)
        budget = ((s.budget_per_1000_rows or 0.0) / 1000.0, s.budget_step, float(np.log(s.budget_limit)))
        self.options: Options = (*drift, *bucket, s.excursion_rows, *budget)
        self._forget_budget()

    @property
    def height(self) -> float:
        """What the next row's score is held against."""
        return float(height(self.levels, self.options))

    @property
    def alerts(self) -> int:
        """Excursions over the line that have begun."""
        return int(self.counts[3])

    @property
    def judged(self) -> int:
        """Rows judged."""
        return int(self.counts[4])

    def state(self) -> State:
        return {"levels": self.levels.copy(), "counts": self.counts.copy()}

    def load_state(self, state: State) -> None:
        """Of a line with any settings."""
        self.levels[:], self.counts[:] = state["levels"], state["counts"]
        self._forget_budget()

    def _forget_budget(self) -> None:
        if self.options[9] == 0.0:
            self.levels[3] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def height(levels: FloatArray, options: Options) -> float:
    """The line as it stands."""
    drift, drift_limit, _, _, free, step, limit, _, _, _, _, _ = options
    line = min(max(np.exp(drift * (levels[0] - levels[1])), 1.0), drift_limit)
    line += min(step * max(0.0, levels[2] - free), limit)
    return float(line * np.exp(levels[3]))


@njit(cache=True, nogil=True, error_model="numpy")
def hold(score: float, judged: bool, levels: FloatArray, counts: IntArray, options: Options) -> tuple[float, int]:
    """The line this row's score is held against, and the row's place in an excursion, from 1 (0: in none).

    A row that is not judged (warming, or too little of it there) only lets the bucket leak.
    """
    _, _, fast, slow, _, _, _, leak, excursion, budget, budget_step, budget_limit = options
    line = height(levels, options)
    levels[2] = max(0.0, levels[2] - leak)
    if not judged:
        return line, 0
    begins = score > line and counts[1] == 0
    counts[3] += begins
    counts[4] += 1
    if budget > 0.0:
        levels[3] = min(max(levels[3] + budget_step * (begins - budget), np.log(LOWEST)), budget_limit)
    levels[2] += begins
    counts[2] = 0 if score > line else counts[2] + 1
    if counts[2] > excursion:
        counts[1] = 0
    elif score > line or counts[1] > 0:
        counts[1] += 1
    if counts[1] <= excursion:
        counts[0] += 1
        level = np.log(max(score, 1e-6))
        _track(levels, 0, level, max(fast, 1.0 / counts[0]))
        _track(levels, 1, level, max(slow, 1.0 / counts[0]))
    return line, counts[1]


@njit(cache=True, nogil=True, error_model="numpy")
def _track(levels: FloatArray, i: int, level: float, rate: float) -> None:
    """One step of the stochastic quantile. 1.5: a step's size, for log scores that spread by some .5."""
    levels[i] += 1.5 * rate * ((level > levels[i]) - (1.0 - QUANTILE))
