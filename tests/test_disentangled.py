"""The disentangled graph: what a change adds is told from what holds in both states, and from what ended with it."""

import numpy as np
import pytest

from detectors.block import Block
from detectors.causes.causes import Causes
from detectors.causes.disentangled import learn_disentangled, relations
from detectors.causes.graph import CausalGraph
from detectors.causes.learning import Learned, moments, on_cycles
from detectors.causes.settings import CausesSettings, ChangeSettings, EpisodeSettings, LearningSettings, MssaSettings
from detectors.causes.update import graph_agreement
from detectors.findings import Ranking

NAMES = [f"{letter}.x" for letter in "abcdef"]
SETTINGS = LearningSettings(form="disentangled")


def simulated(rows: int, seed: int, *, added: float = 0.0, kept: float = 0.8, louder: float = 1.0) -> np.ndarray:
    """a -> b within the row, b -> c by `kept` and d -> e by `added` one row later, f alone; a is so much louder."""
    x = np.random.default_rng(seed).normal(size=(rows, 6))
    x[:, 0] *= louder
    x[:, 1] += 0.9 * x[:, 0]
    x[1:, 2] += kept * x[:-1, 1]
    x[1:, 4] += added * x[:-1, 3]
    return x


def learned(
    after: np.ndarray, seed: int, *, given: CausalGraph | None = None, before: Learned | None = None
) -> Learned:
    quiet, since = moments(simulated(800, seed), 1), moments(after, 1)
    return learn_disentangled(quiet, since, NAMES, SETTINGS, given=given, before=before)


def told(graph: CausalGraph, holds: str) -> set[frozenset[str]]:
    """The pairs of variables, by their letters, whose relation holds so."""
    return {frozenset((edge.cause[0], edge.effect[0])) for edge in graph.edges() if edge.holds == holds}


@pytest.mark.parametrize("seed", range(6))
def test_a_relation_that_the_change_adds_is_told_as_since_the_change(seed: int) -> None:
    found = learned(simulated(120, 100 + seed, added=0.9), seed)
    assert told(found.graph, "since_change") == {frozenset("de")}
    assert told(found.graph, "both") == {frozenset("ab"), frozenset("bc")}
    assert found.parts is not None and relations(found.parts.dependent).sum() == 1
    (new,) = (edge for edge in found.graph.edges() if edge.holds == "since_change")
    assert (new.cause, new.effect, new.lag) == ("d.x", "e.x", 1)
    assert not found.weights.reshape(2, 6, 6)[:, 3, 4].any()  # none of it in the invariant part


@pytest.mark.parametrize("rows", [4, 30, 120, 400])
@pytest.mark.parametrize("louder", [1.0, 4.0])
def test_a_system_that_works_as_before_adds_nothing_and_ends_nothing(rows: int, louder: float) -> None:
    for seed in range(6):
        graph = learned(simulated(rows, 100 + seed, louder=louder), seed).graph
        assert told(graph, "since_change") == told(graph, "until_change") == set()


@pytest.mark.parametrize("seed", range(6))
def test_a_relation_that_no_longer_holds_is_told_as_ended_and_not_walked(seed: int) -> None:
    graph = learned(simulated(60, 100 + seed, kept=0.0), seed).graph
    assert told(graph, "until_change") == {frozenset("bc")}
    assert not graph.in_force().adjacency()[1, 2]


def test_a_cause_that_rests_ends_no_relation_and_an_effect_that_rests_does() -> None:
    for resting, ended in ((1, set()), (2, {frozenset("bc")})):  # b moves c one row later
        after = simulated(60, 1)
        after[:, resting] = 3.0
        assert told(learned(after, 0).graph, "until_change") - {frozenset("ab")} == ended  # a and b: either way round


def test_a_given_relation_stays_and_may_be_told_as_ended() -> None:
    given = CausalGraph.from_pairs([("b.x", "c.x"), ("f.x", "d.x")], NAMES)
    graph = learned(simulated(60, 7, kept=0.0), 0, given=given).graph
    holds = {(edge.cause, edge.effect): edge.holds for edge in graph.edges("given")}
    assert holds == {("b.x", "c.x"): "until_change", ("f.x", "d.x"): "both"}
    assert graph.in_force().adjacency()[1, 2]  # the user's word stands


