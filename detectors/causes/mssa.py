"""A trigger on the system's course as a whole: multivariate singular spectrum analysis and CUSUM (CORAL's).

The method family is the paper's: Page matrix, subspace of its leading energy, CUSUM of what new lag vectors leave
outside it. Ours: every tenth of the columns is held out in turn in place of random hold-outs, so that nothing is drawn;
deviations are clipped, so that one reading cannot fire it; and once a base has seen quiet rows, the limit is at least
what their CUSUM reached. It sees slow change of many variables, and is nearly blind to a step in one of a hundred.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detectors.block import FloatArray, IntArray, State
from detectors.causes.deviation import Baseline, fit_baseline, standardise
from detectors.causes.mssa_kernel import CLIP, SQUARE, Units, accumulate, depart, lag
from detectors.causes.ring import Ring
from detectors.causes.settings import MssaSettings
from detectors.findings import Trigger

HOLDOUTS = 10
MOST = 64  # rows whose lag vectors are laid out at once


@dataclass(frozen=True, slots=True)
class Base:
    """What was normal: a scale, the directions outside its subspace (L, L - r), and the CUSUM's drift c and limit h."""

    scale: Baseline
    outside: FloatArray
    drift: float
    limit: float

    @property
    def units(self) -> Units:
        return self.scale.center, self.scale.scale, self.scale.frozen


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


def departures(vectors: FloatArray, outside: FloatArray) -> list[float]:
    """(sum over the series of the norm of what lies outside)^2 of one lag vector a series (T, N, L), for each of T.

    One matrix product each, of the same shape for any T: so its bits are the same, too.
    """
    out = np.empty(len(vectors))
    depart(vectors @ outside, SQUARE, out)
    return out.tolist()


def fit_base(rows: FloatArray, settings: MssaSettings) -> Base:
    """The base of rows (L * C, N), NaN = missing. O(N C L^2) for each of ten hold-outs."""
    scale = fit_baseline(rows, np.full(rows.shape[1], -1), peer_floor=0.0)
    page = page_matrix(np.clip(standardise(rows, scale), -CLIP, CLIP), settings.window)
    outside = outside_directions(page.reshape(-1, settings.window), settings.energy)
    held_out = np.arange(len(page)) % min(HOLDOUTS, len(page))
    eps = 1e-12
    for fold in range(held_out.max() + 1):
        without = outside_directions(page[held_out != fold].reshape(-1, settings.window), settings.energy)
        eps = max(eps, *departures(page[held_out == fold], without))
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
        self._levels = np.zeros(3)  # CUSUM; its record since the base was made; rows since then

    def follow(self, rows: FloatArray, times: IntArray, first: int) -> list[Trigger]:
        found, taken = [], 0
        while taken < len(rows):
            if self._base is None:
                taken += self._gather(rows[taken:])
                continue
            count, fired, limit = self._watch(rows[taken:], self._base)
            taken += count
            if fired:
                statistic, _, since = self._levels.tolist()
                last = taken - 1
                found.append(Trigger(int(times[last]), first + last, self.name, statistic, limit, since > self._span))
        return found

    def _gather(self, rows: FloatArray) -> int:
        """Take rows of the next base, which is made when there are enough; how many."""
        rows = rows[: self._span - len(self._recent)]
        self._recent.extend(rows)
        if len(self._recent) == self._span:
            self._rebase()
        return len(rows)

    def _watch(self, rows: FloatArray, base: Base) -> tuple[int, bool, float]:
        """Take rows up to the first that fires, or to the next base; how many, whether the last fires, its limit."""
        moving = self._settings.moving
        most = min(MOST, self._span - int(self._levels[2])) if moving else MOST
        rows = rows[: self._recent.make_room(min(most, len(rows)))]
        vectors = np.empty((len(rows), *self._vectors.shape))
        lag(rows, self._vectors, base.units, self._recent.arrays, vectors)
        self._vectors = vectors[-1]
        limits = base.drift, base.limit, self._span
        taken, fired, limit = accumulate(vectors @ base.outside, self._levels, limits, SQUARE)
        if fired:
            self._base = None
            self._recent.load(self._fitted[:0])
        elif moving and self._levels[2] >= self._span:
            self._rebase()
        return taken, fired, limit

    def _rebase(self) -> None:
        self._fitted = self._recent.rows().copy()
        self._take_up(fit_base(self._fitted, self._settings))
        self._levels[:] = 0.0

    def _take_up(self, base: Base) -> None:
        """Go on from the last L rows in this base's units."""
        self._base = base
        self._vectors = np.ascontiguousarray(_clipped(self._recent.rows()[-self._settings.window :], base).T)

    def state(self) -> State:
        numbers = np.array([*self._levels, float(self._base is not None)])
        return {"recent": self._recent.rows().copy(), "fitted": self._fitted.copy(), "numbers": numbers}

    def load_state(self, state: State) -> None:
        self._recent.load(state["recent"])
        self._fitted = np.array(state["fitted"])
        *levels, armed = state["numbers"].tolist()
        self._levels[:] = levels
        self._base = None
        if armed:
            self._take_up(fit_base(self._fitted, self._settings))


def _clipped(rows: FloatArray, base: Base) -> FloatArray:
    return np.clip(standardise(rows, base.scale), -CLIP, CLIP)
