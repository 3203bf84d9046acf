"""The counterfactual of a verdict: the nearest readings that would have kept the row quiet, all else as it was.

Readings move along the way from the actual to the expected one of the verdict's contributions, and the row is scored
again (see combine.what_if):

1. one of the three variables with the largest shares alone, if the row is quiet at the end of its way;
2. else those of the largest shares together, each the same share of its own way: so many that the row is quiet at the
   end, and with one fewer is not.

Then the least share of the way at which the row is quiet is looked for at quarters, and halved to 1 / 256. So the score
there is at most the line, and a step of 1 / 256 nearer, as well as half as far, it is over the line. Scores need not
fall steadily: a quiet reading between two quarters can be overlooked for one that is farther.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from detectors.findings import Change, Contribution, Counterfactual

ALONE = 3  # variables
STEPS = 4  # of the way, looked at from the actual reading on
TOLERANCE = 2.0**-8  # of the way

Rescore: TypeAlias = Callable[[Mapping[str, float]], float]  # readings by variable -> the row's score with them


@dataclass(frozen=True, slots=True)
class CounterfactualSettings:
    """opening_rows: so many first rows of each run over the line get a counterfactual; 0: none does.

    variables: the most that are changed together.
    """

    opening_rows: int = 3
    variables: int = 10

    def __post_init__(self) -> None:
        if self.opening_rows < 0:
            raise ValueError(f"opening_rows must be at least 0, got {self.opening_rows}")
        if self.variables < 1:
            raise ValueError(f"variables must be at least 1, got {self.variables}")


def nearest_quiet(
    contributions: Sequence[Contribution], score: float, rescore: Rescore, *, variables: int
) -> Counterfactual:
    """The counterfactual of a row with this score, from its contributions, the largest share first."""
    ways = [c for c in contributions if c.actual != c.expected][:variables]
    group = _one(ways, rescore) or _several(ways, rescore)
    if not group:
        return Counterfactual((), score, f"no single reading would have kept it quiet, nor {_all_of(len(ways))}")
    changes = _changed(group, least_share(lambda share: _is_quiet(group, share, rescore)))
    note = "" if len(group) == 1 else "no single reading would have kept it quiet"
    return Counterfactual(changes, rescore(_readings(changes)), note)


def _one(ways: Sequence[Contribution], rescore: Rescore) -> Sequence[Contribution]:
    """The first variable that is enough; none if none is."""
    return next(([way] for way in ways[:ALONE] if _is_quiet([way], 1.0, rescore)), [])


def _several(ways: Sequence[Contribution], rescore: Rescore) -> Sequence[Contribution]:
    """The first variables that are enough together, while one fewer are not; none if all are not enough."""
    if not _is_quiet(ways, 1.0, rescore):
        return []
    too_few, enough = 1, len(ways)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if _is_quiet(ways[:middle], 1.0, rescore) else (middle, enough)
    return ways[:enough]


def least_share(is_quiet: Callable[[float], bool]) -> float:
    """The least share of the way at which it is quiet, above 0 and up to 1, where it is known to be quiet.

    >>> least_share(lambda share: share >= 0.3), least_share(lambda share: share == 1)
    (0.30078125, 1.0)
    """
    steps = (step / STEPS for step in range(1, STEPS))
    high = next((share for share in steps if is_quiet(share)), 1.0)
    low = high - 1 / STEPS
    while high > TOLERANCE:
        while high - low > TOLERANCE:
            middle = (low + high) / 2
            low, high = (low, middle) if is_quiet(middle) else (middle, high)
        if not is_quiet(high / 2):
            break
        low, high = 0.0, high / 2
    return high


def _is_quiet(group: Sequence[Contribution], share: float, rescore: Rescore) -> bool:
    return rescore(_readings(_changed(group, share))) <= 1.0


def _changed(group: Sequence[Contribution], share: float) -> tuple[Change, ...]:
    return tuple(Change(c.variable, c.actual, c.actual + share * (c.expected - c.actual)) for c in group)


def _readings(changes: Sequence[Change]) -> dict[str, float]:
    return {change.variable: change.value for change in changes}


def _all_of(count: int) -> str:
    return f"those of the {count} largest shares together" if count > 1 else "any other"
