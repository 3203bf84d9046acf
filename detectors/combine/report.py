"""Verdict records: who voted what, which variables were off and what was expected of them."""

from collections.abc import Sequence

import numpy as np

from detectors.block import Block, FloatArray, IntArray, Rows
from detectors.combine.ballot import majority
from detectors.combine.vote import Judgement
from detectors.findings import Contribution, Verdict, Vote
from detectors.online.protocol import Detector, Scores

MOST_VARIABLES = 10


class Reporter:
    """Writes the record of each row with a verdict; the rows without one cost nothing."""

    def __init__(self, variables: Sequence[str], detectors: Sequence[Detector]) -> None:
        self._variables = tuple(variables)
        self._detectors = tuple(detectors)

    def report(self, block: Block, rows: Rows, opinions: Sequence[Scores], judged: Judgement) -> list[Verdict]:
        return [
            self._verdict(t, int(block.times[t]), rows, opinions, judged)
            for t in map(int, np.flatnonzero(judged.verdicts))
        ]

    def _verdict(self, t: int, time: int, rows: Rows, opinions: Sequence[Scores], judged: Judgement) -> Verdict:
        top = np.argsort(-judged.guilt[t], kind="stable")[:MOST_VARIABLES]
        guilt = judged.guilt[t] / max(judged.guilt[t].sum(), 1e-300)
        contributions = [self._contribution(t, int(j), rows, opinions, judged, guilt) for j in top if guilt[j] > 0]
        return Verdict(
            time=time,
            row=rows.first + t,
            score=float(judged.scores[t]),
            votes=tuple(self._votes(t, top, judged)),
            contributions=tuple(contributions),
            polled=judged.decision.polled.get(t, ()),
            rules={
                "weighted": bool(judged.verdicts[t]),
                "majority": bool(majority(judged.ballot.members[t : t + 1])[0] > 1.0),
            },
        )

    def _votes(self, t: int, top: IntArray, judged: Judgement) -> list[Vote]:
        members = judged.ballot.members[t] / judged.lines[t]
        names = [f"{d.name}.{m}" for d in self._detectors for m in d.members]
        votes = [
            Vote(name, None, float(score), bool(score > 1.0), "ready")
            for name, score in zip(names, members, strict=True)
        ]
        inside = [d for d in self._detectors if d.per_variable]
        for k, detector in enumerate(inside):
            for j in top:
                score = float(judged.ballot.variables[t, k, j])
                if score > 1.0:
                    votes.append(Vote(detector.name, self._variables[j], score, True, "ready"))
        return votes

    def _contribution(
        self, t: int, j: int, rows: Rows, opinions: Sequence[Scores], judged: Judgement, guilt: FloatArray
    ) -> Contribution:
        actual = float(rows.values[t, j])
        expecting = [o.expected for o in opinions if o.expected is not None]
        expected = float(expecting[0][t, j]) if expecting else actual
        score = float(judged.ballot.variables[t, :, j].max(initial=0.0))
        width = abs(actual - expected) / max(score, 1.0)
        return Contribution(self._variables[j], actual, expected, expected - width, expected + width, float(guilt[j]))
