"""Slow and obvious twins of the detectors of whole rows, principal and loda: dicts, lists, one projection at a time."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from reference_team import SlowScale, standardise

from detectors.block import Rows

Array = NDArray[np.float64]


class Smoothed:
    """The moving averages of all variables."""

    def __init__(self, variables: int, rate: float) -> None:
        self.rate, self.values = rate, [0.0] * variables

    def follow(self, rows: Rows, t: int) -> list[float]:
        for j, x in enumerate(rows.values[t].tolist()):
            if rows.restart[t, j]:
                self.values[j] = x
            elif rows.present[t, j]:
                self.values[j] += self.rate * (x - self.values[j])
        return list(self.values)


class Scales:
    """The scale of each of several columns, and the fit in use, which is renewed when a segment has been learned."""

    def __init__(self, columns: int) -> None:
        self.scales = [SlowScale() for _ in range(columns)]
        self.fit()

    def fit(self) -> None:
        self.fits = [scale.fit() for scale in self.scales]
        self.settled = [scale.seen >= 10.0 for scale in self.scales]

    def of(self, x: float, j: int) -> float:
        return standardise(x, *self.fits[j])

    def renew(self, j: int) -> None:
        self.scales[j], self.settled[j] = SlowScale(), False


class SlowPrincipal:
    """Each component is its variance (length) and direction (unit vector)."""

    def __init__(self, variables: int, *, components: int, rate: float, memory_rows: int) -> None:
        self.scored, self.learned, self.scales = Smoothed(variables, rate), Smoothed(variables, rate), Scales(variables)
        self.components: list[Array] = []
        self.most, self.memory_rows, self.seen = min(components, variables // 2), memory_rows, 0.0

    def standardised(self, row: list[float]) -> Array:
        return np.array([self.scales.of(x, j) if self.scales.settled[j] else 0.0 for j, x in enumerate(row)])

    def residual(self, row: Array) -> Array:
        for v in self.components:
            unit = v / np.linalg.norm(v)
            row = row - (row @ unit) * unit
        return row

    def score(self, rows: Rows) -> tuple[Array, Array, Array]:
        """(T, 2) norms of the residuals of the smoothed rows and of the rows; (T, D) expected; (T, D) distances."""
        members, expected, away = np.zeros((len(rows), 2)), rows.values.copy(), np.zeros(rows.values.shape)
        for t in range(len(rows)):
            average, there = self.scored.follow(rows, t), rows.present[t]
            if not any(self.scales.settled):
                continue
            smoothed = self.standardised(average)
            level = np.where(there, self.standardised(rows.values[t].tolist()), smoothed)
            wide = math.sqrt(len(there) / max(1, there.sum()))
            members[t] = [np.linalg.norm(self.residual(row)[there]) * wide for row in (smoothed, level)]
            reconstruction = np.clip(level - self.residual(level), -8.0, 8.0)
            for j, (mean, sd) in enumerate(self.scales.fits):
                if self.scales.settled[j]:
                    expected[t, j] = mean + sd * reconstruction[j]
                distance = abs(rows.values[t, j] - expected[t, j])
                largest = 1000.0 * (distance > 0)
                away[t, j] = (min(1000.0, distance / sd) if sd > 0 else largest) * there[j]
        return members, expected, away

    def learn(self, rows: Rows, weights: Array) -> None:
        for t, weight in enumerate(weights.tolist()):
            for j, x in enumerate(rows.values[t].tolist()):
                if rows.renewed[t, j]:
                    self.scales.renew(j)
                    for v in self.components:
                        v[j] = 0.0
                if rows.present[t, j] and weight > 0:
                    self.scales.scales[j].learn(x, weight)
            row = self.standardised(self.learned.follow(rows, t))
            if weight > 0 and any(rows.present[t] & self.scales.settled):
                self.seen += weight
                self.follow(row, min(1.0, max(weight / self.memory_rows, weight / self.seen)))
        self.scales.fit()

    def follow(self, row: Array, share: float) -> None:
        energy = row @ row
        for v in self.components:
            unit = v / np.linalg.norm(v)
            v[:] = (1 - share) * v + share * (row @ unit) * row
            unit = v / np.linalg.norm(v)
            row = row - (row @ unit) * unit
        if len(self.components) < self.most and row @ row > 1e-9 * energy:
            self.components.append(row * np.linalg.norm(row))


@dataclass
class Histogram:
    """Weights of 64 bins over +-8, new rows heavier than old ones."""

    memory_rows: int
    bins: list[float] = field(default_factory=lambda: [0.0] * 64)
    weight: float = 1.0

    @staticmethod
    def place(z: float) -> int:
        return min(63, int((z + 8.0) / 0.25))

    def add(self, z: float, weight: float) -> None:
        self.bins[self.place(z)] += weight * self.weight
        self.weight *= 1 + weight / self.memory_rows

    def rarity(self, z: float) -> float:
        """-log of the share of the bin, with one row of now spread over all bins."""
        return -math.log((self.bins[self.place(z)] + self.weight / 64) / (sum(self.bins) + self.weight))


class SlowLoda:
    """One dict of variable: weight a projection."""

    def __init__(self, variables: int, projections: tuple[Array, Array], *, rate: float, memory_rows: int) -> None:
        self.scored, self.learned, self.scales = Smoothed(variables, rate), Smoothed(variables, rate), Scales(variables)
        self.projections = [dict(zip(a.tolist(), w.tolist(), strict=True)) for a, w in zip(*projections, strict=True)]
        self.of_projections = Scales(len(self.projections))
        self.memory_rows = memory_rows
        self.histograms = [Histogram(memory_rows) for _ in self.projections]

    def project(self, row: list[float], p: int) -> float:
        return sum(weight * self.scales.of(row[j], j) for j, weight in self.projections[p].items())

    def is_complete(self, rows: Rows, t: int, p: int) -> bool:
        return all(rows.present[t, j] and self.scales.settled[j] for j in self.projections[p])

    def score(self, rows: Rows) -> Array:
        """(T, 2) mean rarity of the smoothed rows and of the rows."""
        out = np.zeros((len(rows), 2))
        for t in range(len(rows)):
            views = (self.scored.follow(rows, t), rows.values[t].tolist())
            telling = [p for p in range(len(self.projections)) if self.is_complete(rows, t, p)]
            telling = [p for p in telling if sum(self.histograms[p].bins)]
            for view, row in enumerate(views):
                told = [self.histograms[p].rarity(self.of_projections.of(self.project(row, p), p)) for p in telling]
                out[t, view] = sum(told) / max(1, len(told))
        return out

    def learn(self, rows: Rows, weights: Array) -> None:
        for t, weight in enumerate(weights.tolist()):
            for j, x in enumerate(rows.values[t].tolist()):
                if rows.renewed[t, j]:
                    self.scales.renew(j)
                if rows.present[t, j] and weight > 0:
                    self.scales.scales[j].learn(x, weight)
            row = self.learned.follow(rows, t)
            for p, asked in enumerate(self.projections):
                if any(rows.renewed[t, j] for j in asked):
                    self.of_projections.renew(p)
                    self.histograms[p] = Histogram(self.memory_rows)
                if weight > 0 and self.is_complete(rows, t, p):
                    self.learn_projection(p, self.project(row, p), weight)
        self.scales.fit()
        self.of_projections.fit()

    def learn_projection(self, p: int, y: float, weight: float) -> None:
        self.of_projections.scales[p].learn(y, weight)
        if self.of_projections.settled[p]:
            self.histograms[p].add(self.of_projections.of(y, p), weight)


@dataclass
class SlowTail:
    """Of one variable in one view: its mean size, and the line as a multiple e^log_line of it."""

    memory_rows: float
    seen: float = 0.0
    size: float = 0.0
    log_line: float = math.log(3.2)

    def add(self, size: float, weight: float) -> None:
        self.seen = min(self.seen + weight, self.memory_rows)
        self.size += (size - self.size) * weight / self.seen
        is_over = size > max(self.size, 0.01) * math.exp(self.log_line)
        self.log_line += 10.0 / (self.seen + 100.0) * weight * (is_over - 0.01)
        self.log_line = min(max(self.log_line, 0.0), 6.0)

    def line(self) -> float | None:
        return max(self.size, 0.01) * math.exp(self.log_line) if self.seen >= 10.0 else None


class SlowSparse:
    """Two tails a variable: of its moving average, and of its readings."""

    def __init__(self, variables: int, *, least: int, rate: float, memory_rows: int) -> None:
        self.scales, self.least, self.rate, self.memory_rows = Scales(variables), least, rate, memory_rows
        self.scored, self.learned = [0.0] * variables, [0.0] * variables
        self.tails = [self.new_tails() for _ in range(variables)]
        self.lines: list[tuple[float | None, ...]] = [(None, None)] * variables

    def new_tails(self) -> tuple[SlowTail, SlowTail]:
        return SlowTail(self.memory_rows), SlowTail(self.memory_rows)

    def follow(self, averages: list[float], rows: Rows, t: int, j: int) -> tuple[float, float]:
        z = self.scales.of(float(rows.values[t, j]), j)
        averages[j] = z if rows.restart[t, j] else averages[j] + self.rate * (z - averages[j])
        return abs(averages[j]), abs(z)

    def score(self, rows: Rows) -> Array:
        """(T, 2) of the averages and of the readings."""
        out = np.zeros((len(rows), 2))
        for t in range(len(rows)):
            unusual: tuple[list[float], list[float]] = ([], [])
            for j in np.flatnonzero(rows.present[t]).tolist():
                sizes = self.follow(self.scored, rows, t, j)
                for view, size, line in zip(unusual, sizes, self.lines[j], strict=True):
                    view.append(0.0 if line is None else size / line)
            for v, view in enumerate(unusual):
                ordered = sorted(view, reverse=True)
                if len(ordered) >= self.least:
                    out[t, v] = min(ordered[self.least - 1], 20.0) ** 2
        return out

    def learn(self, rows: Rows, weights: Array) -> None:
        for t, weight in enumerate(weights.tolist()):
            for j in range(rows.values.shape[1]):
                if rows.renewed[t, j]:
                    self.scales.renew(j)
                    self.tails[j] = self.new_tails()
                if not rows.present[t, j]:
                    continue
                if weight > 0:
                    self.scales.scales[j].learn(float(rows.values[t, j]), weight)
                sizes = self.follow(self.learned, rows, t, j)
                if weight > 0 and self.scales.settled[j]:
                    for tail, size in zip(self.tails[j], sizes, strict=True):
                        tail.add(size, weight)
        self.scales.fit()
        self.lines = [tuple(tail.line() for tail in tails) for tails in self.tails]


class SlowRobustEwma:
    """One variable. follows: its mean moves with every row, and not with what is learned."""

    def __init__(self, rate: float, *, follows: bool) -> None:
        self.rate, self.follows = rate, follows
        self.scored = 0.0
        self.used: float | None = None
        self.renew()

    def renew(self) -> None:
        self.mean, self.seen, self.size = 0.0, 0.0, 0.0

    @staticmethod
    def clipped(step: float, size: float | None) -> float:
        return max(-3.0 * size, min(3.0 * size, step)) if size else step

    def score(self, x: float, *, restart: bool, renewed: bool) -> tuple[float, float]:
        """Of a reading that is there: the distance, and what was expected."""
        if self.follows and restart:
            self.scored = x
        mean = self.scored if self.follows else self.mean
        found = (0.0, x)
        if self.used is not None and not renewed:
            deviation = math.sqrt(math.pi / 2) * max(self.used, 1e-9 * abs(mean))
            far = 1000.0 * (x != mean)
            found = (min(1000.0, abs(x - mean) / deviation) if deviation else far, mean)
        self.scored += self.rate * self.clipped(x - self.scored, self.used)
        return found

    def learn(self, x: float, weight: float, *, restart: bool) -> None:
        if self.follows:
            if restart:
                self.mean = x
                return
            if weight > 0:
                self.take_in(x - self.mean, weight)
            self.mean += self.rate * self.clipped(x - self.mean, self.used)
        elif weight > 0:
            if self.seen == 0:
                self.mean = x
            share, counted = self.take_in(x - self.mean, weight)
            self.mean += share * counted

    def take_in(self, step: float, weight: float) -> tuple[float, float]:
        if self.size == 0:
            self.seen = min(self.seen, 50.0)
        counted = self.clipped(step, self.size if self.seen >= 10 else None)
        self.seen += weight
        share = max(self.rate * weight, weight / self.seen)
        self.size += share * (abs(counted) - self.size)
        return share, counted

    def close(self) -> None:
        """At a segment's end."""
        self.used = self.size if self.seen >= 10 else None
