"""From the detectors' raw scores to one ballot: each member and each variable on a scale of its own line, 1.0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import FloatArray, IntArray, Rows, State, nested, part
from detectors.combine.ballot import Ballot
from detectors.combine.calibration import Calibration, CalibrationSettings
from detectors.combine.evidence import EvidenceSettings, cut_tails
from detectors.online.protocol import Detector, Scores

COARSE = 3  # bits of the many histograms inside variables: a line exact to a tenth will do


@dataclass(frozen=True, slots=True)
class Collected:
    """What the detectors say of T rows.

    ballot: what is voted on. others: (T, N) calibrated row-wise members without a vote. raw: (T, K, D) per-variable
    scores as K detectors gave them, on their own scales.
    """

    ballot: Ballot
    others: FloatArray
    raw: FloatArray


class Opinions:
    """Collects what the detectors say of some rows. Members of detectors without a vote are calibrated all the same.

    members: (M,) names of the voting members, others: (N,) of the rest, inside: (K,) of the per-variable detectors.
    """

    def __init__(
        self,
        variables: int,
        detectors: Sequence[Detector],
        voters: Sequence[str],
        calibration: CalibrationSettings,
        evidence: EvidenceSettings,
    ) -> None:
        self.inside = [d.name for d in detectors if d.per_variable]
        columns = [(d, member) for d in detectors for member in d.members]
        votes = np.array([d.name in voters for d, _ in columns], dtype=np.bool_)
        self._voting, self._silent = np.flatnonzero(votes), np.flatnonzero(~votes)
        names = [f"{d.name}.{member}" for d, member in columns]
        self.members, self.others = [names[i] for i in self._voting], [names[i] for i in self._silent]
        # Detectors whose scores have their line at 1.0 already.
        self._own_rows = np.flatnonzero([d.calibrated for d, _ in columns])
        self._own_inside = np.flatnonzero([d.calibrated for d in detectors if d.per_variable])
        # Behind the members stands one more scorer a detector, for its fresh evidence; of voters it bounds the members.
        self._bounds = np.array([evidence.bound(d.name) if d.name in voters else np.nan for d in detectors])
        self._rows = Calibration(len(columns) + len(detectors), calibration)
        self._inside = Calibration(len(self.inside) * variables, calibration, bits=COARSE)

    def collect(self, rows: Rows, scores: Sequence[Scores]) -> Collected:
        """What every detector says of the rows, from their scores in the detectors' order."""
        judged, fresh = self._judge_rows(rows, scores)
        raw, within = self._judge_inside(rows, scores)
        members = judged[:, self._voting]
        cut = cut_tails(members, judged[:, len(self.members) + len(self.others) + fresh], self._bounds[fresh])
        return Collected(Ballot(rows, cut, within, members), judged[:, self._silent], raw)

    def _judge_rows(self, rows: Rows, scores: Sequence[Scores]) -> tuple[FloatArray, IntArray]:
        """Calibrated members, and fresh evidence behind them: (T, M + N + detectors), and whose of it bounds."""
        members = np.concatenate([s.members for s in scores], axis=1)
        raw = np.full((len(rows), members.shape[1] + len(scores)), np.nan)
        raw[:, : members.shape[1]] = members
        for i, s in enumerate(scores):
            if s.fresh is not None:
                raw[:, members.shape[1] + i] = s.fresh
        judged = self._rows.judge(raw, rows.quorum[:, None])
        if len(self._own_rows):
            judged[:, self._own_rows] = members[:, self._own_rows] * rows.quorum[:, None]
        bounding = [s.fresh is not None for s in scores] & ~np.isnan(self._bounds)
        return judged, np.flatnonzero(bounding)

    def _judge_inside(self, rows: Rows, scores: Sequence[Scores]) -> tuple[FloatArray, FloatArray]:
        """Per-variable scores (T, K, D), raw and calibrated."""
        given = [s.variables for s in scores if s.variables is not None]
        raw = np.empty((len(rows), len(given), rows.values.shape[1]))
        for k, variables in enumerate(given):
            raw[:, k] = variables
        within = self._inside.judge(raw.reshape(len(rows), -1), rows.present).reshape(raw.shape)
        if len(self._own_inside):
            within[:, self._own_inside] = raw[:, self._own_inside] * rows.present[:, None]
        return raw, within

    def state(self) -> State:
        return {**nested("rows", self._rows.state()), **nested("inside", self._inside.state())}

    def load_state(self, state: State) -> None:
        self._rows.load_state(part("rows", state))
        self._inside.load_state(part("inside", state))
