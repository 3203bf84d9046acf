"""A trigger on single variables, each by itself and given the others, calibrated on the system's own past.

Prequential: every row is judged by a model of quiet rows before it, and what the model said of rows it had not seen
gives the lines and the threshold. It sees a step in 1 of 100 variables within a few rows, and is slow on a drift that
the refits follow. All of it ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.block import FloatArray, IntArray, State
from detectors.causes.change_kernel import (
    FIRST_FIT,
    FITTED,
    KNOWN,
    LEARNED,
    LEFT_OUT,
    Options,
    empty_carry,
    follow,
    take_up,
)
from detectors.causes.conditional import Conditional, fit_conditional
from detectors.causes.deviation import Baseline, fit_baseline, peer_groups, standardise
from detectors.causes.exceedance import HORIZONS, fit_lines, past_statistics
from detectors.causes.peaks import alarm_threshold
from detectors.causes.ring import Ring
from detectors.causes.settings import CausesSettings
from detectors.causes.signals import Fit
from detectors.findings import Trigger

NEWER, FEWEST_NEWER = 0.5, 240  # of the judged rows, at least so many: older ones were judged by poorer models
ARMED_ROWS, ARMED_FACTOR = 120, 2  # calibrated from so many judged rows, and so many times D, on
RIDGE, RIDGE_PER_WEIGHT = 0.3, 3.0  # of the conditional model: stronger than for a ranking, a false alarm costs more
SCALE_FLOOR = 0.3  # of a residual


@dataclass(frozen=True, slots=True)
class Model:
    """What a refit leaves: scale, residual weights, lines (3, 2 D), and the threshold (None: not calibrated)."""

    baseline: Baseline
    conditional: Conditional
    lines: FloatArray
    threshold: float | None


class ChangeTrigger:
    """Rows in, a trigger where the statistic passes its threshold and the change is a new one.

    Calibrated to settings.change.rows_per_false_alarm from max(120, 2 D) judged rows on; before that by
    prior_threshold and the highest statistic so far, up to what is beyond chance in any system. Lines and threshold are
    drawn from the newer half of the judged rows. The rows of a held change are not learned until it has lasted
    min(accept_rows, half of the quiet past); before the calibration only those beyond chance are left out, a quarter of
    the rows learned at most: a system may begin in the midst of faults. What is held fades, so that what comes back is
    news. A missing reading (NaN) deviates by nothing. Cost: O(D^2) a row, a refit O(N D^2 + D^3) every 12 to 24 % of
    the past; memory O(history_rows D + D^2).
    """

    name: ClassVar[str] = "change"

    def __init__(self, variables: Sequence[str], settings: CausesSettings) -> None:
        if settings.change.rows_per_false_alarm < 1:
            raise ValueError(f"rows_per_false_alarm must be 1 or more, got {settings.change.rows_per_false_alarm}")
        count, change = len(variables), settings.change
        self._settings = settings
        self._groups = peer_groups(variables)
        self._history = Ring(settings.history_rows, count)
        self._judged = Ring(settings.history_rows, 2 * count, dtype=np.float32)
        self._carry = empty_carry(count)
        decay = 1.0 / change.rows_per_false_alarm
        self._options: Options = (
            float(change.prior_threshold),
            float(change.cap),
            settings.accept_rows,
            decay,
            settings.history_rows,
        )
        self._model: Model | None = None
        self._fit, self._threshold = _no_fit(count), np.nan  # the model's, for the row machine

    def follow(self, rows: FloatArray, times: IntArray, first: int) -> list[Trigger]:
        found, taken = [], 0
        while taken < len(rows):
            past = self._history.arrays, self._judged.arrays
            until, fired, is_due, statistic, limit, calibrated = follow(
                rows, taken, self._fit, self._threshold, past, self._carry, self._options
            )
            if until == taken:  # for want of room
                self._history.make_room()
                self._judged.make_room()
            if fired:
                last = until - 1
                found.append(Trigger(int(times[last]), first + last, self.name, statistic, limit, calibrated))
            if is_due:
                self._refit()
            taken = until
        return found

    def _refit(self) -> None:
        self._carry.counts[FITTED] = self._carry.counts[LEARNED]
        self._take_up(fit_model(self._history.rows(), self._judged.rows(), self._groups, self._settings))

    def _take_up(self, model: Model) -> None:
        """Judge by this model from now on, as if it had judged the last rows too."""
        self._model, base = model, model.baseline
        self._fit = base.center, base.scale, base.frozen, model.conditional.weights, model.lines
        self._threshold = np.nan if model.threshold is None else model.threshold
        take_up(self._fit, self._carry)

    def state(self) -> State:
        carry = self._carry
        learned, fitted, held_rows, oldest, waiting, recent, _, left_out = carry.counts.tolist()
        state: State = {
            "history": self._history.rows().copy(),
            "judged": self._judged.rows().copy(),
            "recent": _in_order(carry.recent, recent - len(carry.recent), recent),
            "waiting": _in_order(carry.waiting, oldest, oldest + waiting),
            "held": carry.held.copy(),
            "counts": np.array([learned, fitted, held_rows, int(self._model is not None), left_out], dtype=np.int64),
            "record": carry.levels.copy(),
        }
        return state | (_state_of(self._model) if self._model is not None else {})

    def load_state(self, state: State) -> None:
        carry, waiting, recent = self._carry, len(state["waiting"]), len(state["recent"])
        self._history.load(state["history"])
        self._judged.load(state["judged"])
        carry.recent[:recent], carry.waiting[:waiting] = state["recent"], state["waiting"]
        carry.held[:], carry.levels[:] = state["held"], state["record"]
        learned, fitted, held_rows, has_model, *left_out = state["counts"].tolist()  # states of old have four
        carry.counts[:KNOWN] = learned, fitted, held_rows, 0, waiting, recent
        carry.counts[LEFT_OUT] = sum(left_out)
        self._model = None
        if has_model:
            self._take_up(_model_of(state))


def fit_model(rows: FloatArray, past: NDArray[Any], groups: IntArray, settings: CausesSettings) -> Model:
    """The model of quiet rows (N, D) and of the signals (M, 2 D) of those that a model before it judged.

    Lines and threshold are drawn from the newer half of these. O(N D^2 + D^3).
    """
    baseline = fit_baseline(rows, groups, peer_floor=settings.evidence.peer_floor, level_share=np.inf)
    conditional = fit_conditional(
        standardise(rows, baseline), lags=1, ridge=RIDGE, ridge_per_weight=RIDGE_PER_WEIGHT, floor=SCALE_FLOOR
    )
    newer = past[-max(int(NEWER * len(past)), FEWEST_NEWER) :]
    lines = fit_lines(newer) if len(newer) >= FIRST_FIT else np.full((len(HORIZONS), past.shape[1]), np.inf)
    is_armed = len(past) >= max(ARMED_ROWS, ARMED_FACTOR * rows.shape[1])
    return Model(baseline, conditional, lines, _threshold(newer, lines, settings) if is_armed else None)


def _threshold(past: NDArray[Any], lines: FloatArray, settings: CausesSettings) -> float | None:
    """That keeps the promise on the past (M, 2 D); None: it has too few peaks."""
    statistics = past_statistics(past, lines, settings.change.cap)
    return alarm_threshold(statistics, rows_per_alarm=settings.change.rows_per_false_alarm)


def _in_order(going_round: FloatArray, start: int, stop: int) -> FloatArray:
    """Its rows from number start to stop, none of them negative; each stands at its number modulo their count."""
    return going_round[np.arange(max(0, start), stop) % len(going_round)]


def _no_fit(variables: int) -> Fit:
    """Arrays of a fit's shapes and types, of which nothing is read."""
    zeros = np.zeros(variables)
    none = np.zeros(variables, dtype=np.bool_)
    return zeros, zeros, none, np.zeros((2 * variables, variables)), np.zeros((len(HORIZONS), 2 * variables))


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
