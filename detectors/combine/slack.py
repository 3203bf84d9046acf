"""Slack between voters: what each of them said at most in this row and in the few before it.

Detectors that smooth see the same event a few rows apart, and a rule that counts the votes of one row misses it.
Ours; RoLA counts votes of the same row only. (The weighted rule gains nothing by it: its members' sizes tell enough.)
"""

import numpy as np

from detectors.block import FloatArray, State


class Slack:
    """Opinions (T, ...) of T rows, each held for some rows more; 0 rows: as they are. Cost: rows passes over them."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._before: FloatArray | None = None  # (rows, ...) the last rows, once there are any

    def hold(self, opinions: FloatArray) -> FloatArray:
        """The largest of each opinion over the row and the slack before it. Called once for every row, in order."""
        if not self._rows:
            return opinions
        before = np.zeros((self._rows, *opinions.shape[1:])) if self._before is None else self._before
        known = np.concatenate([before, opinions])
        self._before = known[len(opinions) :].copy()
        views = [known[start : start + len(opinions)] for start in range(self._rows + 1)]
        held: FloatArray = np.maximum.reduce(views)
        return held

    def state(self) -> State:
        return {} if self._before is None else {"before": self._before.copy()}

    def load_state(self, state: State) -> None:
        before = state.get("before")
        self._before = None if before is None else before.copy()
