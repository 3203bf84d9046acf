"""The learned graph: it finds simulated relations, is acyclic within a row, and respects what the user knows."""

import numpy as np
import pytest
from reference_causes import slow_descend

from detectors.causes.descent import Limits, descend, screen
from detectors.causes.graph import CausalGraph
from detectors.causes.learning import free_weights, learn, moments, on_cycles, penalties
from detectors.causes.settings import LearningSettings

NAMES = ["a.x", "b.x", "c.x", "d.x"]


def simulated(rows: int, seed: int = 0) -> np.ndarray:
    """a -> b within the row, b -> c one row later, d alone."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    x[:, 1] += 0.9 * x[:, 0]
    x[1:, 2] += 0.8 * x[:-1, 1]
    return x


def relations(graph: CausalGraph) -> set[tuple[str, str, int]]:
    return {(edge.cause, edge.effect, edge.lag) for edge in graph.edges()}


def test_a_lagged_relation_is_found_with_its_lag_and_direction() -> None:
    graph = learn(moments(simulated(2000), 1), NAMES, LearningSettings()).graph
    assert ("b.x", "c.x", 1) in relations(graph)
    assert {frozenset(r[:2]) for r in relations(graph)} >= {frozenset(("a.x", "b.x")), frozenset(("b.x", "c.x"))}
    assert not any("d.x" in r for r in relations(graph))


@pytest.mark.parametrize("seed", range(5))
def test_the_part_within_a_row_has_no_cycle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(400, 8)) @ rng.normal(size=(8, 8))  # everything correlates with everything
    graph = learn(moments(mixed, 1), [f"v{i}" for i in range(8)], LearningSettings(prune=0.01)).graph
    now = np.zeros((8, 8), dtype=bool)
    now[graph.causes[graph.lags == 0], graph.effects[graph.lags == 0]] = True
    assert not on_cycles(now).any()


def problem(lags: int) -> tuple[np.ndarray, np.ndarray, Limits]:
    """Correlation, start and limits of nine variables that all correlate, two of whose relations are given."""
    rng = np.random.default_rng(lags)
    correlation = moments(rng.normal(size=(300, 9)) @ rng.normal(size=(9, 9)), lags).correlation()
    known = CausalGraph.from_pairs([("v1", "v2"), ("v2", "v5")], [f"v{i}" for i in range(9)]).adjacency()
    start = 0.2 * rng.normal(size=(9 * (lags + 1), 9))
    center = np.where(rng.random(start.shape) < 0.1, start, 0.0)
    return correlation, start, Limits(free_weights(known, lags + 1), center, penalties(known, 0.1, lags + 1))


@pytest.mark.parametrize("lags", [0, 1, 3])
def test_the_descent_equals_a_plain_one(lags: int) -> None:
    correlation, start, limits = problem(lags)
    found = descend(correlation, start, limits, iterations=90, candidates=100)
    np.testing.assert_allclose(found, slow_descend(correlation, start, limits, 90), atol=1e-9)
    assert (found[limits.free] != start[limits.free]).any()


def test_candidates_are_what_correlates_most_and_whatever_is_given_or_there_already() -> None:
    correlation, start, limits = problem(3)
    start[:] = 0.0
    few = screen(correlation, start, limits._replace(center=np.zeros_like(start)), 5)
    assert few.shape == (9, 5)
    strength = np.abs(correlation[:, :9]) * limits.free
    assert set(few[0]) == set(np.argsort(-strength[:, 0])[:5])
    assert {1, 10, 19, 28} <= set(few[2])  # v1 moves v2: at each lag
    start[[30, 31, 32, 33, 34, 35], 0] = 0.5
    assert {30, 31, 32, 33, 34, 35} <= set(screen(correlation, start, limits, 5)[0])


def test_a_pair_that_nothing_tells_apart_keeps_one_direction_and_its_weight() -> None:
    for seed in range(5):
        edges = [
            e for e in learn(moments(simulated(300, seed), 3), NAMES, LearningSettings()).graph.edges() if not e.lag
        ]
        assert [{edge.cause, edge.effect} for edge in edges] == [{"a.x", "b.x"}]
        assert edges[0].weight == pytest.approx(np.sqrt(0.81 / 1.81), abs=0.08)


def test_few_candidates_find_what_all_of_them_find() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(900, 40))
    for j in range(1, 40):
        rows[1:, j] += 0.7 * rows[:-1, (j - 1) // 3]
    names = [f"v{i}.x" for i in range(40)]
    few, whole = (
        learn(moments(rows, 3), names, LearningSettings(candidates=candidates)).graph for candidates in (12, 160)
    )
    assert relations(few) == relations(whole)
    assert len(relations(few)) == 39


def test_a_given_relation_stays_given_and_is_never_reversed() -> None:
    given = CausalGraph.from_pairs([("d.x", "a.x"), ("b.x", "a.x")], NAMES)  # the second one is wrong; it is the user's
    graph = learn(moments(simulated(2000), 1), NAMES, LearningSettings(), given=given).graph
    origins = {(edge.cause, edge.effect): edge.origin for edge in graph.edges()}
    assert origins[("d.x", "a.x")] == origins[("b.x", "a.x")] == "given"
    assert ("a.x", "b.x") not in {(e.cause, e.effect) for e in graph.edges() if e.lag == 0}
    assert origins[("b.x", "c.x")] == "learned"


def test_units_and_constant_columns_change_nothing() -> None:
    rows = simulated(1500)
    scaled = np.c_[rows * [1e6, 1e-6, 3.0, 1.0] + [5.0, 0.0, -2.0, 0.0], np.full(1500, 7.0)]
    plain = learn(moments(rows, 1), NAMES, LearningSettings()).graph
    other = learn(moments(scaled, 1), [*NAMES, "e.x"], LearningSettings()).graph
    assert relations(other) == relations(plain)


@pytest.mark.parametrize("lags", [0, 1, 3])
def test_moments_are_those_of_the_table_of_all_lags(lags: int) -> None:
    rows = simulated(50)
    table = np.concatenate([rows[lags - lag : 50 - lag] for lag in range(lags + 1)], axis=1)
    found = moments(rows, lags)
    np.testing.assert_allclose(found.products, table.T @ table, atol=1e-10)
    np.testing.assert_allclose(found.total, table.sum(axis=0))
    assert moments(rows[:lags], lags).count == 0


def test_moments_of_batches_add_up() -> None:
    rows = simulated(300)
    whole = moments(rows, 1)
    parts = moments(rows[:100], 1) + moments(rows[99:], 1)  # the second batch begins one lag earlier
    np.testing.assert_allclose(parts.products, whole.products)
    assert parts.count == whole.count


def test_a_warm_start_goes_on_where_the_last_update_ended() -> None:
    found, short = moments(simulated(2000), 1), LearningSettings(iterations=30)
    first = learn(found, NAMES, short)
    second = learn(found, NAMES, short, before=first)
    best = learn(found, NAMES, LearningSettings(iterations=3000)).weights
    assert np.abs(second.weights - best).sum() < np.abs(first.weights - best).sum()


def test_too_few_rows_or_too_many_variables_keep_the_given_graph_and_say_so() -> None:
    given = CausalGraph.from_pairs([("a.x", "b.x")], NAMES)
    few = learn(moments(simulated(8), 1), NAMES, LearningSettings(), given=given)
    wide = learn(moments(simulated(2000), 1), NAMES, LearningSettings(max_variables=3), given=given)
    assert few.graph is given and "rows" in few.note
    assert wide.graph is given and "variables" in wide.note


def test_a_cycle_loses_its_weakest_edge() -> None:
    edges = np.zeros((4, 4), dtype=bool)
    edges[0, 1] = edges[1, 2] = edges[2, 0] = edges[2, 3] = True
    assert set(map(tuple, np.argwhere(on_cycles(edges)))) == {(0, 1), (1, 2), (2, 0)}
