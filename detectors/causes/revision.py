"""One revision of an episode: evidence to a ranking, with the graph and the walk beside it."""

from collections.abc import Sequence

import numpy as np

from detectors.block import FloatArray, State
from detectors.causes.confidence import judge_confidence
from detectors.causes.deviation import peer_groups
from detectors.causes.episode import Episode
from detectors.causes.evidence import Evidence, Quiet, gather, know_quiet, second_looks
from detectors.causes.graph import CausalGraph, entity_of
from detectors.causes.learning import Learned, learn, moments_around
from detectors.causes.ranking import Suspects, plain_ranking, ranked, suspects
from detectors.causes.settings import CausesSettings
from detectors.causes.walk import propagate
from detectors.findings import Ranking

GRAPH_BATCHES = 4  # of an episode, between two updates of the learned graph


class Reviser:
    """Ranks an episode's causes as its rows come in, and keeps the causal graph from one update to the next."""

    def __init__(self, variables: Sequence[str], settings: CausesSettings, graph: CausalGraph | None) -> None:
        self._variables = tuple(variables)
        self._settings = settings
        self._groups = peer_groups(variables)
        self._given = graph
        self._parents = graph.adjacency() if graph is not None and len(graph) else None
        count = len(self._variables)
        prior = graph if graph is not None else CausalGraph.empty(variables)
        self._learned = Learned(prior, np.zeros((count * (settings.learning.lags + 1), count)))
        names = list(dict.fromkeys(entity_of(name) for name in variables))
        self._known: tuple[int, Quiet] | None = None  # the episode's opening, and its quiet rows
        self._numbers = {name: number for number, name in enumerate(names)}

    def revise(self, episode: Episode, time: int, *, given_up: str = "") -> Ranking:
        """The ranking as of the episode's newest row, taken at `time`; its last if there is a reason to end."""
        quiet = self._quiet_of(episode)
        evidence = gather(episode.window, quiet)
        found = self._walked(suspects(evidence, self._parents), evidence)
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
        return Ranking(
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
        )

    def _quiet_of(self, episode: Episode) -> Quiet:
        """What an episode's quiet rows tell: the same for each of its revisions, so worked out once."""
        if self._known is None or self._known[0] != episode.opened:
            self._known = episode.opened, know_quiet(episode.before, self._groups, self._settings.evidence)
        return self._known[1]

    def _is_to_learn(self, episode: Episode, ended: bool) -> bool:
        """The graph follows in steps of some batches, and once more at the end: it is a picture, and costs most."""
        return ended or episode.rows % (GRAPH_BATCHES * self._settings.episode.batch_rows) == 0

    def _learn(self, evidence: Evidence) -> None:
        """Update the graph with the episode's rows beside its baseline. Deviations have no gaps: missing is 0."""
        found = moments_around(evidence.before, evidence.between, evidence.after, self._settings.learning.lags)
        self._learned = learn(found, self._variables, self._settings.learning, given=self._given, before=self._learned)

    def _walked(self, found: Suspects, evidence: Evidence) -> Suspects:
        """The walk beside the evidence, mixed into the scores with its weight."""
        relevance = evidence.total / max(float(evidence.total.max()), 1e-12)
        symptoms = np.log1p(evidence.deviation)
        walk = propagate(self._learned.graph.adjacency(), relevance, symptoms, self._settings.walk)
        weight = self._settings.walk.weight
        total = float(found.scores.sum()) or 1.0
        mixed: FloatArray = (1.0 - weight) * found.scores / total + weight * walk if weight else found.scores
        return Suspects(mixed, {**found.parts, "walk": walk})

    def state(self) -> State:
        graph = self._learned.graph
        return {
            "weights": self._learned.weights.copy(),
            "ends": np.array([graph.causes, graph.effects, graph.lags], dtype=np.int64),
            "sizes": graph.weights.copy(),
            "given": graph.given.copy(),
            "rows": np.array(graph.rows),
            "note": np.array(self._learned.note),
        }

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
        )
        self._learned = Learned(graph, np.array(state["weights"]), str(state["note"]))
