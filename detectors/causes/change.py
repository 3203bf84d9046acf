"""A trigger on single variables, each by itself and given the others, calibrated on the system's own past.

Prequential: every row is judged by a model of quiet rows before it, and what the model said of rows it had not seen
gives the lines and the threshold. It sees a step in 1 of 100 variables within a few rows, and is slow on a drift that
the refits follow. All of it ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detectors.block import FloatArray, State
from detectors.causes.conditional import Conditional, fit_conditional
from detectors.causes.deviation import Baseline, fit_baseline, peer_groups, standardise
from detectors.causes.exceedance import HORIZONS, fit_lines, past_statistics, running_totals, sum_of_largest
from detectors.causes.peaks import alarm_threshold
from detectors.causes.ring import Ring
from detectors.causes.settings import CausesSettings
from detectors.causes.signals import Signals, all_finite
from detectors.findings import Trigger

FIRST_FIT = 20  # quiet rows
REFIT = 0.12  # of the quiet rows known, up to twice that for a full past: refits are rare where they matter little
OWN_PAST = 30  # rows a model judged, before a line means anything
ARMED_ROWS, ARMED_FACTOR = 120, 2  # calibrated from so many judged rows, and so many times D, on
RECORD = 0.9  # until then, an alarm must nearly beat all rows before it
BEYOND_CHANCE = 4.5  # or this: three variables at some ten times their lines; a fault is no record for the next one
LATENCY = 3  # rows a row waits before it is learned: an alarm takes back the last ones
FELL = 0.6  # of the threshold: below, the change is over
RAISE = 0.2  # of the threshold, for each alarm more than promised
RIDGE, RIDGE_PER_WEIGHT = 0.3, 3.0  # of the conditional model: stronger than for a ranking, a false alarm costs more
SCALE_FLOOR = 0.3  # of a residual
PATIENCE = 0.5  # of the quiet rows known, at most accept_rows: a change held longer is learned


@dataclass(frozen=True, slots=True)
class Model:
    """What a refit leaves: scale, residual weights, lines (3, 2 D), and the threshold (None: not calibrated)."""

    baseline: Baseline
    conditional: Conditional
    lines: FloatArray
    threshold: float | None


class ChangeTrigger:
    """Row in, a trigger where the statistic passes its threshold and the change is a new one.

    Calibrated to settings.change.rows_per_false_alarm from max(120, 2 D) judged rows on; before that by
    prior_threshold and the highest statistic so far, up to what is beyond chance in any system. The rows of a held
    change are not learned until it has lasted min(accept_rows, half of the quiet past). A missing reading (NaN)
    deviates by nothing. Cost: O(D^2) a row, a refit O(N D^2 + D^3) every 12 to 24 % of the past; memory
    O(history_rows D + D^2).
    """

    name: ClassVar[str] = "change"

    def __init__(self, variables: Sequence[str], settings: CausesSettings) -> None:
        if settings.change.rows_per_false_alarm < 1:
            raise ValueError(f"rows_per_false_alarm must be 1 or more, got {settings.change.rows_per_false_alarm}")
        count = len(variables)
        self._settings = settings
        self._groups = peer_groups(variables)
        self._history = Ring(settings.history_rows, count)
        self._judged = Ring(settings.history_rows, 2 * count, dtype=np.float32)
        self._recent = Ring(HORIZONS[-1] + 1, count)  # the last rows, whatever they are
        self._waiting: list[FloatArray] = []  # rows not yet learned, with their signals (3 D,) (NaN: not judged)
        self._held = np.zeros(count)  # profile of the change that is on; zeros: none
        self._not_judged = np.full(2 * count, np.nan)
        self._nothing = np.zeros(count)
        self._model: Model | None = None
        self._signals: Signals | None = None  # of the last rows, by the model
        self._learned = self._fitted = self._held_rows = 0
        self._record = 0.0
        self._surplus = 0.0  # alarms more than promised: 1 an alarm, less rows / rows_per_false_alarm, at least 0

    def step(self, row: FloatArray, time: int, number: int) -> Trigger | None:
        self._recent.append(row)
        seen, statistic, shape = self._judge(row)
        limit, calibrated = self._limit()
        fired = self._is_new(statistic, shape, limit)
        self._surplus = max(0.0, self._surplus - 1.0 / self._settings.change.rows_per_false_alarm) + fired
        if fired and calibrated:
            self._waiting.clear()
        if not calibrated and len(self._judged) >= OWN_PAST:
            self._record = max(self._record, statistic)
        self._hold(fired, statistic, shape, limit)
        if not self._held_rows or not calibrated or self._held_rows > self._patience():
            self._wait(np.concatenate([row, seen]))
        self._refit_if_due()
        return Trigger(time, number, self.name, statistic, limit, calibrated) if fired else None

    def _judge(self, row: FloatArray) -> tuple[FloatArray, float, FloatArray]:
        """Signals (2 D,), statistic and profile (D,) of the newest row."""
        if self._signals is None:
            return self._not_judged, 0.0, self._nothing
        statistic, shape = self._signals.follow(row)
        return self._signals.newest, statistic, shape

    def _take_up(self, model: Model) -> None:
        """Judge by this model from now on, as if it had judged the last rows too."""
        self._model = model
        self._signals = Signals(model.baseline, model.conditional, model.lines, self._settings.change.cap)
        for row in self._recent.rows():
            self._signals.follow(row)

    def _limit(self) -> tuple[float, bool]:
        if self._model is None or len(self._judged) < OWN_PAST:
            return np.inf, False
        if self._model.threshold is not None:
            return self._model.threshold * (1.0 + RAISE * max(0.0, self._surplus - 1.0)), True
        return max(self._settings.change.prior_threshold, min(RECORD * self._record, BEYOND_CHANCE)), False

    def _is_new(self, statistic: float, shape: FloatArray, limit: float) -> bool:
        """Nothing was on, or what came on top of it passes the threshold by itself."""
        if statistic < limit or statistic <= 0.0:
            return False
        if 0 < self._held_rows <= HORIZONS[-1]:  # the moving sums still fill
            return False
        return bool(sum_of_largest(np.maximum(shape - self._held, 0.0)) >= limit)

    def _hold(self, fired: bool, statistic: float, shape: FloatArray, limit: float) -> None:
        """Remember the change that is on, so that it fires once, until it is over."""
        if fired:
            self._held, self._held_rows = shape, 1
        elif self._held_rows and statistic < FELL * limit:
            self._held, self._held_rows = np.zeros_like(shape), 0
        elif self._held_rows:
            self._held = np.maximum(self._held, shape) if statistic >= limit else self._held
            self._held_rows += 1

    def _patience(self) -> float:
        return min(self._settings.accept_rows, PATIENCE * self._learned)

    def _wait(self, row_and_signals: FloatArray) -> None:
        self._waiting.append(row_and_signals)
        if len(self._waiting) <= LATENCY:
            return
        count, oldest = len(self._held), self._waiting.pop(0)
        self._history.append(oldest[:count])
        self._learned += 1
        if all_finite(oldest[count:]):
            self._judged.append(oldest[count:])

    def _refit_if_due(self) -> None:
        full = self._settings.history_rows
        known = min(self._fitted, full)
        rest = REFIT * known * (1.0 + known / full)
        if self._learned < FIRST_FIT or (self._fitted and self._learned - self._fitted < rest):
            return
        self._fitted = self._learned
        evidence = self._settings.evidence
        rows = self._history.rows()
        baseline = fit_baseline(rows, self._groups, peer_floor=evidence.peer_floor, level_share=np.inf)
        deviations = standardise(rows, baseline)
        conditional = fit_conditional(
            deviations, lags=1, ridge=RIDGE, ridge_per_weight=RIDGE_PER_WEIGHT, floor=SCALE_FLOOR
        )
        past = self._judged.rows().astype(np.float64)
        totals = running_totals(past)
        lines = fit_lines(totals) if len(past) >= FIRST_FIT else self._no_lines()
        self._take_up(Model(baseline, conditional, lines, self._threshold(totals, lines)))

    def _no_lines(self) -> FloatArray:
        return np.full((len(HORIZONS), 2 * len(self._held)), np.inf)

    def _threshold(self, totals: FloatArray, lines: FloatArray) -> float | None:
        if len(self._judged) < max(ARMED_ROWS, ARMED_FACTOR * len(self._held)):
            return None
        change = self._settings.change
        statistics = past_statistics(totals, lines, change.cap)
        return alarm_threshold(statistics, rows_per_alarm=change.rows_per_false_alarm)

    def state(self) -> State:
        counts = [self._learned, self._fitted, self._held_rows, int(self._model is not None)]
        state: State = {
            "history": self._history.rows().copy(),
            "judged": self._judged.rows().copy(),
            "recent": self._recent.rows().copy(),
            "waiting": np.array(self._waiting).reshape(-1, 3 * len(self._held)),
            "held": self._held.copy(),
            "counts": np.array(counts, dtype=np.int64),
            "record": np.array([self._record, self._surplus]),
        }
        return state | (_state_of(self._model) if self._model is not None else {})

    def load_state(self, state: State) -> None:
        self._history.load(state["history"])
        self._judged.load(state["judged"])
        self._recent.load(state["recent"])
        self._waiting = list(np.array(state["waiting"]))
        self._held = np.array(state["held"])
        self._record, self._surplus = state["record"].tolist()
        self._learned, self._fitted, self._held_rows, fitted = state["counts"].tolist()
        self._model = self._signals = None
        if fitted:
            self._take_up(_model_of(state))


def _state_of(model: Model) -> State:
    base = model.baseline
    return {
        "center": base.center.copy(),
        "scale": base.scale.copy(),
        "kinds": np.array([base.constant, base.frozen]),
        "weights": model.conditional.weights.copy(),
        "lines": model.lines.copy(),
        "threshold": np.array(np.nan if model.threshold is None else model.threshold),
    }


def _model_of(state: State) -> Model:
    constant, frozen = np.array(state["kinds"])
    baseline = Baseline(np.array(state["center"]), np.array(state["scale"]), constant, frozen)
    threshold = float(state["threshold"])
    conditional = Conditional(np.array(state["weights"]))
    return Model(baseline, conditional, np.array(state["lines"]), None if np.isnan(threshold) else threshold)
