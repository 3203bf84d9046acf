"""One system's root-cause analysis: a trigger or a verdict opens an episode, and the episode ranks causes until they
settle.

triggers   has the system changed state?                    detectors.causes.change, .mssa
history    the quiet rows that tell what is normal; nothing of an open episode enters them
episode    evidence, blame along a given graph, the learned graph, the walk, the list     .episode, .evidence, .ranking
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from detectors.block import Block, BoolArray, FloatArray, State, nested, part
from detectors.causes.change import ChangeTrigger
from detectors.causes.episode import Episode, open_episode
from detectors.causes.graph import CausalGraph
from detectors.causes.revision import Reviser
from detectors.causes.ring import Ring
from detectors.causes.settings import CausesSettings
from detectors.causes.trigger import TriggerDetector
from detectors.causes.triggers import build_triggers
from detectors.findings import Ranking, Trigger
from detectors.intake import believable

FEWEST_ROWS = 24  # quiet rows before an episode can open: a quarter of them is no baseline
CALM_BATCHES = 3  # of an episode without verdict or trigger, after which more rows would say no more
SUPERSEDED = "another change began before the list had settled"
WELL_AGAIN = "no row was out of line for a while, and the list had not settled"
CALM_ROWS = 10  # rows without verdict or trigger until a row counts as quiet again


class Causes:
    """Watches D variables for a change of state and ranks its causes.

    Deterministic; any split of the rows into blocks gives the same findings, bit for bit. A missing reading (NaN)
    deviates by nothing: it is evidence of nothing. Memory is bounded by settings.history_rows. Cost: the triggers,
    some 0.1 ms a row at D = 38, half of it refits; a revision of an open episode 2 to 4 ms, with the graph learned 20
    ms more.
    """

    def __init__(
        self, variables: Sequence[str], settings: CausesSettings, *, graph: CausalGraph | None, seed: int
    ) -> None:
        self.settings = settings
        self._triggers: list[TriggerDetector] = build_triggers(variables, settings)
        self._reviser = Reviser(variables, settings, graph)
        self._history = Ring(settings.history_rows, len(variables))
        self._times = Ring(settings.history_rows, 1, dtype=np.int64)
        self._episode: Episode | None = None
        self._row = 0
        self._last_time = 0
        self._calm = CALM_ROWS  # rows since the last verdict or trigger
        self._unrest = 0  # rows kept out of the history in a row

    def step(
        self, block: Block, verdicts: BoolArray, variable_scores: FloatArray
    ) -> tuple[list[Trigger], list[Ranking]]:
        """Triggers and rankings of these rows. verdicts: (T,) of the vote.  variable_scores: (T, D), not used yet by
        this ranking, which weighs the readings themselves."""
        triggers: list[Trigger] = []
        rankings: list[Ranking] = []
        values = believable(block.values)
        for time, row, verdict in zip(block.times.tolist(), values, verdicts.tolist(), strict=True):
            fired = [t for d in self._triggers if (t := d.step(row, time, self._row)) is not None]
            triggers += fired
            if self._episode is not None and self._is_another(self._episode, fired):
                rankings.append(self._reviser.revise(self._episode, self._last_time, given_up=SUPERSEDED))
                self._episode = None
            self._open_if_due(row, time, bool(fired), verdict)
            if self._episode is not None:
                rankings += self._follow(self._episode, row, time)
            self._remember(row, time, bool(fired) or verdict)
            self._row, self._last_time = self._row + 1, time
        return triggers, rankings

    def _open_if_due(self, row: FloatArray, time: int, fired: bool, verdict: bool) -> None:
        """A trigger opens an episode; so does a verdict after calm, for later ones belong to the same unrest."""
        asked = verdict and self.settings.episode.open_on_verdict and self._calm >= CALM_ROWS
        if self._episode is not None or len(self._history) < FEWEST_ROWS or not (fired or asked):
            return
        by: Literal["trigger", "verdict"] = "trigger" if fired else "verdict"
        quiet, times = self._history.rows(), self._times.rows()[:, 0]
        self._episode = open_episode(by, quiet, times, row, time, self.settings.evidence)

    def _is_another(self, episode: Episode, fired: Sequence[Trigger]) -> bool:
        """That trigger fires anew only for another change than the one that is on; within an episode's first batch of
        rows it may still be late for the same."""
        return episode.rows >= self.settings.episode.batch_rows and any(t.detector == ChangeTrigger.name for t in fired)

    def _follow(self, episode: Episode, row: FloatArray, time: int) -> list[Ranking]:
        """The ranking of this row, if one is due."""
        if not episode.add(row, self.settings.episode, most=self.settings.evidence.rows_after):
            return []
        awaited = CALM_BATCHES * self.settings.episode.batch_rows
        is_over = min(episode.rows - 1, self._calm) >= awaited
        ranking = self._reviser.revise(episode, time, given_up=WELL_AGAIN if is_over else "")
        if ranking.ended:
            self._episode = None
        return [ranking]

    def _remember(self, row: FloatArray, time: int, active: bool) -> None:
        """A quiet row is history; so is any row once the unrest has lasted so long that it is the new normal."""
        self._calm = 0 if active else self._calm + 1
        is_quiet = self._episode is None and self._calm >= CALM_ROWS
        self._unrest = 0 if is_quiet else self._unrest + 1
        if is_quiet or self._unrest > self.settings.accept_rows:
            self._history.append(row)
            self._times.append(np.array([time]))

    def state(self) -> State:
        state: State = {
            "history": self._history.rows().copy(),
            "times": self._times.rows().copy(),
            "numbers": np.array([self._row, self._last_time, self._calm, self._unrest], dtype=np.int64),
        }
        for trigger in self._triggers:
            state |= nested(trigger.name, trigger.state())
        state |= nested("graph", self._reviser.state())
        return state | (nested("episode", self._episode.state()) if self._episode is not None else {})

    def load_state(self, state: State) -> None:
        self._history.load(state["history"])
        self._times.load(state["times"])
        self._row, self._last_time, self._calm, self._unrest = state["numbers"].tolist()
        for trigger in self._triggers:
            trigger.load_state(part(trigger.name, state))
        self._reviser.load_state(part("graph", state))
        episode = part("episode", state)
        self._episode = Episode.of_state(episode) if episode else None
