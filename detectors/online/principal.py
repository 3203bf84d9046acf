"""Principal components: how far a row, smoothed, is from the few directions in which rows usually vary.

The leading components are learned row by row by the generalised Hebbian rule: Oja (1982) for the first, Sanger (1989)
for those after it, each of which sees what the ones before it left over. The step of each is that of candid
covariance-free PCA (Weng, Zhang and Hwang, 2003): a component's length is its variance, and sets its own step, so that
there is no rate to choose and nothing can run away. Works badly where variables have little in common: then everything
is residual.

Ours: smoothed and standardised rows, the guard's weights, forgetting, and the treatment of missing cells: one stands at
its variable's moving average, and has no residual.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.online.protocol import Scores
from detectors.online.rewinding import Rewinding
from detectors.online.scale import CLIP, SETTLED, fit_scale, learn_scale, new_scale, standardise
from detectors.online.smoothing import advance

LARGEST = 1000.0  # score of one variable: of a step after a deviation of 0
BORN = 1e-9  # least share of a row's energy that the components before leave over, for a new one to be made of it

Model: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]  # scale (5, D), fit (2, D), components (K, D)


@dataclass(frozen=True, slots=True)
class PrincipalSettings:
    """components: K, the leading directions that are no surprise; at most half of the variables are taken.

    smoothing: weight of a new row in the moving average. memory_rows: a learned row's weight is 1 / e after so many.
    """

    components: int = 4
    smoothing: float = 0.1
    memory_rows: int = 100_000

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ValueError(f"components must be at least 1, got {self.components}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")
        if self.memory_rows < 10:
            raise ValueError(f"memory_rows must be at least 10, got {self.memory_rows}")


class Principal(Rewinding):
    """Streaming PCA. member: residual, the norm of the smoothed row's residual; fresh: the same of the row itself.

    variables = residual of the row itself in standard deviations, at most 1000; expected = the reconstruction.
    Cost: some 8 K D flops a row to score and as many to learn, 5 us each at K = 4 and D = 38.
    """

    name: ClassVar[str] = "principal"
    members: ClassVar[tuple[str, ...]] = ("residual",)
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    carried: ClassVar[tuple[str, ...]] = ("average",)

    def __init__(self, variables: int, settings: PrincipalSettings | None = None, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._settings = settings or PrincipalSettings()
        self._average = np.zeros(variables)  # carry: of the last row scored
        self._learned = np.zeros(variables)  # the same of the last row learned
        self._seen = np.zeros(1)  # weight of the rows learned
        self._scale = new_scale(variables)
        self._fit = np.zeros((2, variables))  # mean, deviation in use
        # (K, D) orthogonal but for what learning lags behind; as long as their variance; 0 = not born yet.
        self._components = np.zeros((min(self._settings.components, variables // 2), variables))

    def score(self, rows: Rows) -> Scores:
        shape = rows.values.shape
        members, variables, expected = np.zeros((shape[0], 2)), np.zeros(shape), rows.values.copy()
        flags = (rows.present, rows.restart)
        model = (self._scale, self._fit, self._components)
        _score(rows.values, flags, self._average, model, self._settings.smoothing, (members, variables, expected))
        return Scores(members[:, :1], variables, expected, members[:, 1])

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        flags = (rows.present, rows.restart, rows.renewed)
        model = (self._scale, self._fit, self._components)
        options = (self._settings.smoothing, 1.0 / self._settings.memory_rows)
        _learn(rows.values, flags, weights, self._learned, self._seen, model, options)

    def _arrays(self) -> State:
        return {
            "average": self._average,
            "learned": self._learned,
            "seen": self._seen,
            "scale": self._scale,
            "fit": self._fit,
            "components": self._components,
        }


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    average: FloatArray,
    model: Model,
    rate: float,
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    present, restart = flags
    scale, fit, components = model
    members, variables, expected = out
    smoothed, level = np.empty(values.shape[1]), np.empty(values.shape[1])
    for t in range(values.shape[0]):
        advance(average, values[t], present[t], restart[t], rate)
        if not (scale[0] >= SETTLED).any():
            continue
        for j in range(values.shape[1]):
            known = scale[0, j] >= SETTLED
            smoothed[j] = standardise(average[j], fit[0, j], fit[1, j]) if known else 0.0
            level[j] = standardise(values[t, j], fit[0, j], fit[1, j]) if known and present[t, j] else smoothed[j]
            expected[t, j] = level[j]  # standardised for now
        subtract(components, smoothed)
        subtract(components, level)
        members[t, 0], members[t, 1] = norm(smoothed, present[t]), norm(level, present[t])
        for j in range(values.shape[1]):
            reconstruction = min(max(expected[t, j] - level[j], -CLIP), CLIP)
            expected[t, j] = fit[0, j] + reconstruction * fit[1, j] if scale[0, j] >= SETTLED else values[t, j]
            if present[t, j]:
                variables[t, j] = in_deviations(abs(values[t, j] - expected[t, j]), fit[1, j])


@njit(cache=True, nogil=True, error_model="numpy")
def in_deviations(away: float, sd: float) -> float:
    """A distance in standard deviations; any is as large as can be where the variable never moved."""
    return min(LARGEST, away / sd) if sd > 0.0 else LARGEST * (away > 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def norm(residual: FloatArray, present: BoolArray) -> float:
    """Length of the residual (D,) where readings are present, as if all were."""
    total, there = 0.0, 0
    for j in range(residual.shape[0]):
        if present[j]:
            total += residual[j] * residual[j]
            there += 1
    return float(np.sqrt(total * residual.shape[0] / max(1, there)))


@njit(cache=True, nogil=True, error_model="numpy")
def subtract(components: FloatArray, row: FloatArray) -> None:
    """Take out of the row (D,), in place, its projection on one component after the other: never makes it longer."""
    for i in range(components.shape[0]):
        length, along = 0.0, 0.0
        for j in range(row.shape[0]):
            length += components[i, j] * components[i, j]
            along += components[i, j] * row[j]
        if length > 0.0:
            for j in range(row.shape[0]):
                row[j] -= along / length * components[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    weights: FloatArray,
    average: FloatArray,
    seen: FloatArray,
    model: Model,
    options: tuple[float, float],
) -> None:
    present, restart, renewed = flags
    scale, fit, components = model
    rate, forget = options
    row, known = np.empty(values.shape[1]), scale[0] >= SETTLED
    for t in range(values.shape[0]):
        learn_scale(scale, values[t], present[t], renewed[t], weights[t])
        advance(average, values[t], present[t], restart[t], rate)
        for j in range(values.shape[1]):
            if renewed[t, j]:
                components[:, j], known[j] = 0.0, False
            row[j] = standardise(average[j], fit[0, j], fit[1, j]) if known[j] else 0.0
        if weights[t] > 0.0 and (present[t] & known).any():
            seen[0] += weights[t]
            follow(components, row, min(1.0, max(forget * weights[t], weights[t] / seen[0])))
    fit_scale(scale, fit[0], fit[1])


@njit(cache=True, nogil=True, error_model="numpy")
def follow(components: FloatArray, row: FloatArray, share: float) -> None:
    """Move the components towards a row (D,), each by what those before it left of it. share: of the new row, (0, 1].

    v <- (1 - share) v + share (row . v / |v|) row;  row <- row - (row . v / |v|) v / |v|. The row is used up.
    """
    energy = np.sum(row * row)
    for i in range(components.shape[0]):
        length, along, left = 0.0, 0.0, 0.0
        for j in range(row.shape[0]):
            length += components[i, j] * components[i, j]
            along += components[i, j] * row[j]
            left += row[j] * row[j]
        if length == 0.0:  # not born yet: of what is left, if that is more than rounding
            if left > BORN * energy:
                components[i] = row * np.sqrt(left)
            return
        along /= np.sqrt(length)
        for j in range(row.shape[0]):
            components[i, j] += share * (along * row[j] - components[i, j])
        subtract(components[i : i + 1], row)
