"""The learning guard: what is judged anomalous is learned at a tenth, so that an incident does not become normal.

An incident opens at twice the line (a stricter guard would refuse drift) and closes after some quiet rows. Inside it a
row's weight is small but not 0; what is held back is re-examined by the memory (see online.neighbours), which accepts a
lasting new normal after a bounded number of rows.

What it bounds (tests/test_learning_guard.py). A lasting shift that is flagged without a pause of quiet_rows is accepted
after release_rows; 50 rows later nine rows in ten are quiet, 400 rows later verdicts are as rare as by chance. A pause
begins the count anew, but what is not held back is learned in full, and accepted sooner. An incident of 360 rows and 3
deviations, flagged whole, leaves later scores within 5 % (.95 to .97 of what they were), and is flagged again; one of
7.5 deviations leaves .90 to .92, as its rows, though at a tenth, widen the scale. (Clipping held-back rows to 8
deviations in the scale would bound that; it cost SMD .011 of VUS-PR and a tenth more false rows.)
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import IntArray, State

Options: TypeAlias = tuple[float, int, float]


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
    """Weighs rows by their scores over the line, by :func:`weigh`.

    left: (1,) quiet rows until the open incident closes; 0 = none is open.
    """

    def __init__(self, settings: GuardSettings) -> None:
        s = settings
        self.left = np.zeros(1, dtype=np.int64)
        self.options: Options = (s.opens_at, s.quiet_rows, s.weight if s.enabled else 1.0)

    def state(self) -> State:
        return {"left": self.left.copy()}

    def load_state(self, state: State) -> None:
        self.left[:] = state["left"]


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(score: float, left: IntArray, options: Options) -> float:
    """The learning weight of a row with this score, 1.0 = the line."""
    opens_at, quiet_rows, weight = options
    if score >= opens_at or (left[0] > 0 and score > 1.0):
        left[0] = quiet_rows
    elif left[0] > 0:
        left[0] -= 1
    return weight if left[0] > 0 else 1.0
