"""The rules that make one decision of many opinions; each gives a score a row, with its line at 1.0.

weighted   the root mean square of the row-wise members: a majority in which each vote counts by how far it is over
           its line. The default: a plain majority over the same members was measurably worse on every set.
majority   more than half of the row-wise members are over their lines.
any        one of them is.
polling    RoLA's: see :mod:`detectors.combine.polling`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.findings import Polled


@dataclass(frozen=True, slots=True)
class Ballot:
    """All opinions of T rows on one scale, 1.0 = the line.

    rows: the rows themselves, which polling correlates.
    members: (T, M) row-wise members that have a vote.
    variables: (T, K, D) per-variable scores of K detectors; 0 where the reading is missing.
    """

    rows: Rows
    members: FloatArray
    variables: FloatArray

    def within(self) -> FloatArray:
        """(T, D) what a majority of the detectors inside each variable says: over 1.0 where more than half vote.

        A row-wise member is one more voter inside every variable only where a preset says so (combine.presets).
        """
        return majority(self.variables)


@dataclass(frozen=True, slots=True)
class Decision:
    """scores: (T,) over 1.0 = anomalous. polled: for rows that were polled, by their place in the block."""

    scores: FloatArray
    polled: Mapping[int, tuple[Polled, ...]] = field(default_factory=dict)


class Rule(Protocol):
    """One way to decide. A rule with a memory (polling's correlations) follows every row, in any cut into blocks."""

    name: ClassVar[str]

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        """Decide the rows asked (T,); the scores of the others mean nothing. Called once for every row, in order."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


def majority(opinions: FloatArray) -> FloatArray:
    """The k-th largest of K opinions, k just over half of K: over 1.0 exactly where more than half are.

    opinions: (T, K) or (T, K, D). Returns (T,) or (T, D); 0 for K = 0.

    >>> majority(np.array([[3.0, 0.5, 1.5], [3.0, 0.5, 0.7]]))
    array([1.5, 0.7])
    """
    voters = opinions.shape[1]
    if not voters:
        return np.zeros((opinions.shape[0], *opinions.shape[2:]))
    needed = voters // 2 + 1
    ordered: FloatArray = np.sort(opinions, axis=1)[:, voters - needed]
    return ordered


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


def make_rule(name: str, variables: Sequence[str]) -> Rule:
    """The rule of this name."""
    rules: dict[str, type[Weighted] | type[Majority] | type[AnyOf]] = {r.name: r for r in (Weighted, Majority, AnyOf)}
    if name not in rules:
        raise ValueError(f"rule must be one of {', '.join(rules)}, got {name!r}")
    return rules[name]()
