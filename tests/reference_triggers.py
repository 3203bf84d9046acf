"""Slow and obvious twins of the triggers and of what follows them, row by row: no kernels, no rings, no blocks."""

import math
from collections import deque
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_causes import LOUDEST

from detectors.block import Block, State
from detectors.causes import change_kernel as rules
from detectors.causes.causes import SUPERSEDED, Causes
from detectors.causes.change import Model, fit_model
from detectors.causes.deviation import peer_groups, standardise
from detectors.causes.exceedance import HORIZONS
from detectors.causes.history import CALM_ROWS
from detectors.causes.mssa import Base, fit_base
from detectors.causes.mssa_kernel import CLIP, RECORD
from detectors.causes.settings import CausesSettings, MssaSettings
from detectors.findings import Ranking, Trigger
from detectors.intake import believable

Array = NDArray[np.float64]


def plain_sum(x: Sequence[float]) -> float:
    """From the first on; Python's own sum corrects its rounding from 3.12 on."""
    return reduce(add, x, 0.0)


def equal_in_pieces(slow: Any, fast: Any, x: Array, sizes: Sequence[int]) -> int:
    """Assert that a fast trigger finds and keeps what its slow twin does, rows x taken in pieces of these sizes; how
    often it fired."""
    rng, at, fired = np.random.default_rng(0), 0, 0
    while at < len(x):
        rows = x[at : at + int(rng.choice(sizes))]
        times = np.arange(at, at + len(rows)) * 10
        expected = [t for i, row in enumerate(rows) if (t := slow.step(row, int(times[i]), at + i))]
        assert fast.follow(rows, times, at) == expected
        found = fast.state()
        for name, array in slow.state().items():
            np.testing.assert_array_equal(found[name], array, err_msg=f"{name} after row {at}")
        at, fired = at + len(rows), fired + len(expected)
    return fired


class SlowSignals:
    """The two signals of each variable by one model, and how far variables are over their lines."""

    def __init__(self, model: Model, cap: float) -> None:
        self.model, self.cap = model, cap
        self.before: Array | None = None
        self.signals: deque[Array] = deque(maxlen=HORIZONS[-1])

    def follow(self, row: Array) -> tuple[float, Array]:
        """The statistic and the profile (D,) of one more row (D,); of the first both are 0."""
        now, count, weights = standardise(row[None], self.model.baseline)[0], len(row), self.model.conditional.weights
        profile = np.zeros(count)
        if self.before is not None:
            residual = np.zeros(count)
            for k in range(count):
                residual += now[k] * weights[k] + self.before[k] * weights[count + k]
            self.signals.append(np.concatenate([now, residual]))
            profile = self.profile(count)
        self.before = now
        return plain_sum(sorted(profile.tolist())[-LOUDEST:]), profile

    def profile(self, count: int) -> Array:
        excess = [0.0] * count
        for line, span in zip(self.model.lines, HORIZONS, strict=True):
            if len(self.signals) < span:
                continue
            sums = sum(list(self.signals)[-span:], np.zeros(2 * count))
            for j, times in enumerate((np.abs(sums) / np.sqrt(span) / line).tolist()):
                if times > 1.0:
                    excess[j % count] = max(excess[j % count], min(math.log(times), self.cap))
        return np.sqrt(excess)


