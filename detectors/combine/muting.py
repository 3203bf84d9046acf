"""Muting: a detector that keeps crying wolf loses its vote, visibly, and gets it back when it behaves.

A detector cries alone in a row in which it votes, and of the others that have a vote none does. Calibration holds every
detector at its stated rate as long as it moves; one that broke (its score rose and stays) is alone in nearly every row,
while a true incident that only one detector sees ends when the neighbours' memory accepts it (see online.neighbours).

    share += (alone - share) / window_rows;  muted from share > mutes_at until share < heard_at

The share of a detector that is alone all the time passes .5 after .7 window_rows, so that an incident of release_rows =
720 rows, seen by one detector only, stays well below with the default of 2,000. Whoever has nobody beside him to
contradict him is never muted: so somebody always votes. Muted detectors are still scored and calibrated, and told.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, State

Options: TypeAlias = tuple[float, float, float, bool]  # rate, mutes_at, heard_at, whether anybody can be muted
Mutes: TypeAlias = tuple[FloatArray, BoolArray, Options]  # share, muted, options


@dataclass(frozen=True, slots=True)
class MutingSettings:
    """enabled: False lets every detector vote always.

    window_rows: rows over which the share of lonely votes is taken; a row's weight is 1 / e of a new one's after them.
    mutes_at: share of rows alone over the line that costs the vote. heard_at: share below which it comes back.
    """

    enabled: bool = True
    window_rows: int = 2_000
    mutes_at: float = 0.5
    heard_at: float = 0.1

    def __post_init__(self) -> None:
        if self.window_rows < 1:
            raise ValueError(f"window_rows must be at least 1, got {self.window_rows}")
        if not 0 < self.heard_at < self.mutes_at < 1:
            raise ValueError(
                f"heard_at and mutes_at must hold 0 < heard_at < mutes_at < 1, got {self.heard_at} and {self.mutes_at}"
            )


class Muting:
    """Who of G detectors has lost its vote in each of C columns: the variables, or one for the whole row.

    Rows are taken in by :func:`follow`, with `mutes`.

    muted: (G, C). share: (G, C) of the rows in which each was alone. Cost: some 2 ns a detector and column.
    """

    def __init__(self, detectors: int, columns: int, settings: MutingSettings) -> None:
        self._share = np.zeros((detectors, columns))
        self.muted = np.zeros((detectors, columns), dtype=np.bool_)
        can_mute = detectors > 1 and settings.enabled
        options: Options = (1.0 / settings.window_rows, settings.mutes_at, settings.heard_at, can_mute)
        self.mutes: Mutes = (self._share, self.muted, options)

    def state(self) -> State:
        return {"share": self._share.copy(), "muted": self.muted.copy()}

    def load_state(self, state: State) -> None:
        self._share[:], self.muted[:] = state["share"], state["muted"]


@njit(cache=True, nogil=True, error_model="numpy")
def follow(over: BoolArray, valid: BoolArray, mutes: Mutes, out: BoolArray) -> bool:
    """Write (T, G, C) who is muted in each row; whether anybody is."""
    share, muted, options = mutes
    out[:] = False
    found, t = False, 0
    while options[3] and t < over.shape[0]:
        if muted.any():
            found, out[t] = True, muted
            _follow_row(over[t], valid[t], share, muted, out[t], options)
            t += 1
        else:
            t = _follow_heard(over, valid, t, share, muted, options)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _follow_row(
    over: BoolArray, valid: BoolArray, share: FloatArray, muted: BoolArray, before: BoolArray, options: Options
) -> None:
    """Take in a row; before: (G, C) who is muted in it."""
    rate, mutes_at, heard_at, _ = options
    detectors, columns = over.shape
    for c in range(columns):
        if not valid[c]:
            continue
        heard, votes = 0, 0
        for g in range(detectors):
            heard += not before[g, c]
            votes += over[g, c] and not before[g, c]
        for g in range(detectors):
            own = not before[g, c]
            if heard == own:  # nobody beside it
                continue
            alone = over[g, c] and votes == own
            share[g, c] += rate * (alone - share[g, c])
            muted[g, c] = share[g, c] > mutes_at or (muted[g, c] and share[g, c] >= heard_at)


@njit(cache=True, nogil=True, error_model="numpy")
def _follow_heard(
    over: BoolArray, valid: BoolArray, first: int, share: FloatArray, muted: BoolArray, options: Options
) -> int:
    """The same, column by column side by side, from the first row on and until somebody is muted, which is seldom;
    returns the row after."""
    rate, mutes_at = options[0], options[1]
    rows, detectors, columns = over.shape
    votes = np.empty(columns, dtype=np.int64)
    for t in range(first, rows):
        crossed = 0
        votes[:] = 0
        for g in range(detectors):
            for c in range(columns):
                votes[c] += over[t, g, c]
        for g in range(detectors):
            for c in range(columns):
                alone = 1.0 if over[t, g, c] & (votes[c] == 1) else 0.0
                now = share[g, c]
                share[g, c] = now + rate * (alone - now) if valid[t, c] else now
                crossed += share[g, c] > mutes_at
        if crossed > 0:
            muted[:] = share > mutes_at
            return t + 1
    return int(rows)
