"""From the detectors' raw scores to one ballot: each member and each variable on a scale of its own line, 1.0."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray, Rows, State, nested, part
from detectors.combine.ballot import Ballot
from detectors.combine.calibration import HIGHEST, Calibration, CalibrationSettings
from detectors.combine.evidence import EvidenceSettings, cut_tails
from detectors.combine.muting import Muting, MutingSettings
from detectors.combine.opinions_kernel import collect
from detectors.online.protocol import Detector, Scores

COARSE = 3  # bits of the many histograms inside variables: a line exact to a tenth will do


class Collected(NamedTuple):
    """What the detectors say of T rows.

    ballot: what is voted on. rowwise: (3, T, M + N + detectors) members, with a vote and without, in the detectors'
    order, and their fresh evidence: as the detectors gave them, calibrated, and what they were held against.
    inside: (3, T, K, D) the same of K detectors inside the variables.
    """

    ballot: Ballot
    rowwise: FloatArray
    inside: FloatArray


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
        own_inside = np.repeat([d.calibrated for d in detectors if d.per_variable], variables)
        # Behind the members stands one more scorer a detector, for its fresh evidence; of voters it bounds the members.
        self._bounds = np.array([evidence.bound(d.name) if d.name in voters else np.nan for d in detectors])
        self._bounding = np.flatnonzero(~np.isnan(self._bounds)).tolist()
        self._rows = Calibration(len(columns) + len(detectors), calibration)
        self._inside = Calibration(len(self.inside) * variables, calibration, bits=COARSE)
        self._scorers = self._rows.scorers(self._own_rows), self._inside.scorers(np.flatnonzero(own_inside))
        self.voters = [d.name for d in detectors if d.name in voters and d.members]
        self._voter_of = np.array([self.voters.index(columns[i][0].name) for i in self._voting], dtype=np.int64)  # (M,)
        self._first = np.searchsorted(self._voter_of, np.arange(len(self.voters)))  # member of each voter
        places = [self.voters.index(d.name) if d.name in self.voters else -1 for d in detectors]
        self._voter_of_detector = np.array(places, dtype=np.int64)
        self._muting = Muting(len(self.voters), 1, muting)
        self._muting_inside = Muting(len(self.inside), variables, muting)
        self._mutes = self._muting.mutes, self._muting_inside.mutes

    def collect(self, rows: Rows, scores: Sequence[Scores]) -> Collected:
        """What every detector says of the rows, from their scores in the detectors' order."""
        rowwise, inside = _rowwise(scores), _inside(scores, rows.values.shape)
        count, voting = len(rows), len(self._voting)
        members, muted = np.empty((2, count, voting)), np.empty((count, voting), np.bool_)
        muted_inside = np.empty(inside.shape[1:], np.bool_)
        is_muted, is_muted_inside = collect(
            (rows.quorum, rows.present),
            (rowwise, inside),
            self._scorers,
            self._mutes,
            (self._voting, self._voter_of, self._voter_of_detector, self._weights(scores)),
            (members, muted, muted_inside),
        )
        mutes, mutes_inside = muted if is_muted else None, muted_inside if is_muted_inside else None
        return Collected(Ballot(rows, members[1], inside[1], members[0], mutes, mutes_inside), rowwise, inside)

    def others_of(self, collected: Collected) -> FloatArray:
        """(T, N) calibrated row-wise members without a vote."""
        others: FloatArray = collected.rowwise[1, :, self._silent].T
        return others

    def _weights(self, scores: Sequence[Scores]) -> FloatArray:
        """(detectors,) what each one's fresh evidence is multiplied by to bound the members; NaN: it bounds none."""
        if all(scores[i].fresh is not None for i in self._bounding):
            return self._bounds
        return np.where([s.fresh is None for s in scores], np.nan, self._bounds)

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
        raw = _rowwise(scores)[0]
        judged = np.zeros(raw.shape)
        np.divide(raw, lines, out=judged, where=lines > 0.0)
        judged = np.minimum(judged, HIGHEST)
        if len(self._own_rows):
            judged[:, self._own_rows] = raw[:, self._own_rows] * rows.quorum[:, None]
        evidence = judged[:, len(self._owners) :]
        for detector, voter in enumerate(self._voter_of_detector.tolist()):
            if muted is not None and voter >= 0:
                evidence[muted[:, self._first[voter]], detector] = 0.0
        return np.asarray(cut_tails(judged[:, self._voting], evidence, self._weights(scores)))

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

    def state(self) -> State:
        return {k: v for name, room in self._rooms().items() for k, v in nested(name, room.state()).items()}

    def load_state(self, state: State) -> None:
        for name, room in self._rooms().items():
            room.load_state(part(name, state))

    def _rooms(self) -> dict[str, Calibration | Muting]:
        muting: dict[str, Calibration | Muting] = {"muting": self._muting, "muting_inside": self._muting_inside}
        return {"rows": self._rows, "inside": self._inside, **muting}


def _rowwise(scores: Sequence[Scores]) -> FloatArray:
    """All row-wise members, and behind them what each detector has of fresh evidence: (3, T, M + N + detectors), of
    which the raw ones are filled in."""
    behind = sum([s.members.shape[1] for s in scores])
    rowwise = np.empty((3, len(scores[0].members), behind + len(scores)))
    raw, first = rowwise[0], 0
    for i, s in enumerate(scores):
        if count := s.members.shape[1]:
            raw[:, first : first + count] = s.members
        raw[:, behind + i] = np.nan if s.fresh is None else s.fresh
        first += count
    return rowwise


def _inside(scores: Sequence[Scores], shape: tuple[int, ...]) -> FloatArray:
    """Per-variable scores of rows of this shape: (3, T, K, D), of which the raw ones are filled in."""
    said = [s.variables for s in scores if s.variables is not None]
    inside = np.empty((3, shape[0], len(said), shape[1]))
    for k, variables in enumerate(said):
        inside[0, :, k] = variables
    return inside