class SlowChange:
    """The change trigger."""

    name = "change"

    def __init__(self, variables: Sequence[str], settings: CausesSettings) -> None:
        self.settings, self.groups, self.count = settings, peer_groups(variables), len(variables)
        self.history: deque[Array] = deque(maxlen=settings.history_rows)
        self.judged: deque[NDArray[np.float32]] = deque(maxlen=settings.history_rows)
        self.recent: deque[Array] = deque(maxlen=HORIZONS[-1] + 1)
        self.waiting: list[Array] = []
        self.held = np.zeros(self.count)
        self.signals: SlowSignals | None = None
        self.learned = self.fitted = self.held_rows = self.left_out = 0
        self.record = self.surplus = 0.0

    def step(self, row: Array, time: int, number: int) -> Trigger | None:
        self.recent.append(row)
        seen, statistic, shape = np.full(2 * self.count, np.nan), 0.0, np.zeros(self.count)
        if self.signals is not None:
            statistic, shape = self.signals.follow(row)
            seen = self.signals.signals[-1]
        limit, calibrated = self.limit()
        fired = self.is_new(statistic, shape, limit)
        self.surplus = max(0.0, self.surplus - 1.0 / self.settings.change.rows_per_false_alarm) + fired
        may_leave = not calibrated and self.left_out < rules.STARTED_IN_FAULTS * self.learned
        if fired and (calibrated or (may_leave and statistic >= rules.BEYOND_CHANCE)):
            self.waiting.clear()
        is_record = not calibrated and not (may_leave and statistic >= rules.BEYOND_CHANCE)
        if is_record and len(self.judged) >= rules.OWN_PAST:
            self.record = max(self.record, statistic)
        self.hold(fired, statistic, shape, limit)
        patience = min(self.settings.accept_rows, rules.PATIENCE * self.learned)
        held = plain_sum(sorted(self.held.tolist())[-LOUDEST:])
        is_left_out = may_leave and self.held_rows > 0 and held >= rules.BEYOND_CHANCE
        self.left_out += is_left_out
        if not self.held_rows or not (calibrated or is_left_out) or self.held_rows > patience:
            self.wait(row, seen)
        self.refit_if_due()
        return Trigger(time, number, self.name, statistic, limit, calibrated) if fired else None

    def limit(self) -> tuple[float, bool]:
        if self.signals is None or len(self.judged) < rules.OWN_PAST:
            return math.inf, False
        threshold = self.signals.model.threshold
        if threshold is not None:
            return threshold * (1.0 + rules.RAISE * max(0.0, self.surplus - 1.0)), True
        prior = self.settings.change.prior_threshold
        return max(prior, min(rules.RECORD_SHARE * self.record, rules.BEYOND_CHANCE)), False

    def is_new(self, statistic: float, shape: Array, limit: float) -> bool:
        if statistic < limit or statistic <= 0.0 or 0 < self.held_rows <= HORIZONS[-1]:
            return False
        news = sorted(np.maximum(shape - self.held, 0.0).tolist())[-LOUDEST:]
        return plain_sum(news) >= limit

    def hold(self, fired: bool, statistic: float, shape: Array, limit: float) -> None:
        if fired:
            self.held, self.held_rows = shape, 1
        elif self.held_rows and statistic < rules.FELL * limit:
            self.held, self.held_rows = np.zeros(self.count), 0
        elif self.held_rows:
            faded = rules.FADE * self.held
            self.held = np.maximum(faded, shape) if statistic >= limit else faded
            self.held_rows += 1

    def wait(self, row: Array, seen: Array) -> None:
        self.waiting.append(np.concatenate([row, seen]))
        if len(self.waiting) <= rules.LATENCY:
            return
        oldest = self.waiting.pop(0)
        self.history.append(oldest[: self.count])
        self.learned += 1
        if np.isfinite(oldest[self.count :]).all():
            self.judged.append(oldest[self.count :].astype(np.float32))

    def refit_if_due(self) -> None:
        full = self.settings.history_rows
        known = min(self.fitted, full)
        rest = rules.REFIT * known * (1.0 + known / full)
        if self.learned < rules.FIRST_FIT or (self.fitted and self.learned - self.fitted < rest):
            return
        self.fitted = self.learned
        past = np.array(self.judged, dtype=np.float64).reshape(-1, 2 * self.count)
        model = fit_model(np.array(self.history), past, self.groups, self.settings)
        self.signals = SlowSignals(model, self.settings.change.cap)
        for row in self.recent:
            self.signals.follow(row)

    def state(self) -> State:
        """What the product's has beside the model."""
        counts = [self.learned, self.fitted, self.held_rows, int(self.signals is not None), self.left_out]
        return {
            "history": np.array(self.history).reshape(-1, self.count),
            "judged": np.array(self.judged, dtype=np.float32).reshape(-1, 2 * self.count),
            "recent": np.array(self.recent).reshape(-1, self.count),
            "waiting": np.array(self.waiting).reshape(-1, 3 * self.count),
            "held": self.held,
            "counts": np.array(counts),
            "record": np.array([self.record, self.surplus]),
        }


def slow_departure(vectors: Array, outside: Array) -> float:
    """(sum over the series of the norm of what lies outside)^2 of one lag vector a series (N, L)."""
    residual = vectors @ outside
    norms = [math.sqrt(pairwise_sum((row * row).tolist())) for row in residual]
    return pairwise_sum(norms) ** 2.0


