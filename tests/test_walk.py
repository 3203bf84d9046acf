"""The walk is a probability, it equals its simulation, and it goes upstream."""

import numpy as np
import pytest

from detectors.causes.overlap import rank_biased_overlap
from detectors.causes.settings import WalkSettings
from detectors.causes.walk import propagate, stationary, transitions


def random_graph(rng: np.random.Generator, count: int) -> np.ndarray:
    return (rng.random((count, count)) < 0.3) & ~np.eye(count, dtype=bool)


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_the_transition_matrix_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    relevance = rng.random(12) * (rng.random(12) < 0.6)  # some variables are related to nothing
    moves = transitions(random_graph(rng, 12), relevance, 0.01)
    assert (moves >= 0).all()
    np.testing.assert_allclose(moves.sum(axis=1), 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_solution_is_where_power_iteration_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moves = transitions(random_graph(rng, 9), rng.random(9), 0.01)
    start = rng.dirichlet(np.ones(9))
    walker = start.copy()
    for _ in range(2000):
        walker = 0.05 * start + 0.95 * moves.T @ walker
    solved = stationary(moves, start, 0.05)
    np.testing.assert_allclose(solved, walker, atol=1e-12)
    assert solved.sum() == pytest.approx(1.0)


def test_a_simulated_walker_spends_its_time_as_solved() -> None:
    rng = np.random.default_rng(3)
    moves = transitions(random_graph(rng, 6), rng.random(6), 0.1)
    start = np.array([0, 0, 0, 0, 0, 1.0])
    visits, at = np.zeros(6), 5
    for _ in range(40_000):
        at = rng.choice(6, p=start if rng.random() < 0.2 else moves[at])
        visits[at] += 1
    np.testing.assert_allclose(visits / visits.sum(), stationary(moves, start, 0.2), atol=0.02)


def test_the_walk_goes_from_effect_to_cause_along_a_chain() -> None:
    chain = np.diag(np.ones(4), 1).astype(bool)  # 0 -> 1 -> 2 -> 3 -> 4
    scores = propagate(chain, np.array([0.9, 0.8, 0.7, 0.6, 0.0]), np.eye(5)[4], WalkSettings())
    assert list(np.argsort(-scores))[:2] == [0, 1]
    assert scores[4] == 0.0  # the symptom does not explain itself
    assert scores.sum() == pytest.approx(1.0)


def test_a_named_kpi_of_several_variables_explains_nothing_and_is_explained_by_what_is_upstream_of_it() -> None:
    graph = np.zeros((5, 5), dtype=bool)
    graph[0, 2] = graph[0, 3] = graph[1, 4] = True  # 0 moves the KPI (2, 3); 1 moves something else
    kpi = np.array([False, False, True, True, False])
    relevance = np.array([0.3, 0.9, 0.0, 0.0, 0.8])
    scores = propagate(graph, relevance, kpi * 1.0, WalkSettings(), explained=kpi)
    assert scores.argmax() == 0 and not scores[kpi].any()
    assert scores.sum() == pytest.approx(1.0)


def test_without_symptoms_and_edges_every_variable_is_alike() -> None:
    scores = propagate(np.zeros((4, 4), dtype=bool), np.zeros(4), np.zeros(4), WalkSettings())
    np.testing.assert_allclose(scores, 0.25)


def test_overlap_of_equal_lists_is_one_and_falls_with_depth_of_the_first_difference() -> None:
    assert rank_biased_overlap("abcde", "abcde") == 1.0
    late, early = rank_biased_overlap("abcde", "abcdx"), rank_biased_overlap("abcde", "xbcde")
    assert 0.0 < early < late < 1.0
    assert rank_biased_overlap([], []) == 1.0
