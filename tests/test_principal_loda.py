"""Principal components and LODA: equal to slow twins, and true to what their papers promise."""

import numpy as np
import pytest
from reference_rows import SlowLoda, SlowPrincipal
from test_neighbours import awkward, pieces

from detectors.block import Rows
from detectors.online.loda import Loda, LodaSettings, draw_projections
from detectors.online.principal import Principal, PrincipalSettings

SEED = 5


def test_principal_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(SEED)
    fast = Principal(6, PrincipalSettings(components=2, smoothing=0.2, memory_rows=300))
    slow = SlowPrincipal(6, components=2, rate=0.2, memory_rows=300)
    for rows in pieces(awkward(700)):
        scores = fast.score(rows)
        members, expected, away = slow.score(rows)
        assert scores.fresh is not None and scores.variables is not None and scores.expected is not None
        close = {"rtol": 1e-6, "atol": 1e-7}
        np.testing.assert_allclose(scores.members[:, 0], members[:, 0], **close)
        np.testing.assert_allclose(scores.fresh, members[:, 1], **close)
        np.testing.assert_allclose(scores.expected, expected, **close)
        np.testing.assert_allclose(scores.variables, away, **close)
        weights = np.full(len(rows), float(rng.choice([1.0, 1.0, 0.1, 0.0])))
        fast.learn(rows, weights)
        slow.learn(rows, weights)
    assert len(slow.components) == 2


