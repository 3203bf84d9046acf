"""The record of a verdict: who voted what, which variables were off, what was expected of them, and who was polled.

A verdict can be recomputed from its record: the votes of the whole row are over the line that day, so that by the
weighted rule their root mean square is the verdict's score.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from detectors.block import Block, FloatArray, IntArray, Rows
from detectors.combine.drift import Drift
from detectors.combine.opinions import Opinions
from detectors.combine.vote import Judgement
from detectors.findings import Contribution, Verdict, Vote
from detectors.online.protocol import Scores

MOST_VARIABLES = 10  # in one record


class Reporter:
    """Writes the record of each row with a verdict; the rows without one cost nothing.

    young_rows: a detector that has seen fewer, of the system or since a drift, is said to be warming.
    """

    def __init__(self, variables: Sequence[str], opinions: Opinions, drift: Drift, *, young_rows: int) -> None:
        self._variables = tuple(variables)
        self._opinions = opinions
        self._drift = drift
        self._young_rows = young_rows

    def report(self, block: Block, rows: Rows, scores: Sequence[Scores], judged: Judgement) -> list[Verdict]:
        """The records of the rows with a verdict, in order."""
        found = map(int, np.flatnonzero(judged.verdicts))
        return [self._verdict(t, int(block.times[t]), rows, scores, judged) for t in found]

    def _verdict(self, t: int, time: int, rows: Rows, scores: Sequence[Scores], judged: Judgement) -> Verdict:
        guilt = judged.guilt[t]
        top = np.argsort(-guilt, kind="stable")[:MOST_VARIABLES]
        top = top[guilt[top] > 0.0]
        shares = guilt / max(float(guilt.sum()), 1e-300)
        expected = self._expected(t, scores)
        in_force, decision = next(iter(judged.decisions.items()))
        polled = judged.decisions.get("polling", decision)
        rules = {name: bool(d.scores[t] > 1.0) for name, d in judged.decisions.items()}
        return Verdict(
            time=time,
            row=rows.first + t,
            score=float(judged.scores[t]),
            votes=tuple(self._row_votes(t, rows, judged) + self._inside_votes(t, rows, top, judged)),
            contributions=tuple(self._contribution(t, int(j), rows, expected, judged, shares) for j in top),
            polled=tuple(polled.polled.get(t, ())),
            rules={**rules, in_force: True},
            line=float(judged.lines[t]),
            alerts_per_1000_rows=float(judged.alert_rates[t]),
        )

    def _state(self, row: int) -> Literal["warming", "ready"]:
        return "warming" if row - self._drift.opened_at < self._young_rows else "ready"

    def _row_votes(self, t: int, rows: Rows, judged: Judgement) -> list[Vote]:
        """Every member's opinion of the row, over the line; members without a vote are told, and never count."""
        state, ballot = self._state(rows.first + t), judged.collected.ballot
        muted = np.zeros(len(self._opinions.members), dtype=np.bool_) if ballot.muted is None else ballot.muted[t]
        voting = zip(self._opinions.members, ballot.members[t] / judged.lines[t], muted, strict=True)
        silent = zip(self._opinions.others, judged.collected.others[t] / judged.lines[t], strict=True)
        return [
            Vote(name, None, float(s), bool(s > 1.0 and not m), "muted" if m else state) for name, s, m in voting
        ] + [Vote(name, None, float(s), False, "muted") for name, s in silent]

    def _inside_votes(self, t: int, rows: Rows, top: IntArray, judged: Judgement) -> list[Vote]:
        """The votes cast inside the variables of the record."""
        state, ballot = self._state(rows.first + t), judged.collected.ballot
        scores = ballot.variables[t]  # (K, D)
        muted = np.zeros(scores.shape, dtype=np.bool_) if ballot.muted_inside is None else ballot.muted_inside[t]
        return [
            Vote(name, self._variables[j], float(scores[k, j]), not muted[k, j], "muted" if muted[k, j] else state)
            for j in map(int, top)
            for k, name in enumerate(self._opinions.inside)
            if scores[k, j] > 1.0
        ]

    def _expected(self, t: int, scores: Sequence[Scores]) -> FloatArray:
        """(K, D) what each per-variable detector expected; NaN where it expects nothing."""
        nothing = np.full(len(self._variables), np.nan)
        inside = [s.expected for s in scores if s.variables is not None]
        return np.array([nothing if expected is None else expected[t] for expected in inside])

    def _contribution(
        self, t: int, j: int, rows: Rows, expected: FloatArray, judged: Judgement, shares: FloatArray
    ) -> Contribution:
        """What was expected is the word of the detector that is most alarmed by the variable; the bounds are where it
        would have been at its line: beyond them exactly if some detector inside the variable votes."""
        actual = float(rows.values[t, j])
        opinions = np.where(np.isnan(expected[:, j]), -1.0, judged.collected.ballot.variables[t, :, j])
        k = int(opinions.argmax())
        wanted = float(expected[k, j]) if opinions[k] >= 0.0 else actual
        width = abs(actual - wanted) / float(opinions[k]) if opinions[k] > 0.0 else abs(actual - wanted)
        share = float(shares[j])
        return Contribution(self._variables[j], actual, wanted, wanted - width, wanted + width, share)
