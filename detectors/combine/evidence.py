"""Fresh evidence: what a row alone says bounds what smoothed members may still say, so that no verdict has a tail.

Members that smooth rows see more, and go on seeing it after it is over. A member may not exceed the headroom times the
largest opinion that looks at the row alone. (On FerryBox this took 30 false minutes to 2.)
"""

from dataclasses import dataclass

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
    if bounds.shape[0] == 0:
        return out
    for t in range(members.shape[0]):
        bound = 0.0
        for f in range(bounds.shape[0]):
            bound = max(bound, bounds[f] * fresh[t, f])
        for m in range(members.shape[1]):
            out[t, m] = min(members[t, m], bound)
    return out
