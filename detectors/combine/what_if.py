"""Scores a row again with other readings, everything else as it was then, and leaves everything as it is.

It is exact, and costs quiet rows next to nothing: detectors' models have not moved since the row was scored (they learn
at the segment's end), what scoring moves is small and kept from before (their carry), and each member's line at the row
is on record. Only the detectors that vote on whole rows are asked again.

A row scored again costs about as much as a row does (up to 200 us at D = 38 on a busy core), and a counterfactual takes
10 to 20 of them: only the rows that open a run over the line get one. There is none by a rule that polls
correlated variables or counts votes of rows before, whose memory cannot be put back, and none with a voter that is not
Rewindable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from detectors.block import BoolArray, Rows, State
from detectors.combine.counterfactual import Rescore, nearest_quiet
from detectors.combine.opinions import Opinions
from detectors.combine.rules import OF_MEMBERS, AnyOf, Majority, Weighted
from detectors.combine.vote import Judgement
from detectors.findings import Verdict
from detectors.online.protocol import Detector, Rewindable, Scores
from detectors.settings import MonitorSettings, team

OfMembers: TypeAlias = Weighted | Majority | AnyOf


class Counterfactuals:
    """Adds to verdicts the nearest readings that would have kept their rows quiet."""

    def __init__(
        self, variables: Sequence[str], detectors: Sequence[Detector], opinions: Opinions, settings: MonitorSettings
    ) -> None:
        chosen = team(settings, len(variables))
        self._places = {name: j for j, name in enumerate(variables)}
        self._opinions = opinions
        self._settings = settings.counterfactual
        voters = {i: d for i, d in enumerate(detectors) if d.name in chosen.voters}
        self._voters = {i: d for i, d in voters.items() if isinstance(d, Rewindable)}
        asks_a_row = chosen.rule in OF_MEMBERS and not (chosen.rule == Majority.name and settings.slack_rows)
        can = asks_a_row and len(voters) == len(self._voters) and self._settings.opening_rows > 0
        self._rule = OF_MEMBERS[chosen.rule]() if can else None
        self._before: dict[int, State] = {}  # carries of the voters, before the newest rows
        self._run = 0  # rows over the line in succession, up to the newest

    def remember(self) -> None:
        """To be called before rows are scored."""
        if self._rule is not None:
            self._before = self._carries()

    def add(self, verdicts: list[Verdict], rows: Rows, scores: Sequence[Scores], judged: Judgement) -> list[Verdict]:
        """The verdicts on rows that were just scored; those that open a run over the line get a counterfactual."""
        opening = self._opening(judged.verdicts) if judged.found or self._run else ()
        if self._rule is None or not any(opening):
            return verdicts
        after = self._carries()
        told = [
            self._told(self._rule, verdict, rows, scores, judged) if is_opening else verdict
            for verdict, is_opening in zip(verdicts, opening, strict=True)
        ]
        self._put_back(after)
        return told

    def _opening(self, over: BoolArray) -> list[bool]:
        """Of each row with a verdict, whether it is one of the first in its run over the line."""
        found = []
        for is_over in over.tolist():
            self._run = self._run + 1 if is_over else 0
            if is_over:
                found.append(self._run <= self._settings.opening_rows)
        return found

    def state(self) -> State:
        return {"run": np.array(self._run)}

    def load_state(self, state: State) -> None:
        self._run = int(state["run"])

    def _told(
        self, rule: OfMembers, verdict: Verdict, rows: Rows, scores: Sequence[Scores], judged: Judgement
    ) -> Verdict:
        t = verdict.row - rows.first
        rescore = self._rescorer(rule, t, rows, scores, judged)
        variables = self._settings.variables
        found = nearest_quiet(verdict.contributions, verdict.score, rescore, variables=variables)
        return replace(verdict, counterfactual=found)

    def _rescorer(self, rule: OfMembers, t: int, rows: Rows, scores: Sequence[Scores], judged: Judgement) -> Rescore:
        """What scores row t of the rows again, with other readings."""
        self._put_back(self._before)
        for voter in self._voters.values() if t else ():
            voter.score(rows[:t])
        carries, row = self._carries(), rows[t : t + 1]
        said, lines = [_of_row(s, t) for s in scores], judged.collected.rowwise[2, t : t + 1]
        muted = judged.collected.ballot.muted
        muted = None if muted is None else muted[t : t + 1]

        def rescore(readings: Mapping[str, float]) -> float:
            self._put_back(carries)
            values = row.values.copy()
            for name, value in readings.items():
                values[0, self._places[name]] = value
            changed = replace(row, values=values)
            says = [self._voters[i].score(changed) if i in self._voters else s for i, s in enumerate(said)]
            score = rule.combine(self._opinions.again(changed, says, lines, muted), muted)[0] / judged.lines[t]
            return float(score)

        return rescore

    def _carries(self) -> dict[int, State]:
        return {i: voter.carry() for i, voter in self._voters.items()}

    def _put_back(self, carries: Mapping[int, State]) -> None:
        for i, carry in carries.items():
            self._voters[i].load_carry(carry)


def _of_row(scores: Scores, t: int) -> Scores:
    """What a detector said of one row as a whole."""
    fresh = None if scores.fresh is None else scores.fresh[t : t + 1]
    return Scores(scores.members[t : t + 1], fresh=fresh)
