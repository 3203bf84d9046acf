"""The newest rows of something, bounded, in order, as one contiguous array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Ring:
    """Keeps the last `capacity` rows of `width` numbers; appending is O(width) amortised, reading is a view."""

    def __init__(self, capacity: int, width: int, *, dtype: type[np.generic] = np.float64) -> None:
        self.capacity = capacity
        self._store: NDArray[Any] = np.zeros((2 * capacity, width), dtype=dtype)
        self._end = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, row: NDArray[Any]) -> None:
        if self._end == len(self._store):
            kept = self.capacity - 1
            self._store[:kept] = self._store[self._end - kept :]
            self._end = kept
        self._store[self._end] = row
        self._end += 1
        self._size = min(self._size + 1, self.capacity)

    def rows(self) -> NDArray[Any]:
        """(n, width), oldest first; a view, valid until the next append."""
        return self._store[self._end - self._size : self._end]

    def load(self, rows: NDArray[Any]) -> None:
        self._size = self._end = len(rows)
        self._store[: len(rows)] = rows
