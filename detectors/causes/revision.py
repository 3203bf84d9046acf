"""One revision of an episode: evidence to a ranking, with the graph and the walk beside it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detectors.block import State
from detectors.causes.confidence import judge_confidence
from detectors.causes.deviation import peer_groups
from detectors.causes.episode import Episode
from detectors.causes.evidence import Evidence, Quiet, gather, know_quiet, second_looks
from detectors.causes.graph import CausalGraph, entity_of, named
from detectors.causes.learning import Learned, Parts
from detectors.causes.ranking import plain_ranking, ranked, suspects, with_walk
from detectors.causes.settings import CausesSettings
from detectors.causes.update import graph_agreement, update_graph
from detectors.findings import Ranking

GRAPH_BATCHES = 4  # of an episode, between two updates of the learned graph


class Reviser:
    """Ranks an episode's causes as its rows come in, and keeps the causal graph from one update to the next."""

    def __init__(self, variables: Sequence[str], settings: CausesSettings, graph: CausalGraph | None) -> None:
        self._variables = tuple(variables)
        self._settings = settings
        self._groups = peer_groups(variables)
        self._kpi = named(settings.walk.kpi, variables)
        self._given = graph
        self._parents = graph.adjacency() if graph is not None and len(graph) else None
        count = len(self._variables)
        prior = graph if graph is not None else CausalGraph.empty(variables)
        self._learned = Learned(prior, np.zeros((count * (settings.learning.lags + 1), count)))
        self._agreement: float | None = None
        names = list(dict.fromkeys(entity_of(name) for name in variables))
        self._known: tuple[int, Quiet] | None = None  # the episode's opening, and its quiet rows
        self._numbers = {name: number for number, name in enumerate(names)}

    def revise(self, episode: Episode, time: int, *, given_up: str = "") -> Ranking:
        """The ranking as of the episode's newest row, taken at `time`; its last if there is a reason to end."""
        quiet = self._quiet_of(episode)
        evidence = gather(episode.window, quiet)
        graph = self._learned.graph.in_force()
        found = suspects(evidence, self._parents)
        found = with_walk(found, evidence, graph.adjacency(), self._settings.walk, kpi=self._kpi)
        causes = ranked(found, self._variables)
        entities = dict.fromkeys(self._numbers[cause.entity] for cause in causes)
        leaders = tuple(entities)[: self._settings.episode.top]
        converged, ended = episode.settle(leaders, self._settings.episode)
        ended = ended or bool(given_up)
        if self._settings.learning.enabled and self._is_to_learn(episode, ended):
            self._learn(evidence)
        confidence = judge_confidence(
            evidence,
            found,
            self._variables,
            looks=second_looks(episode.window, quiet, evidence),
            parents=self._parents,
            unknown_below=self._settings.unknown_below,
        )
        notes = [confidence.note, self._learned.note]
        if given_up and not converged:
            notes.append(given_up)
        elif ended and not converged:
            notes.append(f"the list did not settle in {episode.revision} revisions")
        ranking = Ranking(
            opened=episode.opened,
            opened_by=episode.opened_by,
            onset=episode.onset,
            time=time,
            revision=episode.revision - 1,
            causes=causes,
            baseline_causes=plain_ranking(quiet.plain, episode.after, self._variables),
            edges=self._learned.graph.edges(),
            converged=converged,
            ended=ended,
            confidence=confidence.value,
            answer=confidence.answer,
            note="; ".join(note for note in notes if note),
            graph_agreement=self._agreement,
        )
        if ended:
            self._forget_change()
        return ranking

    def _quiet_of(self, episode: Episode) -> Quiet:
        """What an episode's quiet rows tell: the same for each of its revisions, so worked out once."""
        if self._known is None or self._known[0] != episode.opened:
            self._known = episode.opened, know_quiet(episode.before, self._groups, self._settings.evidence)
        return self._known[1]

    def _is_to_learn(self, episode: Episode, ended: bool) -> bool:
        """The graph follows in steps of some batches, and once more at the end: it is a picture, and costs most."""
        return ended or episode.rows % (GRAPH_BATCHES * self._settings.episode.batch_rows) == 0

    def _learn(self, evidence: Evidence) -> None:
        """Update the graph with the episode's rows."""
        before, learning = self._learned, self._settings.learning
        self._learned = update_graph(evidence, self._variables, learning, given=self._given, before=before)
        is_comparable = before.graph.rows and self._learned.graph.rows
        self._agreement = graph_agreement(before.graph, self._learned.graph) if is_comparable else None

    def _forget_change(self) -> None:
        """After an episode: what this change added or ended says nothing of the next one, nor do its quiet rows."""
        self._known = None
        self._learned = replace(self._learned, graph=self._learned.graph.before_change(), parts=None)
        self._agreement = None

    def state(self) -> State:
        graph, parts = self._learned.graph, self._learned.parts
        state = {
            "weights": self._learned.weights.copy(),
            "ends": np.array([graph.causes, graph.effects, graph.lags], dtype=np.int64),
            "sizes": graph.weights.copy(),
            "given": graph.given.copy(),
            "rows": np.array(graph.rows),
            "note": np.array(self._learned.note),
            "agreement": np.array(np.nan if self._agreement is None else self._agreement),
        }
        if graph.holds is not None:
            state["holds"] = graph.holds.copy()
        return state if parts is None else {**state, "quiet": parts.quiet.copy(), "dependent": parts.dependent.copy()}

    def load_state(self, state: State) -> None:
        causes, effects, lags = state["ends"]
        prior = self._given if self._given is not None else CausalGraph.empty(self._variables)
        graph = CausalGraph(
            self._variables,
            causes,
            effects,
            lags,
            state["sizes"],
            state["given"],
            prior.links,
            prior.unknown,
            int(state.get("rows", 0)),  # states of the first version have none
            np.array(state["holds"]) if "holds" in state else None,
        )
        parts = Parts(np.array(state["quiet"]), np.array(state["dependent"])) if "quiet" in state else None
        self._learned = Learned(graph, np.array(state["weights"]), str(state["note"]), parts)
        agreement = float(state.get("agreement", np.nan))
        self._agreement = None if np.isnan(agreement) else agreement
