"""LODA: how rare a row is in many histograms, each of one sparse random projection of the variables.

T. Pevny, "Loda: Lightweight on-line detector of anomalies", Machine Learning 102, 2016: projections on floor(sqrt(D))
variables with normal weights, a histogram each, and the mean negative log density over them; a projection that lacks a
value is left out. Works badly where an anomaly keeps to one or two variables of many, since few projections ask them.

Ours: standardised rows, smoothed if wished; histograms of equal bins over +-8 deviations of each projection, so that
the density is the share of a bin but for a constant; the guard's weights, and slow forgetting.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, Rows, State
from detectors.online.protocol import Scores
from detectors.online.rewinding import Rewinding
from detectors.online.scale import CLIP, SETTLED, fit_scale, learn_scale, new_scale, standardise
from detectors.online.smoothing import advance

HEAVY = 2.0**40  # weights grow until here, then all are scaled down: exactly, as it is a power of two
PRIOR = 1.0  # rows that each histogram is taken to have seen, spread over its bins

Projections: TypeAlias = tuple[IntArray, FloatArray]  # (P, S) variables, (P, S) weights
# Scales of variables (5, D) and of projections (5, P), their fits (2, D) and (2, P), bins (P, B), sums (2, P).
Model: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class LodaSettings:
    """projections, bins: of each histogram. memory_rows: a learned row's weight is 1 / e of a new one's after so many.

    smoothing: weight of a new row in the moving average that is projected; 1 takes the row itself, as the paper does.
        (.1 is worth +.02 of VUS-PR on SMD and -.04 on ASD.)
    """

    projections: int = 100
    bins: int = 64
    smoothing: float = 1.0
    memory_rows: int = 100_000

    def __post_init__(self) -> None:
        if self.projections < 1:
            raise ValueError(f"projections must be at least 1, got {self.projections}")
        if not 4 <= self.bins <= 4096:
            raise ValueError(f"bins must be between 4 and 4096, got {self.bins}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")
        if self.memory_rows < 100:
            raise ValueError(f"memory_rows must be at least 100, got {self.memory_rows}")


class Loda(Rewinding):
    """P histograms. member: rarity, mean of -log of the share of the smoothed row's bins; fresh: the same of the row.

    Cost: P logarithms and 2 P sqrt(D) flops a row, some 20 us at P = 100 and D = 38, to score and again to learn; with
    smoothing, scoring costs twice that, as the row itself is looked at, too.
    """

    name: ClassVar[str] = "loda"
    members: ClassVar[tuple[str, ...]] = ("rarity",)
    per_variable: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    carried: ClassVar[tuple[str, ...]] = ("average",)

    def __init__(self, variables: int, settings: LodaSettings | None = None, *, seed: int = 0) -> None:
        self._settings = s = settings or LodaSettings()
        self._projections = draw_projections(variables, s.projections, seed)
        self._average = np.zeros(variables)  # carry: of the last row scored
        self._learned = np.zeros(variables)  # the same of the last row learned
        self._scale, self._fit = new_scale(variables), np.zeros((2, variables))
        self._scales, self._fits = new_scale(s.projections), np.zeros((2, s.projections))  # of the projections
        self._bins = np.zeros((s.projections, s.bins))
        self._sums = np.zeros((2, s.projections))  # weight in all, weight of the next row
        self._sums[1] = 1.0

    def score(self, rows: Rows) -> Scores:
        members = np.zeros((len(rows), 2))
        flags = (rows.present, rows.restart)
        _score(rows.values, flags, self._average, self._projections, self._model(), self._settings.smoothing, members)
        return Scores(members[:, :1], fresh=members[:, 1])

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        flags = (rows.present, rows.restart, rows.renewed)
        options = (self._settings.smoothing, 1.0 / self._settings.memory_rows)
        _learn(rows.values, flags, weights, self._learned, self._projections, self._model(), options)

    def _model(self) -> Model:
        return self._scale, self._scales, self._fit, self._fits, self._bins, self._sums

    def _arrays(self) -> State:
        return {
            "average": self._average,
            "learned": self._learned,
            "scale": self._scale,
            "scales": self._scales,
            "fit": self._fit,
            "fits": self._fits,
            "bins": self._bins,
            "sums": self._sums,
        }


def draw_projections(variables: int, count: int, seed: int) -> Projections:
    """The variables (P, S) that each projection asks, S = floor(sqrt(D)), and their normal weights (P, S)."""
    rng = np.random.default_rng(seed)
    size = int(np.sqrt(variables))
    asked = np.array([rng.permutation(variables)[:size] for _ in range(count)], dtype=np.int64)
    return asked, rng.normal(size=(count, size))


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    average: FloatArray,
    projections: Projections,
    model: Model,
    rate: float,
    members: FloatArray,
) -> None:
    present, restart = flags
    smoothed, level = np.empty(values.shape[1]), np.empty(values.shape[1])
    for t in range(values.shape[0]):
        advance(average, values[t], present[t], restart[t], rate)
        for j in range(values.shape[1]):
            smoothed[j] = standardise(average[j], model[2][0, j], model[2][1, j])
            level[j] = standardise(values[t, j], model[2][0, j], model[2][1, j])
        known = present[t] & (model[0][0] >= SETTLED)
        members[t, 0] = rarity(smoothed, known, projections, model)
        members[t, 1] = rarity(level, known, projections, model) if rate < 1.0 else members[t, 0]


@njit(cache=True, nogil=True, error_model="numpy")
def rarity(row: FloatArray, known: BoolArray, projections: Projections, model: Model) -> float:
    """Mean of -log of the share of the bins that a standardised row (D,) falls in; 0 if no projection can tell."""
    _, _, _, fits, bins, sums = model
    total, told = 0.0, 0
    for p in range(bins.shape[0]):
        if sums[0, p] == 0.0 or not is_complete(known, projections[0][p]):
            continue
        b = bin_of(standardise(project(row, projections, p), fits[0, p], fits[1, p]), bins.shape[1])
        prior = PRIOR * sums[1, p]  # in weights of now
        total -= np.log((bins[p, b] + prior / bins.shape[1]) / (sums[0, p] + prior))
        told += 1
    return total / max(1, told)


@njit(cache=True, nogil=True, error_model="numpy")
def is_complete(known: BoolArray, asked: IntArray) -> bool:
    """Whether a projection has all the variables that it asks."""
    lacking = 0
    for i in range(asked.shape[0]):
        lacking += not known[asked[i]]
    return lacking == 0


@njit(cache=True, nogil=True, error_model="numpy")
def project(row: FloatArray, projections: Projections, p: int) -> float:
    asked, weights = projections
    total = 0.0
    for i in range(asked.shape[1]):
        total += weights[p, i] * row[asked[p, i]]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def bin_of(z: float, bins: int) -> int:
    """Of equal bins over +-8 deviations."""
    return min(bins - 1, int((z + CLIP) / (2.0 * CLIP) * bins))


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    weights: FloatArray,
    average: FloatArray,
    projections: Projections,
    model: Model,
    options: tuple[float, float],
) -> None:
    present, restart, renewed = flags
    scale, scales, fit, fits, bins, sums = model
    row, settled, counted = np.empty(values.shape[1]), scale[0] >= SETTLED, scales[0] >= SETTLED
    projected, told, void = np.empty(len(bins)), np.empty(len(bins), np.bool_), np.empty(len(bins), np.bool_)
    for t in range(values.shape[0]):
        learn_scale(scale, values[t], present[t], renewed[t], weights[t])
        advance(average, values[t], present[t], restart[t], options[0])
        for j in range(values.shape[1]):
            settled[j] &= not renewed[t, j]
            row[j] = standardise(average[j], fit[0, j], fit[1, j])
        known, same, any_renewed = present[t] & settled, ~renewed[t], renewed[t].any()
        for p in range(bins.shape[0]):
            projected[p] = project(row, projections, p)
            told[p] = is_complete(known, projections[0][p])
            void[p] = any_renewed and not is_complete(same, projections[0][p])
            counted[p] &= not void[p]
        learn_scale(scales, projected, told, void, weights[t])
        _count(projected, told & counted, void, weights[t], fits, bins, sums, options[1])
    fit_scale(scale, fit[0], fit[1])
    fit_scale(scales, fits[0], fits[1])


@njit(cache=True, nogil=True, error_model="numpy")
def _count(
    projected: FloatArray,
    told: BoolArray,
    void: BoolArray,
    weight: float,
    fits: FloatArray,
    bins: FloatArray,
    sums: FloatArray,
    forget: float,
) -> None:
    """Take one row's projections (P,) into the histograms: void ones begin anew."""
    for p in range(bins.shape[0]):
        if void[p]:
            bins[p], sums[0, p], sums[1, p] = 0.0, 0.0, 1.0
        if not told[p] or weight <= 0.0:
            continue
        b = bin_of(standardise(projected[p], fits[0, p], fits[1, p]), bins.shape[1])
        bins[p, b] += weight * sums[1, p]
        sums[0, p] += weight * sums[1, p]
        sums[1, p] *= 1.0 + weight * forget
        if sums[1, p] > HEAVY:
            bins[p] /= HEAVY
            sums[:, p] /= HEAVY
