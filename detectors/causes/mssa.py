"""A trigger on the system's course as a whole: multivariate singular spectrum analysis and CUSUM (CORAL's).

The method family is the paper's: Page matrix, subspace of its leading energy, CUSUM of what new lag vectors leave
outside it. Ours: every tenth of the columns is held out in turn in place of random hold-outs, so that nothing is drawn;
deviations are clipped, so that one reading cannot fire it; and once a base has seen quiet rows, the limit is at least
what their CUSUM reached. It sees slow change of many variables, and is nearly blind to a step in one of a hundred.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, State
from detectors.causes.deviation import Baseline, deviation_of, fit_baseline, standardise
from detectors.causes.ring import Ring
from detectors.causes.settings import MssaSettings
from detectors.findings import Trigger

CLIP = 8.0  # standard deviations
HOLDOUTS = 10
RECORD = 1.5  # the limit over the highest CUSUM of the base's own quiet rows


@dataclass(frozen=True, slots=True)
class Base:
    """What was normal: a scale, the directions outside its subspace (L, L - r), and the CUSUM's drift c and limit h."""

    scale: Baseline
    outside: FloatArray
    drift: float
    limit: float


def page_matrix(z: FloatArray, length: int) -> FloatArray:
    """(C, N, L): the non-overlapping lag vectors of N series z (L * C, N), by their block.

    >>> page_matrix(np.arange(8.0).reshape(4, 2), 2)[0].tolist()
    [[0.0, 2.0], [1.0, 3.0]]
    """
    blocks = len(z) // length
    return np.ascontiguousarray(z[: blocks * length].reshape(blocks, length, -1).transpose(0, 2, 1))


def outside_directions(vectors: FloatArray, energy: float) -> FloatArray:
    """(L, L - r) an orthonormal basis of what the leading r directions of vectors (K, L) leave, r at this energy."""
    values, directions = np.linalg.eigh(vectors.T @ vectors)  # ascending
    share = np.cumsum(values[::-1]) / max(float(values.sum()), 1e-300)
    rank = min(int(np.searchsorted(share, energy)) + 1, len(values) - 1)
    return np.ascontiguousarray(directions[:, : len(values) - rank])


def departure(vectors: FloatArray, outside: FloatArray) -> float:
    """(sum over the series of the norm of what lies outside)^2 of one lag vector a series (N, L)."""
    residual = vectors @ outside
    residual *= residual
    return float(np.sqrt(np.add.reduce(residual, axis=1)).sum() ** 2)


def fit_base(rows: FloatArray, settings: MssaSettings) -> Base:
    """The base of rows (L * C, N), NaN = missing. O(N C L^2) for each of ten hold-outs."""
    scale = fit_baseline(rows, np.full(rows.shape[1], -1), peer_floor=0.0)
    page = page_matrix(np.clip(standardise(rows, scale), -CLIP, CLIP), settings.window)
    outside = outside_directions(page.reshape(-1, settings.window), settings.energy)
    held_out = np.arange(len(page)) % min(HOLDOUTS, len(page))
    eps = 1e-12
    for fold in range(held_out.max() + 1):
        without = outside_directions(page[held_out != fold].reshape(-1, settings.window), settings.energy)
        eps = max(eps, *(departure(block, without) for block in page[held_out == fold]))
    residual = page.reshape(-1, settings.window) @ outside
    drift = eps + page.shape[1] * outside.shape[1] * float((residual**2).mean())
    return Base(scale, outside, drift, settings.h0 * eps)


class MssaTrigger:
    """Rows in, a trigger when the CUSUM of their departure from the base's subspace passes its limit.

    Not armed for the first L * C rows, nor for as many after each trigger: they are the new base. With
    settings.moving the base is also rebuilt from the last L * C rows whenever as many have passed.
    """

    name: ClassVar[str] = "mssa"

    def __init__(self, variables: int, settings: MssaSettings) -> None:
        if settings.window < 2 or settings.columns < 3:
            raise ValueError(
                f"mssa needs window >= 2 rows and columns >= 3, got {settings.window} and {settings.columns}"
            )
        self._settings = settings
        self._span = settings.window * settings.columns
        self._recent = Ring(self._span, variables)  # rows of the base being gathered, then the last L (moving: L * C)
        self._fitted = np.zeros((0, variables))  # rows the base was made of
        self._vectors = np.zeros((variables, settings.window))  # the last L rows in the base's units, by variable
        self._base: Base | None = None
        self._cusum = 0.0
        self._record = 0.0  # of the CUSUM since the base was made
        self._since = 0

    def step(self, row: FloatArray, time: int, number: int) -> Trigger | None:
        self._recent.append(row)
        if self._base is None:
            if len(self._recent) == self._span:
                self._rebase()
            return None
        self._since += 1
        statistic, limit = self._advance(row, self._base)
        if statistic >= limit:
            self._base = None
            self._recent.load(self._fitted[:0])
            return Trigger(time, number, self.name, statistic, limit, self._since > self._span)
        self._record = max(self._record, statistic)
        if self._settings.moving and self._since >= self._span:
            self._rebase()
        return None

    def _advance(self, row: FloatArray, base: Base) -> tuple[float, float]:
        """The CUSUM after the newest row, and its limit."""
        _push(row, base.scale.center, base.scale.scale, base.scale.frozen, self._vectors)
        self._cusum = max(0.0, self._cusum + departure(self._vectors, base.outside) - base.drift)
        quiet = RECORD * self._record if self._since > self._span else 0.0
        return self._cusum, max(base.limit, quiet)

    def _rebase(self) -> None:
        self._fitted = self._recent.rows().copy()
        self._take_up(fit_base(self._fitted, self._settings))
        self._cusum = self._record = 0.0
        self._since = 0

    def _take_up(self, base: Base) -> None:
        """Go on from the last L rows in this base's units."""
        self._base = base
        self._vectors[:] = _clipped(self._recent.rows()[-self._settings.window :], base).T

    def state(self) -> State:
        numbers = np.array([self._cusum, self._record, float(self._since), float(self._base is not None)])
        return {"recent": self._recent.rows().copy(), "fitted": self._fitted.copy(), "numbers": numbers}

    def load_state(self, state: State) -> None:
        self._recent.load(state["recent"])
        self._fitted = np.array(state["fitted"])
        cusum, record, since, armed = state["numbers"].tolist()
        self._base = None
        if armed:
            self._take_up(fit_base(self._fitted, self._settings))
        self._cusum, self._record, self._since = cusum, record, int(since)


def _clipped(rows: FloatArray, base: Base) -> FloatArray:
    return np.clip(standardise(rows, base.scale), -CLIP, CLIP)


@njit(cache=True, nogil=True, error_model="numpy")
def _push(row: FloatArray, center: FloatArray, scale: FloatArray, frozen: BoolArray, vectors: FloatArray) -> None:
    """One more row (D,), clipped and in units of the base, at the end of the lag vectors (D, L)."""
    for j in range(row.shape[0]):
        for i in range(vectors.shape[1] - 1):
            vectors[j, i] = vectors[j, i + 1]
        z = deviation_of(row[j], center[j], scale[j], frozen[j])
        vectors[j, -1] = min(max(z, -CLIP), CLIP)
