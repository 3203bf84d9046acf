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
        self._fresh: dict[tuple[bool, ...], tuple[IntArray, FloatArray]] = {}
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
        (count, variables), kinds, voting = rows.values.shape, len(self.inside), len(self._voting)
        columns, weights = self._fresh_of(scores)
        rowwise, inside = np.empty((3, count, len(columns))), np.empty((3, count, kinds, variables))
        members, muted = np.empty((2, count, voting)), np.empty((count, voting), np.bool_)
        muted_inside = np.empty((count, kinds, variables), np.bool_)
        is_muted, is_muted_inside = collect(
            (rows.quorum, rows.present),
            (_rowwise(scores), columns, _inside(scores)),
            (rowwise, inside),
            self._scorers,
            self._mutes,
            (self._voting, self._voter_of, self._voter_of_detector, weights),
            (members, muted, muted_inside),
        )
        mutes, mutes_inside = muted if is_muted else None, muted_inside if is_muted_inside else None
        return Collected(Ballot(rows, members[1], inside[1], members[0], mutes, mutes_inside), rowwise, inside)

    def others_of(self, collected: Collected) -> FloatArray:
        """(T, N) calibrated row-wise members without a vote."""
        others: FloatArray = collected.rowwise[1, :, self._silent].T
        return others

    def _fresh_of(self, scores: Sequence[Scores]) -> tuple[IntArray, FloatArray]:
        """Where the scorers' raw scores stand among those that are given, -1 = nowhere, and what each detector's fresh
        evidence is multiplied by to bound the members, NaN = it bounds none: by which detectors have any."""
        given = tuple([s.fresh is not None for s in scores])
        if given not in self._fresh:
            behind = len(self._owners) + np.cumsum(given) - 1
            columns = np.concatenate([np.arange(len(self._owners)), np.where(given, behind, -1)])
            self._fresh[given] = columns.astype(np.int64), np.where(given, self._bounds, np.nan)
        return self._fresh[given]

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
        columns, weights = self._fresh_of(scores)
        raw = np.where(columns < 0, np.nan, _rowwise(scores)[:, columns])
        judged = np.zeros(raw.shape)
        np.divide(raw, lines, out=judged, where=lines > 0.0)
        judged = np.minimum(judged, HIGHEST)
        if len(self._own_rows):
            judged[:, self._own_rows] = raw[:, self._own_rows] * rows.quorum[:, None]
        evidence = judged[:, len(self._owners) :]
        for detector, voter in enumerate(self._voter_of_detector.tolist()):
            if muted is not None and voter >= 0:
                evidence[muted[:, self._first[voter]], detector] = 0.0
        return np.asarray(cut_tails(judged[:, self._voting], evidence, weights))

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
    """All row-wise members, and behind them the fresh evidence of the detectors that have any."""
    fresh = [s.fresh[:, None] for s in scores if s.fresh is not None]
    return np.concatenate([*[s.members for s in scores], *fresh], axis=1)


def _inside(scores: Sequence[Scores]) -> FloatArray:
    """Per-variable scores (T, K D), K detectors side by side."""
    said = [s.variables for s in scores if s.variables is not None]
    return np.concatenate(said, axis=1) if said else np.empty((len(scores[0].members), 0))
