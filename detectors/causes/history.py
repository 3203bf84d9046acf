"""The quiet rows of a system that tell what is normal, with their times."""

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray, State
from detectors.causes.ring import Arrays, Ring, has_room, push

CALM_ROWS = 10  # rows without verdict or trigger until a row counts as quiet again

CALM, UNREST = range(2)  # the places in History's counts


class History:
    """Keeps the last `capacity` quiet rows of D variables; so is any row once the unrest has lasted accept_rows, for
    then it is the new normal."""

    def __init__(self, capacity: int, variables: int, *, accept_rows: int) -> None:
        self._rows = Ring(capacity, variables)
        self._times = Ring(capacity, 1, dtype=np.int64)
        self._counts = np.array([CALM_ROWS, 0])  # rows since the last verdict or trigger; rows kept out in a row
        self._accept_rows = accept_rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def calm(self) -> int:
        """Rows since the last verdict or trigger."""
        return int(self._counts.item(CALM))

    @property
    def rows(self) -> FloatArray:
        """(N, D), oldest first; a view, valid until more are taken."""
        return self._rows.rows()

    @property
    def times(self) -> IntArray:
        """(N,) theirs."""
        times: IntArray = self._times.rows()[:, 0]
        return times

    def take(self, rows: FloatArray, times: IntArray, *, active: bool, is_open: bool) -> None:
        """Rows (T, D) with their times, and whether something happened in them, and whether an episode is open."""
        taken = 0
        while taken < len(rows):
            rings = self._rows.arrays, self._times.arrays
            until = _take(rows, times, taken, rings, self._counts, active, is_open, self._accept_rows)
            if until == taken:  # for want of room
                self._rows.make_room()
                self._times.make_room()
            taken = until

    def state(self) -> State:
        return {"history": self.rows.copy(), "times": self._times.rows().copy(), "counts": self._counts.copy()}

    def load_state(self, state: State) -> None:
        self._rows.load(state["history"])
        self._times.load(state["times"])
        self._counts[:] = state["counts"]


@njit(cache=True, nogil=True, error_model="numpy")
def _take(
    rows: FloatArray,
    times: IntArray,
    start: int,
    rings: tuple[Arrays, Arrays],
    counts: IntArray,
    active: bool,
    is_open: bool,
    accept_rows: int,
) -> int:
    """Take rows from start on, while there is room; the row after the last one taken."""
    for t in range(start, rows.shape[0]):
        if not (has_room(rings[0]) and has_room(rings[1])):
            return t
        counts[CALM] = 0 if active else counts[CALM] + 1
        is_quiet = not is_open and counts[CALM] >= CALM_ROWS
        counts[UNREST] = 0 if is_quiet else counts[UNREST] + 1
        if is_quiet or counts[UNREST] > accept_rows:
            push(rings[0], rows[t])
            push(rings[1], times[t : t + 1])
    return int(rows.shape[0])
