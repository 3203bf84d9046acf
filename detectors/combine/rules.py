"""The rules that make one decision of many opinions; each gives a score a row, with its line at 1.0.

weighted   the root mean square of the row-wise members: a majority in which each vote counts by how far it is over
           its line. The default: a plain majority over the same members was measurably worse on every set.
majority   more than half of the row-wise members are over their lines.
any        one of them is.
polling    RoLA's: see :mod:`detectors.combine.polling`.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from detectors.block import BoolArray, State
from detectors.combine.ballot import Ballot, Decision, Rule, majority
from detectors.combine.polling import Polling, PollingSettings


class _Memoryless:
    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        pass


class Weighted(_Memoryless):
    """Root mean square of the members."""

    name: ClassVar[str] = "weighted"

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        members = ballot.members
        total = np.zeros(len(members))
        for m in range(members.shape[1]):  # in order, so that the bits do not depend on T
            total += members[:, m] ** 2
        return Decision(np.sqrt(total / max(1, members.shape[1])))


class Majority(_Memoryless):
    """The least opinion that still belongs to the majority's."""

    name: ClassVar[str] = "majority"

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        return Decision(majority(ballot.members))


class AnyOf(_Memoryless):
    """The largest opinion."""

    name: ClassVar[str] = "any"

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        return Decision(ballot.members.max(axis=1, initial=0.0))


def make_rule(name: str, variables: Sequence[str], polling: PollingSettings | None = None) -> Rule:
    """The rule of this name."""
    if name == Polling.name:
        return Polling(variables, polling)
    rules: dict[str, type[Weighted] | type[Majority] | type[AnyOf]] = {r.name: r for r in (Weighted, Majority, AnyOf)}
    if name not in rules:
        raise ValueError(f"rule must be one of {', '.join([*rules, Polling.name])}, got {name!r}")
    return rules[name]()
