"""A memory of past rows, evenly spaced in time without dice, that thins as it ages.

A random reservoir does the same on average; its luck alone moved the accuracy by three hundredths of VUS-PR.

Entry. A row earns credit w max(M / seen, M / H), at most w; the j-th entry is made once the credit reaches
j + frac(.618034 j + u). The jitter keeps the stride from locking to a daily period; u comes from the seed.
Victim. Among the entries by age the one whose leaving opens the smallest gap, weighed down by age:
(T_next - T_prev) exp(-(seen - T) / H); never the newest, and the oldest counts 2 (T_next - T).
Release. Rows held back in an incident that lasts come to be the new normal: every tenth entry by age takes one of the
incident's last rows, and keeps its place by age, so that the thinning does not undo it at once.
"""

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray, State

GOLDEN = 0.618034


class Memory:
    """M slots of rows with F features of D variables, float32 relative to an origin; NaN = never seen then.

    entries: (M, F, D).  order: (M,) slots in use, oldest first.  born: (M,) by slot, the row it entered at, or the row
    it took the place of.  counts: slots filled, entries made.  credit: (1,).  Kernels take these arrays as one tuple.
    """

    def __init__(self, slots: int, features: int, variables: int) -> None:
        self.entries = np.zeros((slots, features, variables), dtype=np.float32)
        self.order = np.zeros(slots, dtype=np.int64)
        self.born = np.zeros(slots, dtype=np.int64)
        self.counts = np.zeros(2, dtype=np.int64)
        self.credit = np.zeros(1)

    @property
    def filled(self) -> int:
        return int(self.counts[0])

    def state(self) -> State:
        n = self.filled
        return {
            "entries": self.entries[:n].copy(),
            "order": self.order[:n].copy(),
            "born": self.born[:n].copy(),
            "counts": self.counts.copy(),
            "credit": self.credit.copy(),
        }

    def load_state(self, state: State) -> None:
        n = len(state["order"])
        self.entries[:n], self.order[:n], self.born[:n] = state["entries"], state["order"], state["born"]
        self.counts[:], self.credit[:] = state["counts"], state["credit"]


@njit(cache=True, nogil=True, error_model="numpy")
def offer(
    row: int,
    weight: float,
    order: IntArray,
    born: IntArray,
    counts: IntArray,
    credit: FloatArray,
    horizon: float,
    jitter: float,
) -> int:
    """The slot that this row (counted from 0) is to be written to, or -1 if it does not enter."""
    slots = order.shape[0]
    credit[0] += weight * min(1.0, slots * max(1.0 / (row + 1.0), 1.0 / horizon))
    number = counts[1]
    if credit[0] < number + (GOLDEN * number + jitter) % 1.0:
        return -1
    counts[1] += 1
    if counts[0] < slots:
        slot = counts[0]
        counts[0] += 1
    else:
        place = _victim(row, order, born, horizon)
        slot = order[place]
        order[place:-1] = order[place + 1 :].copy()
    order[counts[0] - 1] = slot
    born[slot] = row
    return int(slot)


@njit(cache=True, nogil=True, error_model="numpy")
def _victim(row: int, order: IntArray, born: IntArray, horizon: float) -> int:
    """Place by age of the entry that is missed least."""
    best, least = 0, np.inf
    for place in range(order.shape[0] - 1):
        here, after = born[order[place]], born[order[place + 1]]
        gap = 2.0 * (after - here) if place == 0 else float(after - born[order[place - 1]])
        missed = gap * np.exp((here - row) / horizon)
        if missed < least:
            best, least = place, missed
    return best
