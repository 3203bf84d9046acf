"""The vote: from the detectors' raw opinions of some rows to scores, verdicts, guilt and learning weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State, nested, part
from detectors.combine.attribution import attribute
from detectors.combine.ballot import Ballot, Decision
from detectors.combine.calibration import Calibration
from detectors.combine.evidence import cut_tails
from detectors.combine.guard import Guard
from detectors.combine.line import Line
from detectors.online.protocol import Detector, Scores

if TYPE_CHECKING:
    from detectors.combine.ballot import Rule
    from detectors.settings import MonitorSettings


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the vote made of T rows. scores: unsmoothed, over the line. published: what leaves the monitor."""

    ballot: Ballot
    decision: Decision
    scores: FloatArray  # (T,)
    published: FloatArray  # (T,)
    verdicts: BoolArray  # (T,)
    lines: FloatArray  # (T,)
    guilt: FloatArray  # (T, D)
    weights: FloatArray  # (T,)


class Vote:
    """Brings opinions to one scale, decides by the rule, holds the decision against the line, weighs the rows.

    own_line: the line is 1.0 and is never damped, as in a paper's system that is run as it is.
    """

    def __init__(
        self,
        variables: int,
        detectors: Sequence[Detector],
        voters: Sequence[str],
        rule: "Rule",
        settings: "MonitorSettings",
        *,
        own_line: bool = False,
    ) -> None:
        self._settings = settings
        self._detectors = list(detectors)
        self._voters = set(voters)
        self._rule = rule
        self._variables = variables
        members = sum(len(d.members) for d in detectors if d.name in voters)
        self._fresh: list[str] | None = None
        self._members = Calibration(members + len(detectors), settings.calibration)
        inside = [d for d in detectors if d.per_variable]
        self._inside = Calibration(len(inside) * variables, settings.calibration, ratio=1.1, bins=320)
        self._line = Line(replace(settings.line, damped=settings.line.damped and not own_line))
        self._guard = Guard(settings.guard)
        self._smooth = np.zeros(1)
        self._rows = 0

    def judge(self, rows: Rows, opinions: Sequence[Scores]) -> Judgement:
        """Judge rows by the opinions of the detectors, in their order."""
        warm = np.arange(rows.first, rows.first + len(rows)) >= self._settings.warmup_rows
        judged = warm & rows.quorum
        ballot = self._ballot(rows, opinions)
        decision = self._rule.decide(ballot, judged)
        combined = np.where(judged, decision.scores, 0.0)
        lines, places = self._line.follow(combined, judged)
        scores = combined / lines
        published = np.empty(len(rows))
        _smooth(scores, published, self._smooth, self._settings.smoothing)
        weights = np.where(rows.quorum, self._guard.weigh(scores), 0.0)
        named = {d.name: o.variables for d, o in zip(self._detectors, opinions, strict=True) if o.variables is not None}
        guilt = attribute(named, places, self._settings.attribution)
        return Judgement(ballot, decision, scores, published, scores > 1.0, lines, guilt, weights)

    def _ballot(self, rows: Rows, opinions: Sequence[Scores]) -> Ballot:
        raw = [o.members for d, o in zip(self._detectors, opinions, strict=True) if d.name in self._voters]
        fresh = [(d.name, o.fresh) for d, o in zip(self._detectors, opinions, strict=True) if o.fresh is not None]
        members = np.concatenate([*raw, *(f[:, None] for _, f in fresh)], axis=1)
        valid = np.repeat(rows.quorum[:, None], members.shape[1], axis=1)
        calibrated = self._members.judge(members, valid)
        voting = calibrated.shape[1] - len(fresh)
        names = [name for name, _ in fresh]
        cut = cut_tails(calibrated[:, :voting], calibrated[:, voting:], names, self._settings.evidence)
        inside = [o.variables for o in opinions if o.variables is not None]
        stacked = np.stack(inside, axis=1)
        flat = stacked.reshape(len(rows), -1)
        there = np.repeat(rows.present[:, None], len(inside), axis=1).reshape(flat.shape)
        within = self._inside.judge(flat, there).reshape(stacked.shape)
        own_line = [d.calibrated for d in self._detectors if d.per_variable]
        within[:, own_line] = np.where(rows.present[:, None], stacked[:, own_line], 0.0)
        return Ballot(rows, cut, within)

    def state(self) -> State:
        return {
            **nested("members", self._members.state()),
            **nested("inside", self._inside.state()),
            **nested("rule", self._rule.state()),
            **nested("line", self._line.state()),
            **nested("guard", self._guard.state()),
            "smooth": self._smooth.copy(),
        }

    def load_state(self, state: State) -> None:
        self._members.load_state(part("members", state))
        self._inside.load_state(part("inside", state))
        self._rule.load_state(part("rule", state))
        self._line.load_state(part("line", state))
        self._guard.load_state(part("guard", state))
        self._smooth[:] = state["smooth"]


@njit(cache=True, nogil=True, error_model="numpy")
def _smooth(scores: FloatArray, published: FloatArray, carry: FloatArray, rate: float) -> None:
    for t in range(scores.shape[0]):
        carry[0] += rate * (scores[t] - carry[0])
        published[t] = carry[0]