@pytest.mark.parametrize("seed", range(5))
def test_the_part_within_a_row_has_no_cycle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quiet, since = (moments(rng.normal(size=(500, 8)) @ rng.normal(size=(8, 8)), 1) for _ in range(2))
    settings = LearningSettings(form="disentangled", prune=0.01)
    graph = learn_disentangled(quiet, since, [f"v{i}" for i in range(8)], settings).graph
    now = np.zeros((8, 8), dtype=bool)
    now[graph.causes[graph.lags == 0], graph.effects[graph.lags == 0]] = True
    assert now.any() and not on_cycles(now).any()


def test_what_was_added_stays_told_as_such_from_batch_to_batch() -> None:
    rows, found = simulated(240, 9, added=0.9), None
    for end in (80, 160, 240):
        found = learned(rows[:end], 0, before=found)
        assert told(found.graph, "since_change") == {frozenset("de")}


def test_too_few_quiet_rows_or_too_many_variables_keep_the_given_graph_and_say_so() -> None:
    given, few = CausalGraph.from_pairs([("a.x", "b.x")], NAMES), moments(simulated(12, 0), 1)
    none = learn_disentangled(few, few, NAMES, SETTINGS, given=given)
    wide = learn_disentangled(few, few, NAMES, LearningSettings(max_variables=3), given=given)
    assert none.graph is given and "rows" in none.note
    assert wide.graph is given and "variables" in wide.note


def test_agreement_falls_with_what_differs() -> None:
    pairs = [("a.x", "b.x"), ("b.x", "c.x"), ("c.x", "d.x")]
    one, two, three = (CausalGraph.from_pairs(pairs[:count], NAMES) for count in (1, 2, 3))
    other = CausalGraph.from_pairs([("e.x", "f.x")], NAMES)
    assert graph_agreement(three, three) == 1.0 > graph_agreement(three, two) > graph_agreement(three, one) > 0.0
    assert graph_agreement(three, other) == graph_agreement(three, CausalGraph.empty(NAMES)) == 0.0
    assert graph_agreement(three, one) == pytest.approx(graph_agreement(one, three))


WATCHING = CausesSettings(
    change=ChangeSettings(enabled=False),
    mssa=MssaSettings(enabled=False),
    learning=SETTINGS,
    episode=EpisodeSettings(batch_rows=8, agreements=9, max_batches=14),
)


def watched(rows: np.ndarray, *, cut_at: tuple[int, ...] = ()) -> list[Ranking]:
    """Rankings of rows with verdicts from 301 on and again from 502 on, the state carried to a fresh copy at some."""
    causes, found = Causes(NAMES, WATCHING, graph=None, seed=0), []
    for t, row in enumerate(rows):
        if t in cut_at:
            state = causes.state()
            causes = Causes(NAMES, WATCHING, graph=None, seed=0)
            causes.load_state(state)
        found += causes.step(Block(np.array([t]), row[None]), np.array([301 <= t < 430 or t >= 502]), np.zeros((1, 6)))[
            1
        ]
    return found


def test_episodes_tell_states_apart_and_a_state_taken_anywhere_goes_on_bit_for_bit() -> None:
    rows = np.concatenate([simulated(300, 0), simulated(130, 1, added=1.2) + 2.0, simulated(170, 2)])
    whole = watched(rows)
    assert watched(rows, cut_at=(290, 335, 370, 431, 510)) == whole
    first = [ranking for ranking in whole if ranking.opened == 301]
    second = [ranking for ranking in whole if ranking.opened == 502]
    new = [(edge.cause, edge.effect) for edge in first[-1].edges if edge.holds == "since_change"]
    assert new == [("d.x", "e.x")]
    assert not any(edge.holds == "since_change" for ranking in second for edge in ranking.edges)  # it is over
    assert first[0].graph_agreement is None is second[0].graph_agreement
    assert 0.9 < first[-1].graph_agreement <= 1.0
