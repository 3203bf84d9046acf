"""Segments: the stretches of rows within which detectors score against what they knew at the stretch's start.

The grid depends on the system's own row count only, whatever blocks arrive: that is why any split of the rows into
blocks gives the same bits. Segments start short, because early on each row teaches much, and grow to 16 rows.
"""

from collections.abc import Iterator

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State

LONGEST = 16


def segment_length(row: int) -> int:
    """Rows in the segment that holds this row (counted from the system's first, 0).

    >>> [segment_length(row) for row in (0, 511, 512, 1024, 4095, 4096, 10**6)]
    [1, 1, 2, 4, 8, 16, 16]
    """
    return min(LONGEST, 1 << (row // 512).bit_length())


def rows_left(row: int) -> int:
    """Rows from this one to the end of its segment, itself included."""
    length = segment_length(row)
    return length - row % length


def cut(row: int, count: int) -> Iterator[slice]:
    """Slices of a block of count rows, the first of which is the system's given row, at the ends of segments.

    >>> list(cut(510, 6))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    start = 0
    while start < count:
        stop = min(count, start + rows_left(row + start))
        yield slice(start, stop)
        start = stop


class Pending:
    """The rows of the open segment: scored and judged, not yet learned, with the weight the verdict left each."""

    def __init__(self, variables: int) -> None:
        self._values = np.zeros((LONGEST, variables))
        self._flags = np.zeros((3, LONGEST, variables), dtype=np.bool_)  # present, restart, renewed
        self._quorum = np.zeros(LONGEST, dtype=np.bool_)
        self._weights = np.zeros(LONGEST)
        self._first = 0
        self._count = 0

    @property
    def is_complete(self) -> bool:
        return self._count == segment_length(self._first)

    def add(self, rows: Rows, weights: FloatArray) -> None:
        """Append judged rows of the open segment; weights (T,)."""
        if not self._count:
            self._first = rows.first
        flags = (rows.present, rows.restart, rows.renewed)
        store = (self._values, self._flags, self._quorum, self._weights)
        self._count += _append(self._count, rows.values, flags, rows.quorum, weights, store)

    def take(self) -> tuple[Rows, FloatArray]:
        """The rows and their weights (T,), to be learned; the next segment starts empty. Valid until the next add."""
        rows, weights = self._rows(), self._weights[: self._count]
        self._count = 0
        return rows, weights

    def _rows(self) -> Rows:
        n = self._count
        present, restart, renewed = self._flags[0, :n], self._flags[1, :n], self._flags[2, :n]
        return Rows(self._first, self._values[:n], present, restart, renewed, self._quorum[:n])

    def state(self) -> State:
        rows = self._rows()
        return {
            "first": np.array(self._first),
            "values": rows.values.copy(),
            "flags": self._flags[:, : self._count].copy(),
            "quorum": rows.quorum.copy(),
            "weights": self._weights[: self._count].copy(),
        }

    def load_state(self, state: State) -> None:
        count = len(state["weights"])
        self._first, self._count = int(state["first"]), count
        self._values[:count] = state["values"]
        self._flags[:, :count] = state["flags"]
        self._quorum[:count] = state["quorum"]
        self._weights[:count] = state["weights"]


@njit(cache=True, nogil=True, error_model="numpy")
def _append(
    count: int,
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    quorum: BoolArray,
    weights: FloatArray,
    store: tuple[FloatArray, BoolArray, BoolArray, FloatArray],
) -> int:
    """Write rows behind the count that are there; how many."""
    present, restart, renewed = flags
    end = count + values.shape[0]
    store[0][count:end] = values
    store[1][0, count:end], store[1][1, count:end], store[1][2, count:end] = present, restart, renewed
    store[2][count:end], store[3][count:end] = quorum, weights
    return int(values.shape[0])
