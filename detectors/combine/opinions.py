"""From the detectors' raw scores to one ballot: each member and each variable on a scale of its own line, 1.0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray, Rows, State, nested, part
from detectors.combine.ballot import Ballot
from detectors.combine.calibration import HIGHEST, Calibration, CalibrationSettings
from detectors.combine.evidence import EvidenceSettings, cut_tails
from detectors.combine.muting import Muting, MutingSettings
from detectors.online.protocol import Detector, Scores

COARSE = 3  # bits of the many histograms inside variables: a line exact to a tenth will do


@dataclass(frozen=True, slots=True)
class Collected:
    """What the detectors say of T rows.

    ballot: what is voted on. others: (T, N) calibrated row-wise members without a vote. raw: (T, K, D) per-variable
    scores as K detectors gave them, on their own scales. lines: (T, M + N + detectors) the raw scores that the row-wise
    ones, fresh evidence behind them, were held against.
    """

    ballot: Ballot
    others: FloatArray
    raw: FloatArray
    lines: FloatArray


class Opinions:
    """Collects what the detectors say of some rows. Members of detectors without a vote are calibrated all the same.

    members: (M,) names of the voting members, others: (N,) of the rest, inside: (K,) of the per-variable detectors,
    voters: (V,) of the detectors whose members vote.
    """

    def __init__(
        self,
        variables: int,
        detectors: Sequence[Detector],
        voters: Sequence[str],
        calibration: CalibrationSettings,
        evidence: EvidenceSettings,
        muting: MutingSettings,
    ) -> None:
        self._names = [d.name for d in detectors]
        self.inside = [d.name for d in detectors if d.per_variable]
        columns = [(d, member) for d in detectors for member in d.members]
        self._variables = variables
        self._owners = [d.name for d, _ in columns]
        votes = np.array([d.name in voters for d, _ in columns], dtype=np.bool_)
        self._voting, self._silent = np.flatnonzero(votes), np.flatnonzero(~votes)
        names = [f"{d.name}.{member}" for d, member in columns]
        self.members, self.others = [names[i] for i in self._voting], [names[i] for i in self._silent]
        # Detectors whose scores have their line at 1.0 already.
        self._own_rows = np.flatnonzero([d.calibrated for d, _ in columns])
        self._own_inside = np.flatnonzero([d.calibrated for d in detectors if d.per_variable])
        # Behind the members stands one more scorer a detector, for its fresh evidence; of voters it bounds the members.
        self._bounds = np.array([evidence.bound(d.name) if d.name in voters else np.nan for d in detectors])
        self._bounding = np.flatnonzero(~np.isnan(self._bounds)).tolist()
        self._rows = Calibration(len(columns) + len(detectors), calibration)
        self._inside = Calibration(len(self.inside) * variables, calibration, bits=COARSE)
        self.voters = [d.name for d in detectors if d.name in voters and d.members]
        self._voter_of = np.array([self.voters.index(columns[i][0].name) for i in self._voting], dtype=np.int64)  # (M,)
        self._first = np.searchsorted(self._voter_of, np.arange(len(self.voters)))  # member of each voter
        self._muting = Muting(len(self.voters), 1, muting)
        self._muting_inside = Muting(len(self.inside), variables, muting)

    def collect(self, rows: Rows, scores: Sequence[Scores]) -> Collected:
        """What every detector says of the rows, from their scores in the detectors' order."""
        rowwise = _rowwise(scores)
        judged, lines = self._rows.measure(rowwise, rows.quorum[:, None])
        self._trust(judged, rowwise, rows)
        raw, within = self._judge_inside(rows, scores)
        uncut = judged[:, self._voting]
        muted = self._mute(uncut, rows)
        muted_inside = self._muting_inside.follow(within > 1.0, rows.present)
        cut = self._cut(uncut, judged, scores, muted)
        mutes = None if muted is None else muted[:, self._voter_of]
        inside = muted_inside if muted_inside.any() else None
        return Collected(Ballot(rows, cut, within, uncut, mutes, inside), judged[:, self._silent], raw, lines)

    def _mute(self, members: FloatArray, rows: Rows) -> BoolArray | None:
        """(T, V) whose vote does not count, if anybody's; a detector votes where one of its members (T, M) does."""
        if not self.voters:
            return None
        over = np.logical_or.reduceat(members > 1.0, self._first, axis=1)
        muted: BoolArray = self._muting.follow(over[:, :, None], rows.quorum[:, None])[:, :, 0]
        return muted if muted.any() else None

    def _evidence(self, judged: FloatArray, fresh: Sequence[int], muted: BoolArray | None) -> FloatArray:
        """(T, F) fresh evidence of the detectors fresh (F,); none of those that are muted (T, V)."""
        behind = len(self._owners)
        evidence = judged[:, [behind + detector for detector in fresh]]
        if muted is None:
            return evidence
        for column, detector in enumerate(fresh):
            if self._names[detector] in self.voters:
                evidence[muted[:, self.voters.index(self._names[detector])], column] = 0.0
        return evidence

    def reopen(self, kept_rows: int) -> None:
        """All scorers count as young again (see combine.drift)."""
        self._rows.reopen(kept_rows)
        self._inside.reopen(kept_rows)

    def muted(self, variables: Sequence[str]) -> tuple[str, ...]:
        """Who has no vote just now: "detector", or "detector in variable" for those inside variables."""
        rows = [name for name, is_muted in zip(self.voters, self._muting.muted[:, 0], strict=True) if is_muted]
        inside = [f"{self.inside[k]} in {variables[j]}" for k, j in np.argwhere(self._muting_inside.muted)]
        return (*rows, *inside)

    def again(self, rows: Rows, scores: Sequence[Scores], lines: FloatArray, muted: BoolArray | None) -> FloatArray:
        """The voting members (T, M), cut, had the detectors said something else of rows that were collected before.

        lines: (T, M + N + detectors), and muted: (T, M), of that time. Nothing is taken in.
        """
        rowwise = _rowwise(scores)
        judged = np.zeros(rowwise.shape)
        np.divide(rowwise, lines, out=judged, where=lines > 0.0)
        judged = np.minimum(judged, HIGHEST)
        self._trust(judged, rowwise, rows)
        voters = None if muted is None else muted[:, self._first]
        return self._cut(judged[:, self._voting], judged, scores, voters)

    @property
    def rows_judged(self) -> dict[str, int]:
        """Rows that each detector has judged; of one without a row-wise member, those of the variable it knows best."""
        best = self._inside.ages.reshape(len(self.inside), self._variables).max(axis=1, initial=0)
        rows = self._rows.ages[: len(self._owners)]
        return dict(zip([*self.inside, *self._owners], [*best.tolist(), *rows.tolist()], strict=True))

    def ages(self, later: Rows) -> tuple[IntArray, IntArray]:
        """Rows that each row-wise member (M + N,), those with a vote first, and each scorer inside a variable (K, D)
        had judged, as it was before the later ones of the rows that were collected last."""
        members = self._rows.ages[np.concatenate([self._voting, self._silent])] - later.quorum.sum()
        inside = self._inside.ages.reshape(len(self.inside), self._variables) - later.present.sum(axis=0)
        return members, inside

    def _trust(self, judged: FloatArray, rowwise: FloatArray, rows: Rows) -> None:
        """Members that are calibrated already are taken at their word."""
        if len(self._own_rows):
            judged[:, self._own_rows] = rowwise[:, self._own_rows] * rows.quorum[:, None]

    def _cut(
        self, members: FloatArray, judged: FloatArray, scores: Sequence[Scores], muted: BoolArray | None
    ) -> FloatArray:
        """The voting members (T, M), within what the fresh evidence of those not muted (T, V) allows; it stands in
        judged (T, M + N + detectors)."""
        fresh = [i for i in self._bounding if scores[i].fresh is not None]
        return np.asarray(cut_tails(members, self._evidence(judged, fresh, muted), self._bounds[fresh]))

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
        return {k: v for name, room in self._rooms().items() for k, v in nested(name, room.state()).items()}

    def load_state(self, state: State) -> None:
        for name, room in self._rooms().items():
            room.load_state(part(name, state))

    def _rooms(self) -> dict[str, Calibration | Muting]:
        muting: dict[str, Calibration | Muting] = {"muting": self._muting, "muting_inside": self._muting_inside}
        return {"rows": self._rows, "inside": self._inside, **muting}


def _rowwise(scores: Sequence[Scores]) -> FloatArray:
    """All row-wise members, and behind them what each detector has of fresh evidence: (T, M + N + detectors)."""
    behind = sum(s.members.shape[1] for s in scores)
    raw = np.empty((len(scores[0].members), behind + len(scores)))
    first = 0
    for i, s in enumerate(scores):
        last = first + s.members.shape[1]
        raw[:, first:last] = s.members
        raw[:, behind + i] = np.nan if s.fresh is None else s.fresh
        first = last
    return raw
