"""The rules that make one decision of many opinions; each gives a score a row, with its line at 1.0.

weighted   the root mean square of the row-wise members: a majority in which each vote counts by how far it is over
           its line. The default: a plain majority over the same members was measurably worse on every set.
majority   more than half of the row-wise members are over their lines, in this row or the slack_rows before it, and at
           least one of them in this row.
any        one of them is.
polling    RoLA's: see :mod:`detectors.combine.polling`.

Members that are muted (see :mod:`detectors.combine.muting`) count in none of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, State, nested, part
from detectors.combine.ballot import Ballot, Decision, Rule, majority, majority_now
from detectors.combine.polling import Polling, PollingSettings
from detectors.combine.slack import Slack

RULES = ("weighted", "majority", "polling", "any")

NOBODY = np.zeros((1, 0), dtype=np.bool_)  # is muted


class _OfMembers(ABC):
    """A rule over the row-wise members of each row alone."""

    has_memory: ClassVar[bool] = False

    @abstractmethod
    def combine(self, members: FloatArray, muted: BoolArray | None) -> FloatArray:
        """(T,) scores of members (T, M), without those muted (T, M)."""

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        del asked  # a row costs too little to be left out
        uncut = None if ballot.uncut is None else self.combine(ballot.uncut, ballot.muted)
        return Decision(self.combine(ballot.members, ballot.muted), uncut)

    def follow(self, ballot: Ballot) -> None:
        del ballot  # nothing is kept

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        del state  # there is none


class Weighted(_OfMembers):
    """Root mean square of the members."""

    name: ClassVar[str] = "weighted"

    def combine(self, members: FloatArray, muted: BoolArray | None) -> FloatArray:
        out: FloatArray = np.zeros(len(members))
        _root_mean_square(members, NOBODY if muted is None else muted, out)
        return out

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        uncut = ballot.members if ballot.uncut is None else ballot.uncut
        out = np.zeros((2, len(asked)))
        _both(ballot.members, uncut, NOBODY if ballot.muted is None else ballot.muted, out)
        return Decision(out[0], out[1])


class Majority:
    """The least opinion that still belongs to the majority's, over the row and the slack before it; at most the largest
    opinion of the row itself, so that no verdict outlasts the last vote."""

    name: ClassVar[str] = "majority"

    def __init__(self, slack_rows: int = 0) -> None:
        self.has_memory = slack_rows > 0
        self._cut, self._uncut = Slack(slack_rows), Slack(slack_rows)

    def follow(self, ballot: Ballot) -> None:
        self._hold(ballot)

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        held, held_uncut = self._hold(ballot)
        if not asked.any():
            return Decision(np.zeros(len(asked)))
        scores = majority_now(held, ballot.members, ballot.muted)
        if held_uncut is None or ballot.uncut is None:
            return Decision(scores)
        return Decision(scores, majority_now(held_uncut, ballot.uncut, ballot.muted))

    def _hold(self, ballot: Ballot) -> tuple[FloatArray, FloatArray | None]:
        """The members and the uncut ones, held over the slack."""
        return self._cut.hold(ballot.members), None if ballot.uncut is None else self._uncut.hold(ballot.uncut)

    def combine(self, members: FloatArray, muted: BoolArray | None) -> FloatArray:
        """(T,) scores of members (T, M), without those muted (T, M) and without slack."""
        return majority(members, muted)

    def state(self) -> State:
        return {**nested("cut", self._cut.state()), **nested("uncut", self._uncut.state())}

    def load_state(self, state: State) -> None:
        self._cut.load_state(part("cut", state))
        self._uncut.load_state(part("uncut", state))


class AnyOf(_OfMembers):
    """The largest opinion."""

    name: ClassVar[str] = "any"

    def combine(self, members: FloatArray, muted: BoolArray | None) -> FloatArray:
        heard = members if muted is None else np.where(muted, 0.0, members)
        return np.asarray(heard.max(axis=1, initial=0.0))


# The rules over the members of each row alone, which can be asked about any row at any time.
OF_MEMBERS: dict[str, type[Weighted | Majority | AnyOf]] = {rule.name: rule for rule in (Weighted, Majority, AnyOf)}


@njit(cache=True, nogil=True, error_model="numpy")
def _root_mean_square(members: FloatArray, muted: BoolArray, out: FloatArray) -> None:
    """Write that of members (T, M) to out (T,), zeros; muted: (T, M), or (1, 0) if nobody is."""
    for t in range(members.shape[0]):
        heard = 0
        for m in range(members.shape[1]):
            if muted.shape[1] > 0 and muted[t, m]:
                continue
            heard += 1
            out[t] += members[t, m] * members[t, m]
        out[t] = np.sqrt(out[t] / max(1, heard))


@njit(cache=True, nogil=True, error_model="numpy")
def _both(members: FloatArray, uncut: FloatArray, muted: BoolArray, out: FloatArray) -> None:
    """The members' and the uncut members', (2, T), in one call."""
    _root_mean_square(members, muted, out[0])
    _root_mean_square(uncut, muted, out[1])


def make_rule(
    name: str, variables: Sequence[str], polling: PollingSettings | None = None, *, slack_rows: int = 0
) -> Rule:
    """The rule of this name. ValueError for a name that is not in RULES."""
    if name == Polling.name:
        return Polling(variables, polling, slack_rows=slack_rows)
    if name == Majority.name:
        return Majority(slack_rows)
    if name not in OF_MEMBERS:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    return OF_MEMBERS[name]()
