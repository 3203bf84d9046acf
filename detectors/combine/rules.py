"""The rules that make one decision of many opinions; each gives a score a row, with its line at 1.0.

weighted   the root mean square of the row-wise members: a majority in which each vote counts by how far it is over
           its line. The default: a plain majority over the same members was measurably worse on every set.
majority   more than half of the row-wise members are over their lines.
any        one of them is.
polling    RoLA's: see :mod:`detectors.combine.polling`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, State
from detectors.combine.ballot import Ballot, Decision, Rule, majority
from detectors.combine.polling import Polling, PollingSettings

RULES = ("weighted", "majority", "polling", "any")


class _OfMembers(ABC):
    """A rule over the row-wise members of each row alone."""

    @abstractmethod
    def combine(self, members: FloatArray) -> FloatArray:
        """(T,) scores of members (T, M)."""

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        if not asked.any():
            return Decision(np.zeros(len(asked)))
        uncut = None if ballot.uncut is None else self.combine(ballot.uncut)
        return Decision(self.combine(ballot.members), uncut)

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        del state  # there is none


class Weighted(_OfMembers):
    """Root mean square of the members."""

    name: ClassVar[str] = "weighted"

    def combine(self, members: FloatArray) -> FloatArray:
        return np.asarray(_root_mean_square(members))


class Majority(_OfMembers):
    """The least opinion that still belongs to the majority's."""

    name: ClassVar[str] = "majority"

    def combine(self, members: FloatArray) -> FloatArray:
        return majority(members)


class AnyOf(_OfMembers):
    """The largest opinion."""

    name: ClassVar[str] = "any"

    def combine(self, members: FloatArray) -> FloatArray:
        return np.asarray(members.max(axis=1, initial=0.0))


# The rules over the members of each row alone, which can be asked about any row at any time.
OF_MEMBERS: dict[str, type[Weighted | Majority | AnyOf]] = {rule.name: rule for rule in (Weighted, Majority, AnyOf)}


@njit(cache=True, nogil=True, error_model="numpy")
def _root_mean_square(members: FloatArray) -> FloatArray:
    out = np.zeros(members.shape[0])
    for t in range(members.shape[0]):
        for m in range(members.shape[1]):
            out[t] += members[t, m] * members[t, m]
        out[t] = np.sqrt(out[t] / max(1, members.shape[1]))
    return out


def make_rule(name: str, variables: Sequence[str], polling: PollingSettings | None = None) -> Rule:
    """The rule of this name. ValueError for a name that is not in RULES."""
    if name == Polling.name:
        return Polling(variables, polling)
    if name not in OF_MEMBERS:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    return OF_MEMBERS[name]()
