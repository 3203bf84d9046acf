"""The record of a verdict: who voted what, which variables were off, what was expected of them, and who was polled.

A verdict can be recomputed from its record, by each rule. The votes of the whole row that are not muted are those of
the members, over the verdict's line: their root mean square is the score by the weighted rule, their k-th largest by
the plain majority, their largest by any. By polling, the record has all votes inside the variables that asked, who was
polled by whom and who agreed: the score is the largest opinion of an asking variable whose poll said yes, over the
line. With slack_rows, or where members answer for variables without a partner, other rows or voters count, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from detectors.block import Block, FloatArray, IntArray, Rows
from detectors.combine.opinions import Opinions
from detectors.combine.polling import Polling
from detectors.combine.vote import Judgement
from detectors.findings import Contribution, Polled, Verdict, Vote
from detectors.online.protocol import Scores

MOST_VARIABLES = 10  # in one record


class Reporter:
    """Writes the record of each row with a verdict; the rows without one cost nothing.

    young_rows: a detector that has judged fewer, in all or since a drift was accepted, is said to be warming.
    """

    def __init__(self, variables: Sequence[str], opinions: Opinions, *, young_rows: int) -> None:
        self._variables = tuple(variables)
        self._opinions = opinions
        self._young_rows = young_rows

    def report(self, block: Block, rows: Rows, scores: Sequence[Scores], judged: Judgement) -> list[Verdict]:
        """The records of the rows with a verdict, in order."""
        found = map(int, np.flatnonzero(judged.verdicts)) if judged.found else ()
        return [self._verdict(t, int(block.times[t]), rows, scores, judged) for t in found]

    def _verdict(self, t: int, time: int, rows: Rows, scores: Sequence[Scores], judged: Judgement) -> Verdict:
        guilt = judged.guilt[t]
        top = np.argsort(-guilt, kind="stable")[:MOST_VARIABLES]
        top = top[guilt[top] > 0.0]
        shares = guilt / max(float(guilt.sum()), 1e-300)
        expected = self._expected(t, scores)
        in_force, decision = next(iter(judged.decisions.items()))
        polled = judged.decisions.get(Polling.name, decision).polled.get(t, ())
        rules = {name: bool(d.scores[t] > 1.0) for name, d in judged.decisions.items()}
        asking = self._asking(polled) if in_force == Polling.name else []
        members, inside = self._opinions.ages(rows[t:])
        return Verdict(
            time=time,
            row=rows.first + t,
            score=float(judged.scores[t]),
            votes=tuple(self._row_votes(t, judged, members) + self._inside_votes(t, top, asking, judged, inside)),
            contributions=tuple(self._contribution(t, int(j), rows, expected, judged, shares) for j in top),
            polled=tuple(polled),
            rules={**rules, in_force: True},
            rule=in_force,
            line=float(judged.lines[t]),
            alerts_per_1000_rows=float(judged.alert_rates[t]),
        )

    def _asking(self, polled: Iterable[Polled]) -> list[int]:
        """The variables that polled others, in the system's order."""
        names = {name for asked in polled for name in asked.by}
        return [j for j, name in enumerate(self._variables) if name in names]

    def _row_votes(self, t: int, judged: Judgement, ages: IntArray) -> list[Vote]:
        """Every member's opinion of the row, over the line; members without a vote are told, and never count."""
        ballot, line = judged.collected.ballot, float(judged.lines[t])
        uncut = ballot.members if ballot.uncut is None else ballot.uncut
        others = self._opinions.others_of(judged.collected)[t].tolist()
        scores, before = [*ballot.members[t].tolist(), *others], [*uncut[t].tolist(), *others]
        muted = np.ones(len(scores), dtype=np.bool_)
        muted[: len(self._opinions.members)] = False if ballot.muted is None else ballot.muted[t]
        return [
            replace(
                self._vote(name, None, scores[i] / line, int(ages[i]), is_muted=bool(muted[i])), uncut=before[i] / line
            )
            for i, name in enumerate((*self._opinions.members, *self._opinions.others))
        ]

    def _inside_votes(
        self, t: int, top: IntArray, asking: Sequence[int], judged: Judgement, ages: IntArray
    ) -> list[Vote]:
        """The votes cast inside the variables of the record, and all votes inside those that polled."""
        ballot = judged.collected.ballot
        scores = ballot.variables[t]  # (K, D)
        muted = np.zeros(scores.shape, dtype=np.bool_) if ballot.muted_inside is None else ballot.muted_inside[t]
        return [
            self._vote(name, self._variables[j], float(scores[k, j]), int(ages[k, j]), is_muted=bool(muted[k, j]))
            for j in dict.fromkeys([*map(int, top), *asking])
            for k, name in enumerate(self._opinions.inside)
            if scores[k, j] > 1.0 or j in asking
        ]

    def _vote(self, detector: str, variable: str | None, score: float, age: int, *, is_muted: bool) -> Vote:
        """age: rows that the detector had judged before this one."""
        heard: Literal["warming", "ready"] = "warming" if age < self._young_rows else "ready"
        vote = score > 1.0 and not is_muted
        rows = min(age, self._young_rows)
        return Vote(detector, variable, score, vote, "muted" if is_muted else heard, rows, self._young_rows)

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
