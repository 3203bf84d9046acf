"""What is voted on, what comes of it, and what a rule is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.findings import Polled


class Ballot(NamedTuple):
    """All opinions of T rows on one scale, 1.0 = the line.

    rows: the rows themselves, which polling correlates.
    members: (T, M) row-wise members that have a vote, cut to the fresh evidence.
    variables: (T, K, D) per-variable scores of K detectors; 0 where the reading is missing.
    uncut: (T, M) the members before the cut, if any was made.
    muted, muted_inside: (T, M) and (T, K, D) whose vote does not count in that row, if anybody's (see combine.muting).
    """

    rows: Rows
    members: FloatArray
    variables: FloatArray
    uncut: FloatArray | None = None
    muted: BoolArray | None = None
    muted_inside: BoolArray | None = None


class Decision(NamedTuple):
    """scores: (T,) over 1.0 = anomalous. uncut: (T,) the same with the tails of smoothed members, if the rule has any.
    polled: who was asked, by the row's place in the block."""

    scores: FloatArray
    uncut: FloatArray | None = None
    polled: Mapping[int, tuple[Polled, ...]] = MappingProxyType({})


class Rule(Protocol):
    """One way to decide. A rule with a memory (polling's correlations) follows every row, in any cut into blocks:
    for each, in order, either :meth:`decide` or :meth:`follow` is called once."""

    name: ClassVar[str]

    @property
    def has_memory(self) -> bool: ...

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        """Decide the rows asked (T,); the scores of the others mean nothing."""

    def follow(self, ballot: Ballot) -> None:
        """Take in rows that nobody asks about."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


def majority(opinions: FloatArray, muted: BoolArray | None = None) -> FloatArray:
    """The k-th largest of K opinions, k just over half of K: over 1.0 exactly where more than half are.

    opinions: (T, K) or (T, K, D). muted: the same shape, who does not count. Returns (T,) or (T, D); 0 for K = 0.

    >>> majority(np.array([[3.0, 0.5, 1.5], [3.0, 0.5, 0.7]]))
    array([1.5, 0.7])
    """
    voters = opinions.shape[1]
    if not voters:
        return np.zeros((opinions.shape[0], *opinions.shape[2:]))
    if muted is None:
        ordered: FloatArray = np.sort(opinions, axis=1)[:, voters - (voters // 2 + 1)]
        return ordered
    needed = (~muted).sum(axis=1, keepdims=True) // 2 + 1
    ordered = np.sort(np.where(muted, 0.0, opinions), axis=1)  # who is muted comes first: no opinion is less than 0
    chosen: FloatArray = np.take_along_axis(ordered, voters - needed, axis=1)[:, 0]
    return chosen


def majority_now(held: FloatArray, opinions: FloatArray, muted: BoolArray | None = None) -> FloatArray:
    """The majority of opinions held over some rows (see combine.slack), at most the largest opinion of the row itself.

    Without slack, where held = opinions, it is the majority.
    """
    if held is opinions:
        return majority(opinions, muted)
    heard = opinions if muted is None else np.where(muted, 0.0, opinions)
    least: FloatArray = np.minimum(majority(held, muted), heard.max(axis=1, initial=0.0))
    return least
