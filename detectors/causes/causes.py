"""One system's root-cause analysis: a trigger or a verdict opens an episode, and the episode ranks causes until they
settle.

triggers   has the system changed state?                    detectors.causes.change, .mssa
history    the quiet rows that tell what is normal; nothing of an open episode enters them
episode    evidence, blame along a given graph, the learned graph, the walk, the list     .episode, .evidence, .ranking
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from detectors.block import Block, BoolArray, FloatArray, IntArray, State, nested, part
from detectors.causes.change import ChangeTrigger
from detectors.causes.episode import Episode, open_episode
from detectors.causes.graph import CausalGraph
from detectors.causes.history import CALM_ROWS, History
from detectors.causes.revision import Reviser
from detectors.causes.settings import CausesSettings
from detectors.causes.trigger import TriggerDetector
from detectors.causes.triggers import build_triggers
from detectors.findings import Ranking, Trigger
from detectors.intake import believable

FEWEST_ROWS = 24  # quiet rows before an episode can open: a quarter of them is no baseline
CALM_BATCHES = 3  # of an episode without verdict or trigger, after which more rows would say no more
SUPERSEDED = "another change began before the list had settled"
WELL_AGAIN = "no row was out of line for a while, and the list had not settled"


class Causes:
    """Watches D variables for a change of state and ranks its causes.

    Deterministic; any split of the rows into blocks gives the same findings, bit for bit. A missing reading (NaN)
    deviates by nothing: it is evidence of nothing. Memory is bounded by settings.history_rows. Cost at D =
    38: some 0.1 ms a row with refits and the episodes of false triggers; a revision of an open episode 3 ms, with the
    graph learned 20 ms more.
    """

    def __init__(
        self, variables: Sequence[str], settings: CausesSettings, *, graph: CausalGraph | None, seed: int
    ) -> None:
        self.settings = settings
        self._triggers: list[TriggerDetector] = build_triggers(variables, settings)
        self._reviser = Reviser(variables, settings, graph)
        self._history = History(settings.history_rows, len(variables), accept_rows=settings.accept_rows)
        self._episode: Episode | None = None
        self._row = 0
        self._last_time = 0

    def step(
        self, block: Block, verdicts: BoolArray, variable_scores: FloatArray
    ) -> tuple[list[Trigger], list[Ranking]]:
        """Triggers and rankings of these rows. verdicts: (T,) of the vote.  variable_scores: (T, D), not used yet by
        this ranking, which weighs the readings themselves."""
        values, first = believable(block.values), self._row
        triggers = [t for d in self._triggers for t in d.follow(values, block.times, first)]
        triggers.sort(key=lambda trigger: trigger.row)  # stable: those of one row stay in the detectors' order
        rankings: list[Ranking] = []
        at = 0
        for loud in [*_loud(triggers, verdicts, first), len(values)]:
            while at < loud:
                passed = self._pass(values[at:loud], block.times[at:loud])
                if not passed:
                    rankings += self._meet(values[at], int(block.times[at]), [], verdict=False)
                at += max(1, passed)
            if loud < len(values):
                fired = [t for t in triggers if t.row == self._row]
                rankings += self._meet(values[at], int(block.times[at]), fired, verdict=bool(verdicts[at]))
                at += 1
        return triggers, rankings

    def _pass(self, rows: FloatArray, times: IntArray) -> int:
        """Take the first of some quiet rows, up to a row at which a ranking is due; how many."""
        if self._episode is not None:
            rows = rows[: self._episode.rows_until_due(self.settings.episode) - 1]
            self._episode.extend(rows, most=self.settings.evidence.rows_after)
        self._remember(rows, times[: len(rows)], active=False)
        return len(rows)

    def _meet(self, row: FloatArray, time: int, fired: Sequence[Trigger], *, verdict: bool) -> list[Ranking]:
        """Take a row at which triggers fired, with a verdict, or at which a ranking is due."""
        rankings = []
        if self._episode is not None and self._is_another(self._episode, fired):
            rankings.append(self._reviser.revise(self._episode, self._last_time, given_up=SUPERSEDED))
            self._episode = None
        self._open_if_due(row, time, bool(fired), verdict)
        if self._episode is not None:
            rankings += self._follow(self._episode, row, time)
        self._remember(row[None], np.array([time]), active=bool(fired) or verdict)
        return rankings

    def _open_if_due(self, row: FloatArray, time: int, fired: bool, verdict: bool) -> None:
        """A trigger opens an episode; so does a verdict after calm, for later ones belong to the same unrest."""
        asked = verdict and self.settings.episode.open_on_verdict and self._history.calm >= CALM_ROWS
        if self._episode is not None or len(self._history) < FEWEST_ROWS or not (fired or asked):
            return
        by: Literal["trigger", "verdict"] = "trigger" if fired else "verdict"
        quiet = self._history
        self._episode = open_episode(by, quiet.rows, quiet.times, row, time, self.settings.evidence)

    def _is_another(self, episode: Episode, fired: Sequence[Trigger]) -> bool:
        """That trigger fires anew only for another change than the one that is on; within an episode's first batch of
        rows it may still be late for the same."""
        return episode.rows >= self.settings.episode.batch_rows and any(t.detector == ChangeTrigger.name for t in fired)

    def _follow(self, episode: Episode, row: FloatArray, time: int) -> list[Ranking]:
        """The ranking of this row, if one is due."""
        is_due = episode.rows_until_due(self.settings.episode) == 1
        episode.extend(row[None], most=self.settings.evidence.rows_after)
        if not is_due:
            return []
        awaited = CALM_BATCHES * self.settings.episode.batch_rows
        is_over = min(episode.rows - 1, self._history.calm) >= awaited
        ranking = self._reviser.revise(episode, time, given_up=WELL_AGAIN if is_over else "")
        if ranking.ended:
            self._episode = None
        return [ranking]

    def _remember(self, rows: FloatArray, times: IntArray, *, active: bool) -> None:
        if len(rows):
            self._history.take(rows, times, active=active, is_open=self._episode is not None)
            self._row, self._last_time = self._row + len(rows), int(times[-1])

    def state(self) -> State:
        known = self._history.state()
        numbers = np.array([self._row, self._last_time, *known["counts"]], dtype=np.int64)
        state: State = {"history": known["history"], "times": known["times"], "numbers": numbers}
        for trigger in self._triggers:
            state |= nested(trigger.name, trigger.state())
        state |= nested("graph", self._reviser.state())
        return state | (nested("episode", self._episode.state()) if self._episode is not None else {})

    def load_state(self, state: State) -> None:
        self._row, self._last_time = state["numbers"][:2].tolist()
        self._history.load_state({**state, "counts": state["numbers"][2:]})
        for trigger in self._triggers:
            trigger.load_state(part(trigger.name, state))
        self._reviser.load_state(part("graph", state))
        episode = part("episode", state)
        self._episode = Episode.of_state(episode) if episode else None


def _loud(triggers: Sequence[Trigger], verdicts: BoolArray, first: int) -> list[int]:
    """The places in a block of the rows at which triggers fired, or with a verdict; first: the number of its row 0."""
    places: list[int] = verdicts.nonzero()[0].tolist()
    return sorted({*places, *(trigger.row - first for trigger in triggers)}) if triggers else places
