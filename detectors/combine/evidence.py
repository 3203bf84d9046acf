"""Fresh evidence: what a row alone says bounds what smoothed members may still say, so that no verdict has a tail.

Members that smooth rows see more, and go on seeing it after it is over. A member may not exceed the headroom times the
largest opinion that looks at the row alone. (On FerryBox this took 30 false minutes to 2.)
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import FloatArray


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """headroom: a member's bound, in units of the fresh evidence. neighbours, autoregression: weights of theirs;
    a detector not named here has weight 1."""

    headroom: float = 1.5
    neighbours: float = 1.0
    autoregression: float = 0.5

    def __post_init__(self) -> None:
        if self.headroom <= 0:
            raise ValueError(f"headroom must be above 0, got {self.headroom}")

    def bound(self, detector: str) -> float:
        """What this detector's fresh evidence is multiplied by to bound the members."""
        weights = {"neighbours": self.neighbours, "autoregression": self.autoregression}
        return self.headroom * weights.get(detector, 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def cut_tails(members: FloatArray, fresh: FloatArray, bounds: FloatArray) -> FloatArray:
    """Members (T, M), bounded by the largest of the fresh evidence (T, F) times its bounds (F,), if there is any."""
    out = members.copy()
    for t in range(members.shape[0]):
        cut_row(members[t], fresh[t], bounds, out[t])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def cut_row(members: FloatArray, fresh: FloatArray, bounds: FloatArray, out: FloatArray) -> None:
    """One row's members (M,), bounded; evidence whose bound is NaN does not count, and without any there is no cut."""
    bound, given = 0.0, 0
    for f in range(bounds.shape[0]):
        if not np.isnan(bounds[f]):
            bound = max(bound, bounds[f] * fresh[f])
            given += 1
    for m in range(members.shape[0]):
        out[m] = min(members[m], bound) if given > 0 else members[m]
