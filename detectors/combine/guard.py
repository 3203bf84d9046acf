"""The learning guard: what is judged anomalous is learned at a tenth, so that an incident does not become normal.

An incident opens at twice the line (a stricter guard would refuse drift) and closes after some quiet rows. Inside it a
row's weight is small but not 0; what is held back is re-examined by the memory (see online.neighbours), which accepts a
lasting new normal after a bounded number of rows.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray, State


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """enabled: False learns every row in full.

    opens_at: combined score at which an incident opens. quiet_rows: rows below the line that close it.
    weight: of a row inside.
    """

    enabled: bool = True
    opens_at: float = 2.0
    quiet_rows: int = 10
    weight: float = 0.1

    def __post_init__(self) -> None:
        if self.opens_at < 1:
            raise ValueError(f"opens_at must be at least the line, 1.0, got {self.opens_at}")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be between 0 and 1, got {self.weight}")


class Guard:
    """Weighs rows by their scores over the line. Cost: a few ns a row."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._open = np.zeros(1, dtype=np.int64)  # quiet rows until the incident closes, 0 = none is open

    def weigh(self, scores: FloatArray) -> FloatArray:
        """(T,) learning weights of rows with these scores (T,), 1.0 = the line."""
        s = self._settings
        weights = np.ones(len(scores))
        if s.enabled:
            _weigh(scores, weights, self._open, s.opens_at, s.quiet_rows, s.weight)
        return weights

    def state(self) -> State:
        return {"open": self._open.copy()}

    def load_state(self, state: State) -> None:
        self._open[:] = state["open"]


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(
    scores: FloatArray, weights: FloatArray, left: IntArray, opens_at: float, quiet_rows: int, weight: float
) -> None:
    for t in range(scores.shape[0]):
        if scores[t] >= opens_at or (left[0] > 0 and scores[t] > 1.0):
            left[0] = quiet_rows
        elif left[0] > 0:
            left[0] -= 1
        if left[0] > 0:
            weights[t] = weight
