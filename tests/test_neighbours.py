"""The neighbours: equal to their slow twin, a memory evenly spaced in time, and what becomes normal when."""

from collections.abc import Iterator

import numpy as np
import pytest
from reference_team import SlowMemory, SlowNeighbours, slow_nearest

from detectors.block import FloatArray, Rows
from detectors.intake import Intake, IntakeSettings
from detectors.online.memory import Memory, offer
from detectors.online.neighbours import Neighbours, NeighboursSettings
from detectors.online.neighbours_kernel import nearest, new_tables
from detectors.segments import cut

SETTINGS = NeighboursSettings(memory=64, release_rows=60, ring_rows=40)


def pieces(values: FloatArray) -> Iterator[Rows]:
    """The rows of a series as detectors get them, a segment at a time."""
    intake = Intake(values.shape[1], IntakeSettings(counter_rows=150))
    for piece in cut(0, len(values)):
        yield intake.read(values[piece])


def awkward(rows: int) -> FloatArray:
    """Noise of several sizes with gaps, a constant that moves, a counter, a late starter and a lasting shift."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, 6)) * [1, 1e-6, 1e6, 1, 1, 1] + [0, 3, -1e7, 0, 0, 0]
    x[rng.random(x.shape) < 0.05] = np.nan
    x[:, 3] = 4.0
    x[rows // 2 :, 3] = 4.5
    x[:, 4] = np.cumsum(rng.poisson(2, rows))
    x[: rows // 3, 5] = np.nan
    x[300:340] = np.nan
    x[rows // 2 : rows // 2 + 100, 0] += 9.0
    return x


def test_neighbours_equal_their_slow_twin() -> None:
    rng = np.random.default_rng(3)
    x = awkward(900)
    fast = Neighbours(6, SETTINGS, seed=1)
    slow = SlowNeighbours(6, 64, float(np.random.default_rng(1).random()), 60, 40)
    for rows in pieces(x):
        scores, (distances, away) = fast.score(rows), slow.score(rows)
        assert scores.fresh is not None and scores.variables is not None
        np.testing.assert_allclose(scores.members, distances[:, [0, 1, 3]], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(scores.fresh, distances[:, 2], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(scores.variables, away, rtol=2e-2, atol=2e-2)
        held = 450 <= rows.first < 600
        weights = np.full(len(rows), 0.1 if held else rng.choice([1.0, 1.0, 1.0, 0.0]))
        fast.learn(rows, weights)
        slow.learn(rows, weights)
    assert slow.held == 0 and slow.memory.made > 150


@pytest.mark.parametrize(("filled", "k"), [(130, 3), (512, 10), (40, 7), (300, 80)])
def test_distances_equal_plain_ones_bit_for_bit(filled: int, k: int) -> None:
    rng = np.random.default_rng(filled)
    tables = new_tables(512, 7)
    rows = np.round(rng.normal(size=(4, filled, 7)), 1).astype(np.float32)  # coarse: there are ties
    for slot in range(filled):
        tables[:, slot // 64, :, slot % 64] = rows[:, slot]
    queries = np.round(rng.normal(size=(4, 5, 7)), 1).astype(np.float32)
    present = rng.random((5, 7)) < 0.8
    present[0], present[1] = True, np.arange(7) == 3
    scores, found = np.empty((4, 5)), np.empty((4, 5, k), dtype=np.int64)
    nearest(tables, filled, queries, present, scores, found)
    for v in range(4):
        for t in range(5):
            mean, slots = slow_nearest(rows[v], queries[v, t], np.flatnonzero(present[t]).tolist(), k)
            assert (scores[v, t], found[v, t].tolist()) == (mean, slots)


def test_memory_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(0)
    memory, twin = Memory(50, 1, 1), SlowMemory(50, 2_000.0, 0.37)
    for row in range(6_000):
        weight = float(rng.choice([1.0, 1.0, 0.1]))
        offer(row, weight, memory.order, memory.born, memory.counts, memory.credit, 2_000.0, 0.37)
        twin.offer(row, weight, np.zeros((1, 1)))
    assert memory.born[memory.order].tolist() == [time for time, _ in twin.entries]


def test_memory_is_evenly_spaced_and_thins_with_age() -> None:
    memory = Memory(200, 1, 1)
    for row in range(40_000):
        offer(row, 1.0, memory.order, memory.born, memory.counts, memory.credit, 1e6, 0.5)
    gaps = np.diff(memory.born[memory.order])
    assert gaps.max() <= 3 * gaps.mean()
    memory = Memory(200, 1, 1)
    for row in range(40_000):
        offer(row, 1.0, memory.order, memory.born, memory.counts, memory.credit, 5_000.0, 0.5)
    born = memory.born[memory.order]
    assert (born > 35_000).sum() > 3 * ((born > 25_000) & (born < 30_000)).sum()


def test_seed_moves_the_scores_of_a_full_memory_a_little() -> None:
    x = np.random.default_rng(1).normal(size=(1500, 4))
    found = []
    for seed in (0, 1):
        detector = Neighbours(4, NeighboursSettings(memory=100), seed=seed)
        found.append([])
        for rows in pieces(x):
            found[-1].extend(detector.score(rows).members[:, 0])
            detector.learn(rows, np.ones(len(rows)))
    a, b = np.array(found)[:, 1000:]
    assert not np.array_equal(a, b)
    assert np.corrcoef(a, b)[0, 1] > 0.6


def test_lasting_incident_is_accepted_after_its_release() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1200, 4))
    x[600:] += 6.0
    detector = Neighbours(4, NeighboursSettings(memory=128, release_rows=200))
    scores = []
    for rows in pieces(x):
        scores.extend(detector.score(rows).members[:, 0])
        detector.learn(rows, np.full(len(rows), 1.0 if rows.first < 600 else 0.02))
    assert np.min(scores[640:800]) > 5 * np.median(scores[400:600])
    assert np.median(scores[820:1000]) < 3 * np.median(scores[400:600])


def test_restored_neighbours_go_on_bit_for_bit_after_a_release_and_a_renewal() -> None:
    x = awkward(900)
    one, other = Neighbours(6, SETTINGS), Neighbours(6, SETTINGS)
    for rows in pieces(x):
        np.testing.assert_array_equal(one.score(rows).members, other.score(rows).members)
        weights = np.full(len(rows), 0.1 if rows.first % 300 > 200 else 1.0)
        one.learn(rows, weights)
        other.learn(rows, weights)
        state = other.state()
        other = Neighbours(6, SETTINGS)
        other.load_state(state)


@pytest.mark.parametrize(
    ("option", "value"), [("memory", 10), ("nearest", 0.0), ("nearest", 0.9), ("slow", 0.0), ("fast", 2.0)]
)
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        NeighboursSettings(**{option: value})  # type: ignore[arg-type]
