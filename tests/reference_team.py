"""Slow and obvious twins of the default team: one variable, one entry, one score at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference import slow_muting

from detectors.block import Rows
from detectors.combine.attribution import Attribution, attribute
from detectors.combine.calibration import Calibration, CalibrationSettings
from detectors.combine.evidence import EvidenceSettings
from detectors.combine.muting import Muting, MutingSettings, follow
from detectors.online.protocol import Scores

Array = NDArray[np.float64]


def standardise(x: float, mean: float, sd: float) -> float:
    if sd == 0.0:
        return 8.0 * (float(x > mean) - float(x < mean))
    return min(max((x - mean) / sd, -8.0), 8.0)


@dataclass
class SlowScale:
    """Weighted mean and deviation of one variable, from all that was learned."""

    seen: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    largest: float = -math.inf

    def learn(self, x: float, weight: float) -> None:
        self.least, self.largest = min(self.least, x), max(self.largest, x)
        self.seen += weight
        old = self.mean
        self.mean += (x - old) * weight / self.seen
        self.squares += weight * (x - old) * (x - self.mean)
        if self.least == self.largest:
            self.seen = min(self.seen, 50.0)

    def fit(self) -> tuple[float, float]:
        if self.seen == 0.0:
            return 0.0, 0.0
        floor = max(0.01 * (self.largest - self.least), 1e-12 * abs(self.mean))
        return self.mean, max(math.sqrt(max(self.squares, 0.0) / self.seen), floor)


@dataclass
class SlowAverages:
    """The two moving averages of one variable."""

    fast: float = 0.0
    slow: float = 0.0

    def follow(self, x: float, present: bool, restart: bool) -> None:
        if restart:
            self.fast = self.slow = x
        elif present:
            self.fast += 0.1 * (x - self.fast)
            self.slow += 0.05 * (x - self.slow)


@dataclass
class SlowMemory:
    """Entries (row, features) by age; None where a feature was never seen."""

    slots: int
    horizon: float
    jitter: float
    entries: list[tuple[int, Array]] = field(default_factory=list)
    credit: float = 0.0
    made: int = 0

    def offer(self, row: int, weight: float, features: Array) -> None:
        self.credit += weight * min(1.0, max(self.slots / (row + 1), self.slots / self.horizon))
        if self.credit < self.made + (0.618034 * self.made + self.jitter) % 1.0:
            return
        self.made += 1
        if len(self.entries) == self.slots:
            del self.entries[self.victim(row)]
        self.entries.append((row, features))

    def victim(self, row: int) -> int:
        times = [time for time, _ in self.entries]

        def missed(i: int) -> float:
            gap = 2 * (times[1] - times[0]) if i == 0 else times[i + 1] - times[i - 1]
            return gap * math.exp((times[i] - row) / self.horizon)

        return min(range(len(times) - 1), key=missed)

    def release(self, number: int, ring: list[Array]) -> None:
        places = range(number % 10, len(self.entries), 10)
        for i, place in enumerate(places):
            self.entries[place] = (self.entries[place][0], ring[i * len(ring) // len(places)])


class SlowNeighbours:
    """Distances of four views of a row to a memory, all in float64."""

    def __init__(self, variables: int, slots: int, jitter: float, release_rows: int, ring_rows: int) -> None:
        self.scored = [SlowAverages() for _ in range(variables)]
        self.learned = [SlowAverages() for _ in range(variables)]
        self.scales = [SlowScale() for _ in range(variables)]
        self.steps = [[0.0, 0.0] for _ in range(variables)]  # weight seen, mean fourth power
        self.fits = [(0.0, 0.0, 0.0)] * variables
        self.memory = SlowMemory(slots, 100_000.0, jitter)
        self.ring: list[Array] = []
        self.held = self.releases = 0
        self.release_rows, self.ring_rows = release_rows, ring_rows
        self.ever = [False] * variables

    def views(self, j: int, fast: float, slow: float, level: float) -> list[float]:
        mean, sd, step = self.fits[j]
        return [standardise(v, mean, sd) for v in (fast, slow, level)] + [standardise(level - fast, 0.0, step)]

    def score(self, rows: Rows) -> tuple[Array, Array]:
        """(T, 4) distances: fast, slow, level, step; and (T, D) how far each variable is from its neighbours."""
        out, away = np.zeros((len(rows), 4)), np.zeros(rows.values.shape)
        for t, x in enumerate(rows.values.tolist()):
            query = np.zeros((4, len(x)))
            for j, average in enumerate(self.scored):
                average.follow(x[j], rows.present[t, j], rows.restart[t, j])
                query[:, j] = self.views(j, average.fast, average.slow, x[j])
            there = np.flatnonzero(rows.present[t])
            if len(there) and self.memory.entries:
                out[t], away[t, there] = self.nearest(query, there)
        return out, away

    def nearest(self, query: Array, there: NDArray[np.int64]) -> tuple[list[float], Array]:
        table = np.array([self.table(features) for _, features in self.memory.entries])  # (M, 4, D)
        k = max(1, round(0.02 * len(table)))
        means, best = [], np.zeros(0)
        for view in range(4):
            distances = np.sqrt(((query[view] - table[:, view])[:, there] ** 2).sum(axis=1))
            order = np.argsort(distances, kind="stable")[:k]
            means.append(float(distances[order].mean()) * math.sqrt(query.shape[1] / len(there)))
            if view == 0:
                best = np.abs(query[0] - table[order, 0].mean(axis=0))[there]
        return means, best

    def table(self, features: Array) -> Array:
        columns = features.T.tolist()
        return np.array([[0.0] * 4 if math.isnan(f[0]) else self.views(j, *f) for j, f in enumerate(columns)]).T

    def learn(self, rows: Rows, weights: Array) -> None:
        for t, (x, weight) in enumerate(zip(rows.values.tolist(), weights.tolist(), strict=True)):
            features = np.full((3, len(x)), np.nan)
            for j, average in enumerate(self.learned):
                if rows.renewed[t, j]:
                    self.forget(j)
                average.follow(x[j], rows.present[t, j], rows.restart[t, j])
                if rows.present[t, j] and weight > 0:
                    self.ever[j] = True
                    self.scales[j].learn(x[j], weight)
                    self.learn_step(self.steps[j], x[j] - average.fast, weight)
                if self.ever[j]:
                    features[:, j] = average.fast, average.slow, x[j] if rows.present[t, j] else average.fast
            self.hold(features, weight)
            self.memory.offer(rows.first + t, weight, features)
            self.refit(rows.first + t)

    def forget(self, j: int) -> None:
        for _, features in self.memory.entries:
            features[:, j] = np.nan
        for features in self.ring:
            features[:, j] = np.nan
        self.scales[j], self.steps[j], self.ever[j] = SlowScale(), [0.0, 0.0], False

    @staticmethod
    def learn_step(step: list[float], size: float, weight: float) -> None:
        size = abs(size)
        if step[0] >= 50.0 and step[1] > 0.0:
            size = min(size, 20 * step[1] ** 0.25)
        step[0] += weight
        step[1] += (size**4 - step[1]) * weight / step[0]
        if step[1] == 0.0:
            step[0] = min(step[0], 50.0)

    def hold(self, features: Array, weight: float) -> None:
        if weight >= 1.0:
            self.ring, self.held, self.releases = [], 0, 0
        elif weight > 0.0:
            self.ring = [*self.ring, features][-self.ring_rows :]
            self.held += 1
            if self.held % self.release_rows == 0:
                self.memory.release(self.releases, self.ring)
                self.releases += 1

    def refit(self, row: int) -> None:
        step = 1
        while step * 16 <= row and step * 2 <= 64:
            step *= 2
        if (row + 1) % step == 0:
            self.fits = [(*scale.fit(), step[1] ** 0.25) for scale, step in zip(self.scales, self.steps, strict=True)]


class SlowAutoregression:
    """RLS AR(3) of one variable, with matrices."""

    def __init__(self) -> None:
        self.theta, self.cov = np.array([0.0, 1.0, 0.0, 0.0]), 10.0 * np.eye(4)
        self.scale, self.fit = SlowScale(), (0.0, 0.0)
        self.weight = self.size = self.signed = 0.0
        self.lags, self.learned_lags = [0.0] * 3, [0.0] * 3

    def regressors(self, lags: list[float]) -> Array:
        return np.array([1.0, *(standardise(lag, *self.fit) for lag in lags)])

    def score(self, x: float, present: bool, restart: bool) -> tuple[float, float, float]:
        """Residual over its usual size, the signed average of them, and what was expected."""
        if restart:
            self.lags, self.signed = [x] * 3, 0.0
        predicted = float(np.clip(self.theta @ self.regressors(self.lags), -8.0, 8.0))
        residual = 0.0
        if present and not restart:
            usual = (self.size + 10.0) / (self.weight + 10.0)
            residual = float(np.clip((standardise(x, *self.fit) - predicted) / max(usual, 0.01), -20.0, 20.0))
        self.signed += 0.4 * (residual - self.signed)
        self.lags = [x, *self.lags[:2]]
        return residual, self.signed, self.fit[0] + predicted * self.fit[1]

    def learn(self, x: float, present: bool, restart: bool, weight: float) -> None:
        if present and weight > 0:
            self.scale.learn(x, weight)
        if restart:
            self.learned_lags = [x] * 3
        elif present and weight > 0 and self.fit[1] > 0:
            self.update(self.regressors(self.learned_lags), standardise(x, *self.fit), weight)
        self.learned_lags = [x, *self.learned_lags[:2]]

    def update(self, phi: Array, y: float, weight: float) -> None:
        error, keep = y - self.theta @ phi, 1.0 - weight / 33
        gain = self.cov @ phi
        self.theta = self.theta + gain * error * weight / (keep + weight * phi @ gain)
        self.cov = (self.cov - np.outer(gain, gain) * weight / (keep + weight * phi @ gain)) / keep
        np.fill_diagonal(self.cov, np.maximum(np.diag(self.cov), 1e-9))
        self.cov *= min(1.0, 40.0 / np.trace(self.cov))
        self.weight += weight
        self.size += weight * abs(error)


@dataclass
class SlowCalibration:
    """One scorer: its line is a quantile of the weighted scores it took in."""

    taken: list[tuple[float, float]] = field(default_factory=list)  # score, weight
    over: int = 0
    quiet: int = 0
    age: int = 0

    def judge(self, raw: float) -> float:
        score = 0.0
        if self.taken:
            score = min(raw / max(self.line(), 2.0**-20) / (1 + 100 / (self.age + 1)), 1000.0)
        self.age += 1
        self.quiet = 0 if score > 1.0 else self.quiet + 1
        self.over = 0 if self.quiet > 3 else self.over + (score > 1.0)
        if self.age > 10 and self.over <= min(15, max(2, int((1 - 0.99) * self.age))):
            self.taken.append((raw, (1 + 1e-5) ** len(self.taken)))
        return score

    def line(self) -> float:
        """The least score that at most 1 % of the weight lies above."""
        total, above = sum(weight for _, weight in self.taken), 0.0
        for score, weight in sorted(self.taken, reverse=True):
            above += weight
            if above > 0.01 * total:
                return score
        return 0.0


def slow_nearest(table: Array, query: Array, there: list[int], k: int) -> tuple[float, list[int]]:
    """Mean distance of a query (D,) to its k nearest of the rows of a table (M, D), float32, and which these are."""
    squares = []
    for row in table:
        total = np.float32(0.0)
        for j in there:
            total += (query[j] - row[j]) * (query[j] - row[j])
        squares.append(float(total))
    found = sorted(range(len(squares)), key=squares.__getitem__)[:k]
    mean = sum(math.sqrt(squares[m]) for m in found) / len(found)
    return mean * math.sqrt(len(query) / len(there)), found


@dataclass
class SlowBallot:
    """Of T rows: members (T, M) uncut and cut, others (T, N), inside variables (T, K, D), and who is muted."""

    uncut: Array
    members: Array
    others: Array
    variables: Array
    muted: NDArray[np.bool_]
    muted_inside: NDArray[np.bool_]


def slow_ballot(
    rows: Rows, detectors: Sequence[Any], scores: Sequence[Scores], voters: Sequence[str], muting: MutingSettings
) -> SlowBallot:
    """Step after step, a scorer at a time: calibrate, mute whoever votes alone, cut by the fresh evidence."""
    members, fresh, inside = {}, {}, []
    for d, said in zip(detectors, scores, strict=True):
        columns = [calibrated(x, rows.quorum, own=d.calibrated) for x in said.members.T]
        members[d.name] = np.array(columns).reshape(-1, len(rows)).T
        if said.fresh is not None:
            fresh[d.name] = calibrated(said.fresh, rows.quorum)
        if said.variables is not None:
            columns = zip(said.variables.T, rows.present.T, strict=True)
            inside.append(np.array([calibrated(x, there, own=d.calibrated, bits=3) for x, there in columns]).T)
    variables = np.stack(inside, axis=1)
    voting = [name for name in members if name in voters]
    over = np.stack([(members[name] > 1.0).any(axis=1) for name in voting], axis=1)
    lost = mutes(over[:, :, None], rows.quorum[:, None], muting)[:, :, 0]
    evidence = [EvidenceSettings().bound(name) * fresh[name] * ~lost[:, v] for v, name in enumerate(voting)]
    uncut = np.concatenate([members[name] for name in voting], axis=1)
    return SlowBallot(
        uncut,
        np.minimum(uncut, np.max(evidence, axis=0)[:, None]),
        np.concatenate([m for name, m in members.items() if name not in voters], axis=1),
        variables,
        np.repeat(lost, [members[name].shape[1] for name in voting], axis=1),
        mutes(variables > 1.0, rows.present, muting),
    )


def calibrated(raw: Array, valid: NDArray[np.bool_], *, own: bool = False, bits: int = 5) -> Array:
    """One scorer's (T,) scores, by a calibration of its own, unless it is calibrated already."""
    alone = Calibration(1, CalibrationSettings(), bits=bits).judge(raw[:, None], valid[:, None])[:, 0]
    return raw * valid if own else alone


def mutes(over: NDArray[np.bool_], valid: NDArray[np.bool_], muting: MutingSettings) -> NDArray[np.bool_]:
    if not muting.enabled:
        return np.zeros(over.shape, dtype=np.bool_)
    return slow_muting(over, valid, muting.window_rows, muting.mutes_at, muting.heard_at).astype(np.bool_)


def muted_in(over: NDArray[np.bool_], valid: NDArray[np.bool_], muting: Muting) -> NDArray[np.bool_]:
    """(T, G, C) who was muted in each row, by the rows before it; over: (T, G, C) over its line, valid: (T, C)."""
    out = np.zeros(over.shape, dtype=np.bool_)
    follow(over, valid, muting.mutes, out)
    return out


def guilt_of(raw: Array, places: Sequence[int], attribution: Attribution) -> Array:
    """(T, D) from raw scores (T, K, D) and the rows' places (T,) in excursions."""
    out = np.zeros((raw.shape[0], raw.shape[2]))
    for t, place in enumerate(places):
        attribute(raw[t], place, attribution.options, out[t])
    return out
