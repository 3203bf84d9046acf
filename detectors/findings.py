"""What a monitor says: arrays for every row, and records for the rare things a person should see."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Vote:
    """One detector's opinion in a verdict. variable is None for a detector that judges the whole row.

    score: 1.0 is the line: for a whole row the verdict's own line, inside a variable the detector's.
    state: warming until the detector has judged as many rows as it needs; muted is told, and never counts.
    rows, needed: how many it had judged, at most needed, and how many it needs.
    uncut: what it said of the whole row before the row's fresh evidence bounded it.
    """

    detector: str
    variable: str | None
    score: float
    vote: bool
    state: Literal["warming", "ready", "muted"]
    rows: int
    needed: int
    uncut: float | None = None


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one variable did, what was expected of it, and its share of the verdict."""

    variable: str
    actual: float
    expected: float
    lower: float
    upper: float
    share: float


@dataclass(frozen=True, slots=True)
class Polled:
    """A correlated variable that was asked (RoLA), with its strongest correlation, whether it agreed, and who asked."""

    variable: str
    correlation: float
    agreed: bool
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A variable's reading, and another one in its place."""

    variable: str
    actual: float
    value: float


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The nearest readings that would have kept a row quiet, all else as it was; no changes: none were found."""

    changes: tuple[Change, ...]
    score: float  # the row's with the changes, at most 1.0; without any that would do, the verdict's
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row judged anomalous, with everything that led there."""

    time: int  # ns
    row: int  # counted from the system's first
    score: float  # 1.0 is the line
    votes: tuple[Vote, ...]
    contributions: tuple[Contribution, ...]  # largest share first
    polled: tuple[Polled, ...]
    rules: dict[str, bool]  # what each rule would have said: weighted, majority, polling
    rule: str = "weighted"  # the one that decided
    line: float = 1.0  # what the rule's score was held against, in units of the undamped line
    alerts_per_1000_rows: float = 0.0  # excursions over the line that began so far, this one included
    counterfactual: Counterfactual | None = None  # None: not asked for


@dataclass(frozen=True, slots=True)
class Standing:
    """How a system's vote stands after the rows so far.

    muted: detectors without a vote, for having voted alone (combine.muting).
    line: what the next row is held against, in units of the undamped line.
    alerts: excursions over the line that began, in so many judged_rows.
    reopened: how often an accepted drift opened the warm-up anew (combine.drift).
    late_trainings: rows in which the LSTM of a variable waited for its training (online.repad2).
    """

    muted: tuple[str, ...] = ()
    line: float = 1.0
    alerts: int = 0
    judged_rows: int = 0
    reopened: int = 0
    late_trainings: int = 0


@dataclass(frozen=True, slots=True)
class Trigger:
    """The system has changed state: root-cause analysis starts."""

    time: int  # ns
    row: int
    detector: str  # which trigger fired
    statistic: float
    threshold: float
    calibrated: bool  # False while the threshold is a prior, for want of quiet rows


@dataclass(frozen=True, slots=True)
class Silence:
    """Variables that were there regularly stay away, or are back; those of one entity in one row are one silence.

    entity: None for the system as a whole, of which too little was there to judge its rows; variables: those that fell
    silent, or came back, in this row, which may then be none.
    """

    time: int  # ns, of the row at which they had been missing for too long, or were back
    row: int
    entity: str | None
    variables: tuple[str, ...]
    since: int  # ns, their last reading before (the earliest, of several)
    usual_gap_rows: float  # how many rows they were usually missing between two readings
    state: Literal["silent", "back"]
    reason: Literal["missing", "stalled"] = "missing"  # stalled: counters that are there and do not rise


@dataclass(frozen=True, slots=True)
class Cause:
    """A candidate root cause; score is comparable within one ranking only."""

    entity: str
    variable: str
    score: float
    share: float  # of the ranking's whole score
    evidence: dict[str, float]  # e.g. deviation, conditional, onset_rows, walk


Holds = Literal["", "both", "since_change", "until_change"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed relation of the causal graph between two variables (or entities, for a given graph)."""

    cause: str
    effect: str
    lag: int  # rows
    weight: float  # standardised; 1.0 for a given relation of which nothing was learned
    origin: Literal["given", "learned"]
    rows: int = 0  # sample size: the rows that lag and weight were learned from
    holds: Holds = ""  # in which state; "": not told apart (causes.learning.form: joint)


@dataclass(frozen=True, slots=True)
class Ranking:
    """One revision of an episode's ranked causes."""

    opened: int  # ns, time of the trigger or verdict that opened the episode: its identity
    opened_by: Literal["trigger", "verdict"]
    onset: int  # ns, estimated start of the change
    time: int  # ns of the newest row that was used
    revision: int  # from 0
    causes: tuple[Cause, ...]  # best first
    baseline_causes: tuple[Cause, ...]  # the plain deviation ranking, best first
    edges: tuple[Edge, ...]
    converged: bool
    ended: bool  # no further revision will follow
    confidence: float  # 0 to 1, no probability
    answer: str  # the first cause's entity, or "unknown": then the causes are guesses
    note: str = ""  # why it gave up, or what to doubt
    graph_agreement: float | None = None  # of the learned graph with the one before, 0 to 1; None: none before


@dataclass(frozen=True, slots=True)
class Onset:
    """When a variable left its normal range, and what it did then against what was expected of it."""

    variable: str
    time: int  # ns
    rows: int  # after the change
    deviation: float  # how far it strayed, in units of its scale
    actual: float  # its furthest reading
    expected: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A ranking with the story around it.

    onsets: of the variables that moved, in the order in which they did.  path: from the first cause to the symptom,
    edge by edge; empty where the graph leads nowhere.
    """

    ranking: Ranking
    onsets: tuple[Onset, ...]
    path: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What one step of a monitor found. T rows, D variables.

    scores: (T,) the verdict score, 1.0 is the line, finite and >= 0 (0 while warming).
    verdicts: (T,) bool.
    variable_scores: (T, D) how guilty each variable looks; comparable within a row and over rows.
    normal: (T,) bool, True where the guard would let the row be learned in full (what the autoencoder trains on).
    unsmoothed: (T,) what the verdicts were made of: over 1.0 is one.
    """

    times: IntArray
    scores: FloatArray
    verdicts: BoolArray
    variable_scores: FloatArray
    normal: BoolArray
    details: list[Verdict] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    unsmoothed: FloatArray | None = None


def joined(times: IntArray, found: Sequence[Findings], variables: int) -> Findings:
    """The findings of consecutive pieces of a block of these times as the block's."""
    if len(found) == 1:
        return found[0]
    if not found:
        none = np.zeros(0, dtype=np.bool_)
        return Findings(times, np.zeros(0), none, np.zeros((0, variables)), none.copy())
    unsmoothed = [f.unsmoothed for f in found if f.unsmoothed is not None]
    return Findings(
        times,
        np.concatenate([f.scores for f in found]),
        np.concatenate([f.verdicts for f in found]),
        np.concatenate([f.variable_scores for f in found]),
        np.concatenate([f.normal for f in found]),
        [verdict for f in found for verdict in f.details],
        [trigger for f in found for trigger in f.triggers],
        [ranking for f in found for ranking in f.rankings],
        [silence for f in found for silence in f.silences],
        np.concatenate(unsmoothed) if len(unsmoothed) == len(found) else None,
    )
