"""Fresh evidence: what a row alone says bounds what smoothed members may still say, so that no verdict has a tail.

Members that smooth rows see more, and go on seeing it after it is over. A member may not exceed the headroom times the
largest opinion that looks at the row alone. (On FerryBox this took 30 false minutes to 2.)
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """headroom: a member's bound, in units of the fresh evidence. neighbours, autoregression: weights of theirs;
    a detector not named here has weight 1."""

    headroom: float = 2.0
    neighbours: float = 1.0
    autoregression: float = 0.5

    def __post_init__(self) -> None:
        if self.headroom <= 0:
            raise ValueError(f"headroom must be above 0, got {self.headroom}")

    def weight(self, detector: str) -> float:
        """Of this detector's fresh evidence."""
        return float(getattr(self, detector, 1.0))