def test_loda_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(SEED)
    fast = Loda(6, LodaSettings(projections=12, smoothing=0.2, memory_rows=300), seed=SEED)
    slow = SlowLoda(6, draw_projections(6, 12, SEED), rate=0.2, memory_rows=300)
    told = 0
    for rows in pieces(awkward(700)):
        scores, twin = fast.score(rows), slow.score(rows)
        assert scores.fresh is not None
        np.testing.assert_allclose(scores.members[:, 0], twin[:, 0], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(scores.fresh, twin[:, 1], rtol=1e-6, atol=1e-9)
        told += (twin > 0).sum()
        weights = np.full(len(rows), float(rng.choice([1.0, 1.0, 0.1, 0.0])))
        fast.learn(rows, weights)
        slow.learn(rows, weights)
    assert told > 500


def of_rank_two(rows: int, variables: int = 8) -> np.ndarray:
    """Two hidden courses, mixed, and a little noise."""
    rng = np.random.default_rng(SEED)
    hidden = rng.normal(size=(rows, 2)) * np.array([3.0, 1.0])
    return hidden @ rng.normal(size=(2, variables)) + 0.05 * rng.normal(size=(rows, variables))


def learned(detector: Principal | Loda, values: np.ndarray) -> None:
    """Learn rows in segments of 16, in full."""
    for start in range(0, len(values), 16):
        rows = Rows.complete(values[start : start + 16], first=start)
        detector.learn(rows, np.ones(len(rows)))


def test_components_are_the_leading_eigenvectors() -> None:
    values = of_rank_two(4_000)
    detector = Principal(8, PrincipalSettings(components=2, smoothing=1.0))
    learned(detector, values)
    found = detector.state()["components"]
    lengths = np.linalg.norm(found, axis=1)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    variances, vectors = np.linalg.eigh(standard.T @ standard / len(values))
    for i in range(2):
        assert abs(found[i] @ vectors[:, -1 - i]) / lengths[i] > 0.99
        assert lengths[i] == pytest.approx(variances[-1 - i], rel=0.1)


def test_a_row_that_breaks_the_common_course_is_far_though_each_reading_is_usual() -> None:
    values = of_rank_two(2_000)
    values[1_950, 3] = -values[1_950, 3]
    detector = Principal(8, PrincipalSettings(components=2, smoothing=1.0))
    learned(detector, values[:1_904])
    scores = detector.score(Rows.complete(values[1_904:], first=1_904))
    assert abs(values[1_950, 3]) < np.abs(values[:, 3]).max()
    assert scores.variables is not None and scores.expected is not None
    assert scores.members[:, 0].argmax() == 46 and scores.variables[46].argmax() == 3
    usual = np.delete(np.arange(96), 46)
    assert np.abs(scores.expected - values[1_904:])[usual].max() < 0.3


def test_a_missing_cell_has_no_residual_and_does_not_make_the_row_odd() -> None:
    values = of_rank_two(2_000)
    detector = Principal(8, PrincipalSettings(components=2, smoothing=1.0))
    learned(detector, values[:1_904])
    rows = Rows.complete(values[1_904:], first=1_904)
    rows.present[10, 2], rows.values[10, 2] = False, 1e6
    scores = detector.score(rows)
    assert scores.variables is not None and scores.variables[10, 2] == 0.0
    assert np.isfinite(scores.members).all()


def test_one_variable_has_no_components_and_its_residual_is_itself() -> None:
    detector = Principal(1, PrincipalSettings(smoothing=1.0))
    values = np.random.default_rng(SEED).normal(size=(800, 1))
    learned(detector, values)
    score = detector.score(Rows.complete(np.array([[4.0]]), first=800)).members[0, 0]
    assert score == pytest.approx((4.0 - values.mean()) / values.std(), rel=0.01)


def test_lodas_projections_ask_the_root_of_the_variables_once_each_and_come_from_the_seed() -> None:
    asked, weights = draw_projections(38, 100, 1)
    assert asked.shape == weights.shape == (100, 6)
    assert all(len(set(row)) == 6 for row in asked.tolist())
    assert len(np.unique(asked)) == 38
    np.testing.assert_array_equal(weights, draw_projections(38, 100, 1)[1])
    assert not np.array_equal(weights, draw_projections(38, 100, 2)[1])


def test_lodas_histograms_hold_every_row_once_and_forget() -> None:
    values = np.random.default_rng(SEED).normal(size=(3_200, 4))
    forever, forgetful = (Loda(4, LodaSettings(projections=5, memory_rows=rows)) for rows in (10**9, 100))
    for detector in (forever, forgetful):
        learned(detector, values)
        state = detector.state()
        np.testing.assert_allclose(state["bins"].sum(axis=1), state["sums"][0], rtol=1e-9)
    assert forever.state()["sums"][0] == pytest.approx(np.full(5, 3_200 - 32), abs=1)  # two segments settle the scales
    remembered = forgetful.state()["sums"]
    np.testing.assert_allclose(remembered[0] / remembered[1], 100, rtol=0.02)


def test_loda_leaves_out_the_projections_that_lack_a_value() -> None:
    detector = Loda(4, LodaSettings(projections=20, smoothing=1.0), seed=SEED)
    values = np.random.default_rng(SEED).normal(size=(800, 4))
    learned(detector, values)
    asked, _ = draw_projections(4, 20, SEED)
    assert 0 < (asked == 1).any(axis=1).sum() < 20
    rows = Rows.complete(np.array([[0.0, 1e9, 0.0, 0.0]] * 2), first=800)
    rows.present[1, 1] = False
    far, without = detector.score(rows).members[:, 0]
    assert far > without + 1.0
    rows.present[1] = False
    assert detector.score(rows).members[1, 0] == 0.0


@pytest.mark.parametrize("detector", [Principal(3), Loda(3)], ids=["principal", "loda"])
def test_rows_of_weight_nothing_leave_the_model_as_it_was(detector: Principal | Loda) -> None:
    values = np.random.default_rng(SEED).normal(size=(120, 3))
    learned(detector, values[:80])
    before = detector.state()
    detector.learn(Rows.complete(values[80:], first=80), np.zeros(40))
    after = detector.state()
    assert {name for name in after if not np.array_equal(before[name], after[name])} == {"learned"}  # a moving average


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (PrincipalSettings, "components", 0),
        (PrincipalSettings, "smoothing", 0.0),
        (PrincipalSettings, "memory_rows", 9),
        (LodaSettings, "projections", 0),
        (LodaSettings, "bins", 3),
        (LodaSettings, "smoothing", 1.5),
        (LodaSettings, "memory_rows", 99),
    ],
)
def test_options_out_of_range_are_refused_by_name(kind: type, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} must be .*, got {value}"):
        kind(**{option: value})
