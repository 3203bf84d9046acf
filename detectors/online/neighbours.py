"""Nearest neighbours: how far a row, smoothed, is from all that was normal, over all variables at once.

The mean distance to the nearest 2 % of a slow memory, for three views of the row: a fast and a slow moving average, and
the row less its fast average. Smoothing first is worth .10 of VUS-PR, the slow memory .14: it is most of the learning
guard. Works badly on what recurs seldom and is normal: until the memory holds some of it.

Ramaswamy et al. (2000), distance to the k-th neighbour; Angiulli and Pizzuti (2002), the mean over k. The views, the
memory and its release are ours.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detectors.block import FloatArray, Rows, State, nested, part
from detectors.online.memory import Memory
from detectors.online.neighbours_kernel import VIEWS, new_tables, write_entries
from detectors.online.neighbours_learning import STORED, learn_rows, score_rows
from detectors.online.protocol import Scores
from detectors.online.rewinding import Rewinding
from detectors.online.scale import new_scale


@dataclass(frozen=True, slots=True)
class NeighboursSettings:
    """memory: rows kept. horizon_rows: age at which they thin out. nearest: share of them a distance is the mean of.

    fast, slow: weights of a new row in the two averages. refit_rows: rows between standardising the memory anew.
    release_rows: an incident of so many held-back rows is accepted as normal, from its last ring_rows.
    """

    memory: int = 512
    horizon_rows: int = 100_000
    nearest: float = 0.02
    fast: float = 0.1
    slow: float = 0.05
    refit_rows: int = 64
    release_rows: int = 720
    ring_rows: int = 256

    def __post_init__(self) -> None:
        if self.memory < 64:
            raise ValueError(f"memory must be at least 64 rows, got {self.memory}")
        if not 0 < self.nearest <= 0.5:
            raise ValueError(f"nearest must be a share above 0 and at most 0.5, got {self.nearest}")
        if not 0 < self.slow <= self.fast <= 1:
            raise ValueError(f"slow and fast must hold 0 < slow <= fast <= 1, got {self.slow} and {self.fast}")


class Neighbours(Rewinding):
    """kNN over a standardised memory. members: fast, slow, step; fresh: the same of the row itself.

    variables = distance of the variable's fast average from the mean of the row's neighbours, in standard deviations.
    Cost: 4 M D fused steps a row.
    """

    name: ClassVar[str] = "neighbours"
    members: ClassVar[tuple[str, ...]] = ("fast", "slow", "step")
    per_variable: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    carried: ClassVar[tuple[str, ...]] = ("averages",)

    def __init__(self, variables: int, settings: NeighboursSettings | None = None, *, seed: int = 0) -> None:
        self._settings = s = settings or NeighboursSettings()
        self._averages = np.zeros((2, variables))  # carry: of the last row scored
        self._learned = np.zeros((2, variables))  # the same of the last row learned
        self._rates = (s.fast, s.slow)
        self._origin = np.full(variables, np.nan)  # first value learned: entries are kept relative to it
        self._scale = new_scale(variables)
        self._sizes = np.zeros((2, variables))  # of steps: weight seen, mean fourth power
        self._fit = np.zeros((3, variables))  # mean, deviation, size of a step at the last refit
        self._jitter = float(np.random.default_rng(seed).random())
        self._memory = Memory(s.memory, STORED, variables)
        self._tables = new_tables(s.memory, variables)  # not in the state: made anew from memory and fit
        self._ring = np.zeros((s.ring_rows, STORED, variables), dtype=np.float32)
        self._held = np.zeros(2, dtype=np.int64)  # rows held back in the open incident, releases made in it

    def score(self, rows: Rows) -> Scores:
        shape, filled = rows.values.shape, self._memory.filled
        scores, away = np.empty((shape[0], VIEWS)), np.zeros(shape)
        flags, k = (rows.present, rows.restart), max(1, round(self._settings.nearest * filled))
        model = (self._averages, self._rates, self._fit, self._tables, filled, k)
        score_rows(rows.values, flags, *model, scores, away)
        return Scores(scores[:, : len(self.members)], away, fresh=scores[:, -1])

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        s = self._settings
        m = self._memory
        flags = (rows.present, rows.restart, rows.renewed)
        memory = (m.entries, m.order, m.born, m.counts, m.credit)
        model = (self._learned, self._origin, self._scale, self._sizes, self._fit, self._tables, self._ring, self._held)
        steps = (rows.first, s.refit_rows, s.release_rows, float(s.horizon_rows), self._jitter)
        learn_rows(rows.values, flags, weights, memory, model, self._rates, steps)

    def state(self) -> State:
        held = min(int(self._held[0]), len(self._ring))
        return {
            **super().state(),
            "ring": self._ring[:held].copy(),
            **nested("memory", self._memory.state()),
        }

    def load_state(self, state: State) -> None:
        super().load_state(state)
        self._ring[: len(state["ring"])] = state["ring"]
        self._memory.load_state(part("memory", state))
        write_entries(self._tables, self._memory.filled, self._memory.entries, self._origin, self._fit)

    def _arrays(self) -> State:
        return {
            "averages": self._averages,
            "learned": self._learned,
            "origin": self._origin,
            "scale": self._scale,
            "sizes": self._sizes,
            "fit": self._fit,
            "held": self._held,
        }
