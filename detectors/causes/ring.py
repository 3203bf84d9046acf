"""The newest rows of something, bounded, in order, as one contiguous array."""

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.block import IntArray

FIRST_ROWS = 64  # there is room for
SPARE = 8  # a full ring has room for 1 / SPARE of its rows more, and moves them when that is used up

Arrays: TypeAlias = tuple[NDArray[Any], IntArray]  # the store; the end of the rows in it, how many there are, the most


class Ring:
    """Keeps the last `capacity` rows of `width` numbers; adding rows is O(width) each, amortised, reading is a view.

    Room grows with the rows: a young system's ring is small. Compiled code adds rows by :func:`push`, while there is
    room.
    """

    def __init__(self, capacity: int, width: int, *, dtype: type[np.generic] = np.float64) -> None:
        self.capacity = capacity
        self._store: NDArray[Any] = np.zeros((0, width), dtype=dtype)
        self._place = np.array([0, 0, capacity])

    def __len__(self) -> int:
        return int(self._place.item(1))

    @property
    def arrays(self) -> Arrays:
        """For :func:`push`; valid until room is made."""
        return self._store, self._place

    def extend(self, rows: NDArray[Any]) -> None:
        """Add rows (n, width), the oldest first."""
        place, added = self._place, 0
        while added < len(rows):
            count = self.make_room(len(rows) - added)
            end = place.item(0) + count
            self._store[end - count : end] = rows[added : added + count]
            place[0], place[1] = end, min(place.item(1) + count, self.capacity)
            added += count

    def make_room(self, rows: int = 1) -> int:
        """For so many rows more, or fewer, but one at least: for how many there is room. None is lost by it."""
        free: int = len(self._store) - self._place.item(0)
        if not free:
            kept = self.rows()
            self._store = self._with_room(max(2 * len(kept), len(kept) + 1))
            self._store.reshape(-1)[: kept.size] = kept.reshape(-1)  # flat: else numpy copies twice where they overlap
            self._place[0] = len(kept)
            free = len(self._store) - len(kept)
        return min(free, rows)

    def rows(self) -> NDArray[Any]:
        """(n, width), oldest first; a view, valid until more are added."""
        end, size = self._place.item(0), self._place.item(1)
        return self._store[end - size : end]

    def load(self, rows: NDArray[Any]) -> None:
        self._store = self._with_room(len(rows))
        self._place[:2] = len(rows)
        self._store[: len(rows)] = rows

    def _with_room(self, rows: int) -> NDArray[Any]:
        """For so many rows, or as many as there will ever be; the store itself where it has that."""
        most = self.capacity + max(1, self.capacity // SPARE)
        room = min(most, max(rows, FIRST_ROWS))
        if len(self._store) >= room:
            return self._store
        return np.empty((room, self._store.shape[1]), dtype=self._store.dtype)


@njit(cache=True, nogil=True, error_model="numpy")
def push(ring: Arrays, row: NDArray[Any]) -> None:
    """Add a row (width,), for which there must be room."""
    store, place = ring
    copy(row, store[place[0]])
    place[0] += 1
    place[1] = min(place[1] + 1, place[2])


@njit(cache=True, nogil=True, error_model="numpy")
def has_room(ring: Arrays) -> bool:
    """For one more row."""
    return bool(ring[1][0] < ring[0].shape[0])


@njit(cache=True, nogil=True, error_model="numpy")
def copy(source: NDArray[Any], target: NDArray[Any]) -> None:
    """A loop: numba takes seconds to compile target[:] = source."""
    for k in range(source.shape[0]):
        target[k] = source[k]
