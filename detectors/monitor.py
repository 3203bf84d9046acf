"""One system, row by row: from values to verdicts, triggers and causes. Here is the order of the rooms, nothing else.

intake     one policy for missing readings and counters                     detectors.intake
silence    who was there regularly, and stays away                          detectors.silence
detectors  score the rows against what they knew at the segment's start     detectors.online
vote       one scale, one decision, the line, the learning guard            detectors.combine
report     who voted what, what was expected, and what would have been quiet   detectors.combine.report
learning   at the segment's end, each row with the weight the vote left it  detectors.segments
causes     triggers, and ranked causes after them, of all rows at hand      detectors.causes
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from detectors.block import Block, State, nested, part
from detectors.causes.causes import Causes
from detectors.causes.graph import CausalGraph
from detectors.combine.line import LineSettings
from detectors.combine.report import Reporter
from detectors.combine.vote import Vote
from detectors.combine.what_if import Counterfactuals
from detectors.findings import Findings, Standing, joined
from detectors.intake import Intake
from detectors.online.registry import build
from detectors.online.repad2 import Repad2
from detectors.segments import Pending, cut, rows_left
from detectors.settings import MonitorSettings, team
from detectors.silence import Silences
from detectors.warmup import WarmUp


class Monitor:
    """A deterministic state machine over the D variables of one system: no I/O, no clock, no randomness of its own.

    Any split of the same rows into blocks gives the same findings, bit for bit; so does a state taken anywhere and
    loaded into a monitor made with the same arguments.

    >>> monitor = Monitor(["pump.flow", "pump.power"])
    >>> findings = monitor.step(Block(np.arange(3), np.ones((3, 2))))
    >>> findings.scores, monitor.warming
    (array([0., 0., 0.]), (3, 50))
    """

    def __init__(
        self,
        variables: Sequence[str],
        settings: MonitorSettings | None = None,
        *,
        graph: CausalGraph | None = None,
        seed: int = 0,
    ) -> None:
        self.variables = tuple(variables)
        self.settings = settings = settings or MonitorSettings()
        if not self.variables or len(set(self.variables)) < len(self.variables):
            raise ValueError(f"variables must be one or more different names, got {list(self.variables)}")
        count = len(self.variables)
        self._intake = Intake(count, settings.intake)
        self._silences = Silences(self.variables, settings.silence, gap_rows=settings.intake.gap_rows)
        self._detectors = build(team(settings, count).detectors, count, settings.detectors, seed=seed)
        self._vote = Vote(self.variables, self._detectors, settings)
        self._reporter = Reporter(self.variables, self._vote.opinions, young_rows=settings.calibration.young_rows)
        self._counterfactuals = Counterfactuals(self.variables, self._detectors, self._vote.opinions, settings)
        self._causes = Causes(self.variables, settings.causes, graph=graph, seed=seed)
        self._pending = Pending(count)
        self._rows = 0

    @property
    def rows(self) -> int:
        """Rows seen so far."""
        return self._rows

    @property
    def warming(self) -> tuple[int, int]:
        """Rows seen and rows needed before the first verdict."""
        return min(self._rows, self.settings.warmup_rows), self.settings.warmup_rows

    @property
    def warm_up(self) -> WarmUp:
        """The same, and how far each detector is."""
        needed = self.settings.calibration.young_rows
        judged = self._vote.opinions.rows_judged
        return WarmUp(*self.warming, {name: (min(rows, needed), needed) for name, rows in judged.items()})

    @property
    def is_warm(self) -> bool:
        return self._rows >= self.settings.warmup_rows

    @property
    def standing(self) -> Standing:
        """Which detectors have lost their vote, and how the line stands."""
        late = sum(int(d.late.sum()) for d in self._detectors if isinstance(d, Repad2))
        return replace(self._vote.standing(), late_trainings=late)

    @property
    def silent(self) -> tuple[str, ...]:
        """Variables that were there regularly, and stay away."""
        return self._silences.silent

    def step(self, block: Block) -> Findings:
        """Findings for exactly the block's rows. ValueError if the block has other than D variables."""
        if block.values.shape[1] != len(self.variables):
            raise ValueError(f"a block of this system has {len(self.variables)} variables, got {block.values.shape[1]}")
        if 0 < len(block) <= rows_left(self._rows):
            found = self._piece(block)
        else:
            pieces = [self._piece(Block(block.times[s], block.values[s])) for s in cut(self._rows, len(block))]
            found = joined(block.times, pieces, len(self.variables))
        if self.settings.causes.enabled and len(block):
            triggers, rankings = self._causes.step(block, found.verdicts, found.variable_scores)
            found.triggers.extend(triggers)
            found.rankings.extend(rankings)
        return found

    def _piece(self, block: Block) -> Findings:
        """Rows of one segment: all but the causes, which take nothing from segments and many rows better than few."""
        rows = self._intake.read(block.values)
        silences = self._silences.follow(block, rows)
        self._counterfactuals.remember()
        opinions = [detector.score(rows) for detector in self._detectors]
        judged = self._vote.judge(rows, opinions)
        details = self._reporter.report(block, rows, opinions, judged)
        details = self._counterfactuals.add(details, rows, opinions, judged)
        self._pending.add(rows, judged.weights)
        if self._pending.is_complete:
            learned, weights = self._pending.take()
            for detector in self._detectors:
                detector.learn(learned, weights)
            self._vote.close(rows.first + len(rows))
        self._rows += len(block)
        return Findings(
            block.times,
            judged.published,
            judged.verdicts,
            judged.guilt,
            judged.normal,
            details,
            silences=silences,
            unsmoothed=judged.scores,
        )

    def set_line(self, settings: LineSettings) -> None:
        """Hold the rows that come against a line of other settings. What was learned stays."""
        self.settings = replace(self.settings, line=settings)
        self._vote.set_line(self.settings)

    def state(self) -> State:
        """Everything that the next row's findings depend on, as named arrays."""
        parts: State = {"rows": np.array(self._rows)}
        for name, room in self._rooms().items():
            parts |= nested(name, room.state())
        return parts

    def load_state(self, state: State) -> None:
        """Continue where the state was taken, bit for bit. KeyError or ValueError if it is another monitor's."""
        self._rows = int(state["rows"])
        for name, room in self._rooms().items():
            room.load_state(part(name, state))

    def _rooms(self) -> dict[str, Any]:
        detectors = {f"detectors/{detector.name}": detector for detector in self._detectors}
        own = {"intake": self._intake, "silence": self._silences, "vote": self._vote, "pending": self._pending}
        return {**own, "what_if": self._counterfactuals, "causes": self._causes, **detectors}
