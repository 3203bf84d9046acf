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

    muted: (G, C). share: (G, C) of the rows in which each was alone. Cost: some 2 ns a detector and column.
    """

    def __init__(self, detectors: int, columns: int, settings: MutingSettings) -> None:
        self._share = np.zeros((detectors, columns))
        self.muted = np.zeros((detectors, columns), dtype=np.bool_)
        can_mute = detectors > 1 and settings.enabled
        options: Options = (1.0 / settings.window_rows, settings.mutes_at, settings.heard_at, can_mute)
        self.mutes: Mutes = (self._share, self.muted, options)

    def follow(self, over: BoolArray, valid: BoolArray) -> BoolArray:
        """(T, G, C) who was muted in each row, by the rows before it.

        over: (T, G, C) who is over its line. valid: (T, C) False where nothing was there to be judged.
        """
        out = np.zeros(over.shape, dtype=np.bool_)
        follow(over, valid, self.mutes, out)
        return out

    def state(self) -> State:
        return {"share": self._share.copy(), "muted": self.muted.copy()}

    def load_state(self, state: State) -> None:
        self._share[:], self.muted[:] = state["share"], state["muted"]


@njit(cache=True, nogil=True, error_model="numpy")
def follow(over: BoolArray, valid: BoolArray, mutes: Mutes, out: BoolArray) -> bool:
    """Write (T, G, C) who is muted in each row; whether anybody is."""
    share, muted, options = mutes
    rate, mutes_at, heard_at, can_mute = options
    rows, detectors, columns = over.shape
    found = False
    out[:] = False
    for t in range(rows if can_mute else 0):
        for c in range(columns):
            heard, votes = 0, 0
            for g in range(detectors):
                out[t, g, c] = muted[g, c]
                heard += not muted[g, c]
                votes += over[t, g, c] and not muted[g, c]
            found |= heard < detectors
            if not valid[t, c]:
                continue
            for g in range(detectors):
                own = not out[t, g, c]
                if heard == own:  # nobody beside it
                    continue
                alone = over[t, g, c] and votes == own
                share[g, c] += rate * (alone - share[g, c])
                muted[g, c] = share[g, c] > mutes_at or (muted[g, c] and share[g, c] >= heard_at)
    return found
