"""Sparse changes: equal to the slow twin, and seen by the vote of a wide system, however calm the rest is."""

import dataclasses

import numpy as np
import pytest
from reference_rows import SlowSparse
from test_neighbours import awkward, pieces
from wide import quiet_system, watch, with_faults

from detectors.block import FloatArray
from detectors.causes.settings import CausesSettings
from detectors.online.sparse import Sparse, SparseSettings
from detectors.settings import MonitorSettings

SEED = 6
QUIET = MonitorSettings(causes=dataclasses.replace(CausesSettings(), enabled=False), other_rules=False)


def test_sparse_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(SEED)
    fast = Sparse(6, SparseSettings(variables=2, smoothing=0.3, memory_rows=300))
    slow = SlowSparse(6, least=2, rate=0.3, memory_rows=300)
    largest = 0.0
    for rows in pieces(awkward(900)):
        scores, twin = fast.score(rows), slow.score(rows)
        assert scores.fresh is not None
        np.testing.assert_allclose(scores.members[:, 0], twin[:, 0], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(scores.fresh, twin[:, 1], rtol=1e-6, atol=1e-9)
        largest = max(largest, float(twin.max()))
        weights = rng.choice([1.0, 1.0, 0.1, 0.0], size=len(rows))
        fast.learn(rows, weights)
        slow.learn(rows, weights)
    assert largest > 2.0


def scored(values: FloatArray, variables: int) -> FloatArray:
    """The member's scores (T,)."""
    detector = Sparse(values.shape[1], SparseSettings(variables=variables))
    out = []
    for rows in pieces(values):
        out.extend(detector.score(rows).members[:, 0])
        detector.learn(rows, np.ones(len(rows)))
    return np.array(out)


def test_two_variables_however_far_say_no_more_than_the_largest_of_the_rest_and_three_do() -> None:
    x = np.random.default_rng(SEED).normal(size=(1_200, 50))
    x[-20:, :2] += 8.0
    two = scored(x, 3)
    np.testing.assert_array_equal(two[-15:], scored(x[:, 2:], 1)[-15:])
    x[-20:, 2] += 8.0
    assert scored(x, 3)[-15:].min() > 2.0 * two[-15:].max()


def test_each_variable_has_its_own_tail() -> None:
    """What is over the line of a heavy tail is far over that of a light one; both are over it in 1 % of their rows."""
    rng = np.random.default_rng(SEED)
    x = np.column_stack([rng.standard_t(3, size=20_000), rng.uniform(-1, 1, size=20_000)])
    for column in range(2):
        u = scored(x[:, [column]], 1)[10_000:]
        assert 0.004 < np.mean(u > 1.0) < 0.02


def test_a_wide_system_sees_four_of_its_200_variables_astray() -> None:
    rng = np.random.default_rng(SEED)
    x, marked = with_faults(rng, quiet_system(rng, 9_000, 200), faults=6)
    seen = watch(x, marked, QUIET, SEED)
    unseen = watch(x, marked, dataclasses.replace(QUIET, wide=201), SEED)
    assert seen.found >= 5
    assert unseen.found <= 3
    assert seen.episodes <= unseen.episodes


@pytest.mark.parametrize(
    ("option", "value"), [("variables", 0), ("smoothing", 0.0), ("smoothing", 1.5), ("memory_rows", 99)]
)
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        SparseSettings(**{option: value})  # type: ignore[arg-type]
