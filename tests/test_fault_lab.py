"""The fault lab: its faults strike where they should, and its scores are right."""

import numpy as np
import pytest
from bench.fault_lab import (
    KINDS,
    LEVEL,
    Fault,
    System,
    area_under_curve,
    calibration,
    change_size,
    draw_system,
    run_trial,
    simulate,
    structural_hamming_distance,
    table,
    unknown_at,
)

from detectors.findings import Edge

START = 60


def chain() -> System:
    """n0 -> n1 -> n2, n3 alone; one row each."""
    weights = np.zeros((4, 4))
    weights[0, 1] = weights[1, 2] = 0.8
    return System(weights, np.ones((4, 4), dtype=int), np.full(4, 0.3), np.array([1.0, 10.0, 0.1, 1.0]), False)


def both(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The same system without and with a fault of n1."""
    innovations = np.random.default_rng(0).normal(size=(200, 4))
    return simulate(chain(), innovations), simulate(chain(), innovations, Fault(kind, 1, START, 6.0))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "outside"])
def test_a_fault_changes_its_root_and_what_follows_and_nothing_else(kind: str) -> None:
    normal, faulty = both(kind)
    np.testing.assert_array_equal(faulty[:, [0, 3]], normal[:, [0, 3]])
    np.testing.assert_array_equal(faulty[:START], normal[:START])
    assert (faulty[START:, 1] != normal[START:, 1]).mean() > 0.4
    assert (faulty[START + 1 :, 2] != normal[START + 1 :, 2]).mean() > 0.4


def test_faults_do_what_their_names_say() -> None:
    normal, level = both("level")
    assert (level - normal)[-50:, 1].mean() == pytest.approx(60.0, rel=0.01)  # 6 innovations of unit 10
    assert both("drop")[1][START:, 1] == pytest.approx(0.0)
    assert both("saturation")[1][START:, 1].max() <= (LEVEL - 6.0) * 10.0
    leak = both("leak")[1] - normal
    assert 0 < leak[START + 5, 1] < leak[START + 30, 1] < leak[START + 60, 1]


def test_size_says_how_far_the_root_is_from_where_it_would_be() -> None:
    normal, level = both("level")
    size = change_size(normal[:, 1], level[:, 1], START)
    assert size == pytest.approx(6.0 / (normal[:, 1].std() / 10.0), rel=0.1)
    assert change_size(normal[:, 1], normal[:, 1], START) == 0.0
    assert change_size(*(rows[:, 1] for rows in both("delay")), START) < 1.5


def test_the_distance_of_graphs_counts_missing_false_and_turned_relations() -> None:
    truth = [("a", "b"), ("b", "c")]
    edges = [Edge("b", "a", 0, 1.0, "learned"), Edge("c", "d", 1, 1.0, "learned")]
    assert structural_hamming_distance(edges, truth) == 3
    assert structural_hamming_distance([Edge(a, b, 0, 1.0, "learned") for a, b in truth], truth) == 0
    assert structural_hamming_distance([], truth) == 2


def test_calibration_figures() -> None:
    assert area_under_curve([0.9, 0.5], [0.5, 0.1]) == pytest.approx(0.875)
    right = [0.1 * k for k in range(1, 11)]
    assert unknown_at(right, [0.05, 0.15, 0.5]) == (pytest.approx(0.1), pytest.approx(1 / 3))


def test_drawn_systems_are_acyclic_and_repeat() -> None:
    first, again = (draw_system(np.random.default_rng(4), 10, nonlinear=True) for _ in range(2))
    np.testing.assert_array_equal(first.weights, again.weights)
    assert not np.tril(first.weights).any()
    rows = simulate(first, np.random.default_rng(0).normal(size=(300, 10)))
    assert np.isfinite(rows).all()


def test_a_trial_finds_a_level_fault_with_nothing_told() -> None:
    trial = run_trial("level", 1, variables=6, before=300, nonlinear=False, given=False, form="joint")
    assert trial.delay is not None
    assert 1 <= trial.rank <= 3
    lines = [*table([trial], 300), *calibration([trial])]
    assert lines[1].startswith("level         1   1.00")
