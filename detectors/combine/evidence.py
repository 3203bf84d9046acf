"""Fresh evidence: what a row alone says bounds what smoothed members may still say, so that no alarm has a tail.

Members that smooth rows see more, and go on seeing it after it is over. A member may not exceed the headroom times the
largest opinion that looks at the row alone. (On FerryBox this took 30 false minutes to 2.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import FloatArray


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """headroom: a member's bound, in units of the fresh evidence. neighbours, autoregression: weights of theirs."""

    headroom: float = 2.0
    neighbours: float = 1.0
    autoregression: float = 0.5

    def __post_init__(self) -> None:
        if self.headroom <= 0:
            raise ValueError(f"headroom must be above 0, got {self.headroom}")


def cut_tails(
    members: FloatArray, fresh: FloatArray, detectors: Sequence[str], settings: EvidenceSettings
) -> FloatArray:
    """Members (T, M) bounded by the fresh evidence (T, F) of these F detectors; unchanged where F = 0."""
    if not detectors:
        return members
    weights = np.array([getattr(settings, name, 1.0) for name in detectors])
    bound: FloatArray = settings.headroom * (fresh * weights).max(axis=1)
    return np.minimum(members, bound[:, None])
