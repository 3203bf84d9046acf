"""RoLA's polling: a flagged variable asks those it is strongly correlated with, and the majority decides.

M.-C. Lee, J.-C. Lin, "RoLA: A Real-Time Online Lightweight Anomaly Detection System for Multivariate Time Series",
2023. The full text was not at hand; the rule is that of public re-implementations:

    for each flagged variable a:  agree = 1, disagree = 0
        for each other b with r(a, b) < low or r(a, b) > high over the last p rows, both ending now:
            b is flagged, too: agree += 1, else disagree += 1
    the row is anomalous if agree > disagree and agree + disagree > 1 for some a

So negative correlations count like positive ones, a tie is no anomaly, only flags of the same row count, and a variable
with no strongly correlated partner can never report. The rule cuts false alarms by three quarters or more, and misses
events that only one member of a pair sees.

Ours: the score, which the paper does not have; who is flagged, which is left to the detectors inside each variable;
slack_rows, within which flags count together (0 is the paper's); and who answers a variable that has nobody to poll
(`partnerless`): the row-wise members, if most are over their lines in that row, or nobody, which is the paper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, State, nested, part
from detectors.combine.ballot import Ballot, Decision, majority, majority_now
from detectors.combine.correlation import Correlation
from detectors.combine.slack import Slack
from detectors.findings import Polled


@dataclass(frozen=True, slots=True)
class PollingSettings:
    """window_rows: p, the paper's two days of minutes. low, high: who correlates beyond them is polled; the paper's.

    partnerless: who is asked by a flagged variable that nobody correlates with: never = it cannot report, the paper's;
        members = the majority of the row-wise voters, where the preset has any (rola has none).
    """

    window_rows: int = 2880
    low: float = -0.95
    high: float = 0.95
    partnerless: Literal["never", "members"] = "never"

    def __post_init__(self) -> None:
        if self.window_rows < 2:
            raise ValueError(f"window_rows must be at least 2, got {self.window_rows}")
        if not -1 <= self.low <= self.high <= 1:
            raise ValueError(f"low and high must be in order between -1 and 1, got {self.low} and {self.high}")
        if self.partnerless not in ("never", "members"):
            raise ValueError(f"partnerless must be never or members, got {self.partnerless!r}")


class Polling:
    """Polls over the variables that a majority of the detectors inside them flags.

    Score of a row: the largest opinion of a variable whose poll said yes; where none did, the largest opinion of all,
    at most 1.0. Cost: that of :class:`detectors.combine.correlation.Correlation`.
    """

    name: ClassVar[str] = "polling"
    has_memory: ClassVar[bool] = True  # the correlations

    def __init__(
        self, variables: Sequence[str], settings: PollingSettings | None = None, *, slack_rows: int = 0
    ) -> None:
        self._variables = tuple(variables)
        self._settings = settings or PollingSettings()
        self._correlation = Correlation(len(self._variables), self._settings.window_rows)
        self._slack = slack_rows
        self._inside, self._flags = Slack(slack_rows), Slack(slack_rows)

    def decide(self, ballot: Ballot, asked: BoolArray) -> Decision:
        if not self._slack and not asked.any():
            self.follow(ballot)
            return Decision(np.zeros(len(asked)))
        opinions = majority_now(self._inside.hold(ballot.variables), ballot.variables, ballot.muted_inside)  # (T, D)
        held = self._flags.hold(opinions)
        members = majority(ballot.members, ballot.muted) if self._settings.partnerless == "members" else np.zeros(0)
        scores = np.minimum(opinions.max(axis=1, initial=0.0), 1.0)
        polled: dict[int, tuple[Polled, ...]] = {}
        followed = 0
        for t in map(int, np.flatnonzero(asked & (opinions > 1.0).any(axis=1))):
            self._correlation.follow(ballot.rows[followed : t + 1])
            followed = t + 1
            is_backed = len(members) > 0 and bool(members[t] > 1.0)
            reporting, polled[t] = self._poll(opinions[t] > 1.0, held[t] > 1.0, is_backed)
            if len(reporting):
                scores[t] = opinions[t, reporting].max()
        self._correlation.follow(ballot.rows[followed:])
        return Decision(scores, polled=polled)

    def follow(self, ballot: Ballot) -> None:
        if self._slack:
            self.decide(ballot, np.zeros(len(ballot.rows), dtype=np.bool_))
        else:
            self._correlation.follow(ballot.rows)

    def _poll(self, flagged: BoolArray, lately: BoolArray, is_backed: bool) -> tuple[IntArray, tuple[Polled, ...]]:
        """The flagged variables that report, and everybody who was polled, strongest correlation first.

        flagged, lately: (D,) in this row, and in it or the slack before it. is_backed: by the members of the row.
        """
        asking = np.flatnonzero(flagged)
        r = self._correlation.of(asking)  # (A, D)
        strong, yes = poll(lately, asking, r, self._settings.low, self._settings.high)
        yes |= is_backed & ~strong.any(axis=1)
        r = np.where(strong, r, 0.0)
        best = r[np.abs(r).argmax(axis=0), np.arange(len(flagged))]  # (D,) with whoever asks, the strongest
        order = np.argsort(-np.abs(best), kind="stable")
        asked = [b for b in map(int, order) if strong[:, b].any()]
        return asking[yes], tuple(
            Polled(self._variables[b], float(best[b]), bool(lately[b]), self._names(asking[strong[:, b]]))
            for b in asked
        )

    def _names(self, variables: IntArray) -> tuple[str, ...]:
        return tuple(self._variables[j] for j in variables)

    def state(self) -> State:
        slack = {**nested("inside", self._inside.state()), **nested("flags", self._flags.state())}
        return {**nested("correlation", self._correlation.state()), **slack}

    def load_state(self, state: State) -> None:
        self._correlation.load_state(part("correlation", state))
        self._inside.load_state(part("inside", state))
        self._flags.load_state(part("flags", state))


@njit(cache=True, nogil=True, error_model="numpy")
def poll(flagged: BoolArray, asking: IntArray, r: FloatArray, low: float, high: float) -> tuple[BoolArray, BoolArray]:
    """Who polls whom, (A, D), and whose poll says that the row is anomalous, (A,).

    flagged: (D,). asking: (A,) the flagged ones. r: (A, D) their correlations with all.
    """
    strong = np.zeros(r.shape, np.bool_)
    yes = np.zeros(asking.shape[0], np.bool_)
    for i in range(asking.shape[0]):
        agree, disagree = 1, 0
        for b in range(flagged.shape[0]):
            if b == asking[i] or low <= r[i, b] <= high:
                continue
            strong[i, b] = True
            if flagged[b]:
                agree += 1
            else:
                disagree += 1
        yes[i] = agree > disagree and agree + disagree > 1
    return strong, yes
