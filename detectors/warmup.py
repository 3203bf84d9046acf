"""How far a system is from its first verdict, and its detectors from their full voice."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WarmUp:
    """rows, needed: seen so far, at most needed, and needed for the first verdict.

    detectors: the same of each detector, counting the rows it has judged; until then its scores are held down, for a
    line made of few rows promises little.
    """

    rows: int
    needed: int
    detectors: Mapping[str, tuple[int, int]]

    @property
    def is_over(self) -> bool:
        return self.rows >= self.needed and not self.warming

    @property
    def warming(self) -> dict[str, tuple[int, int]]:
        """The detectors that are not done."""
        return {name: (rows, needed) for name, (rows, needed) in self.detectors.items() if rows < needed}