def pairwise_sum(x: Sequence[float]) -> float:
    """As numpy adds a contiguous axis."""
    if len(x) > 128:
        half = len(x) // 2 // 8 * 8
        return pairwise_sum(x[:half]) + pairwise_sum(x[half:])
    whole = len(x) // 8 * 8
    total = 0.0
    if whole:
        a, b, c, d, e, f, g, h = (plain_sum(x[place:whole:8]) for place in range(8))
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for value in x[whole:]:
        total += value
    return total


class SlowMssa:
    """The mSSA trigger."""

    name = "mssa"

    def __init__(self, variables: int, settings: MssaSettings) -> None:
        self.settings, self.span, self.count = settings, settings.window * settings.columns, variables
        self.recent: deque[Array] = deque(maxlen=self.span)
        self.fitted = np.zeros((0, variables))
        self.base: Base | None = None
        self.cusum = self.record = 0.0
        self.since = 0

    def step(self, row: Array, time: int, number: int) -> Trigger | None:
        self.recent.append(row)
        if self.base is None:
            if len(self.recent) == self.span:
                self.rebase()
            return None
        self.since += 1
        last = np.array(self.recent)[-self.settings.window :]
        vectors = np.ascontiguousarray(np.clip(standardise(last, self.base.scale), -CLIP, CLIP).T)
        self.cusum = max(0.0, self.cusum + slow_departure(vectors, self.base.outside) - self.base.drift)
        limit = max(self.base.limit, RECORD * self.record if self.since > self.span else 0.0)
        if self.cusum >= limit:
            self.base = None
            self.recent.clear()
            return Trigger(time, number, self.name, self.cusum, limit, self.since > self.span)
        self.record = max(self.record, self.cusum)
        if self.settings.moving and self.since >= self.span:
            self.rebase()
        return None

    def rebase(self) -> None:
        self.fitted = np.array(self.recent)
        self.base = fit_base(self.fitted, self.settings)
        self.cusum = self.record = 0.0
        self.since = 0

    def state(self) -> State:
        return {
            "recent": np.array(self.recent).reshape(-1, self.count),
            "fitted": self.fitted,
            "numbers": np.array([self.cusum, self.record, float(self.since), float(self.base is not None)]),
        }


class SlowCauses(Causes):
    """The loop over rows around triggers, history and episodes; what an episode makes of its rows is the product's."""

    def __init__(self, variables: Sequence[str], settings: CausesSettings, **rest: Any) -> None:
        super().__init__(variables, settings, **rest)
        self.slow: list[Any] = [SlowChange(variables, settings)] if settings.change.enabled else []
        self.slow += [SlowMssa(len(variables), settings.mssa)] if settings.mssa.enabled else []
        self.unrest = 0

    def step(self, block: Block, verdicts: NDArray[np.bool_], _: Array) -> tuple[list[Trigger], list[Ranking]]:
        triggers, rankings = [], []
        values = believable(block.values)
        for time, row, verdict in zip(block.times.tolist(), values, verdicts.tolist(), strict=True):
            fired = [t for d in self.slow if (t := d.step(row, time, self._row)) is not None]
            triggers += fired
            if self._episode is not None and self._is_another(self._episode, fired):
                rankings.append(self._reviser.revise(self._episode, self._last_time, given_up=SUPERSEDED))
                self._episode = None
            self._open_if_due(row, time, bool(fired), verdict)
            if self._episode is not None:
                rankings += self._follow(self._episode, row, time)
            self.remember(row, time, bool(fired) or verdict)
            self._row, self._last_time = self._row + 1, time
        return triggers, rankings

    def remember(self, row: Array, time: int, active: bool) -> None:
        calm = 0 if active else self._history.calm + 1
        is_quiet = self._episode is None and calm >= CALM_ROWS
        self.unrest = 0 if is_quiet else self.unrest + 1
        known = self._history.state()
        if is_quiet or self.unrest > self.settings.accept_rows:
            known["history"] = np.concatenate([known["history"], row[None]])[-self.settings.history_rows :]
            known["times"] = np.concatenate([known["times"], [[time]]])[-self.settings.history_rows :]
        self._history.load_state({**known, "counts": np.array([calm, self.unrest])})
