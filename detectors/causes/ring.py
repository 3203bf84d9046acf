"""The newest rows of something, bounded, in order, as one contiguous array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST_ROWS = 64  # there is room for
SPARE = 8  # a full ring has room for 1 / SPARE of its rows more, and moves them when that is used up


class Ring:
    """Keeps the last `capacity` rows of `width` numbers; appending is O(width) amortised, reading is a view.

    Room grows with the rows: a young system's ring is small.
    """

    def __init__(self, capacity: int, width: int, *, dtype: type[np.generic] = np.float64) -> None:
        self.capacity = capacity
        self._store: NDArray[Any] = np.zeros((0, width), dtype=dtype)
        self._end = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, row: NDArray[Any]) -> None:
        if self._end == len(self._store):
            kept = self.rows()[max(0, self._size + 1 - self.capacity) :]
            self._store = self._with_room(2 * len(kept))
            self._store[: len(kept)] = kept
            self._end = len(kept)
        self._store[self._end] = row
        self._end += 1
        self._size = min(self._size + 1, self.capacity)

    def rows(self) -> NDArray[Any]:
        """(n, width), oldest first; a view, valid until the next append."""
        return self._store[self._end - self._size : self._end]

    def load(self, rows: NDArray[Any]) -> None:
        self._store = self._with_room(len(rows))
        self._size = self._end = len(rows)
        self._store[: len(rows)] = rows

    def _with_room(self, rows: int) -> NDArray[Any]:
        """For so many rows, or as many as there will ever be; the store itself where it has that."""
        most = self.capacity + max(1, self.capacity // SPARE)
        room = min(most, max(rows, FIRST_ROWS))
        if len(self._store) >= room:
            return self._store
        return np.empty((room, self._store.shape[1]), dtype=self._store.dtype)
