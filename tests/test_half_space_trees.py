"""Half-space trees: river's own scores to the last bit, behind a scale, with a state that needs no pickle."""

from collections.abc import Iterator

import numpy as np
import pytest
from reference_trees import SlowHalfSpaceTrees
from river import anomaly
from test_neighbours import awkward

from detectors.block import Rows
from detectors.intake import Intake, IntakeSettings
from detectors.online.half_space_trees import HalfSpaceTrees, HalfSpaceTreesSettings
from detectors.online.half_space_trees_kernel import planted

SEED = 3
SMALL = HalfSpaceTreesSettings(trees=5, height=4, window_rows=40)


def fed(values: np.ndarray, *, weights: np.ndarray | None = None) -> tuple[np.ndarray, HalfSpaceTrees]:
    """Scores (T,) of rows that are scored and learned one by one."""
    detector = HalfSpaceTrees(values.shape[1], SMALL, seed=SEED)
    rows, scores = Rows.complete(values), []
    for t in range(len(rows)):
        scores.append(detector.score(rows[t : t + 1]).members[0, 0])
        detector.learn(rows[t : t + 1], np.ones(1) if weights is None else weights[t : t + 1])
    return np.array(scores), detector


def noise(rows: int, variables: int = 3) -> np.ndarray:
    return np.random.default_rng(SEED).normal(size=(rows, variables))


def series(kind: str) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    noise = rng.normal(size=(900, 6))
    return {
        "noise": noise,
        "constant": np.full((900, 6), 0.1),
        "far outside at times": noise * np.where(rng.random((900, 1)) < 0.02, 1e9, 1.0),
        "few levels": rng.integers(0, 3, size=(900, 6)).astype(float),
        "constant, then moving": np.where(np.arange(900)[:, None] < 300, 5.0, noise),
        "holes, late ones, counters": awkward(900),
        "nothing there at times": np.where(rng.random((900, 1)) < 0.2, np.nan, noise),
    }[kind]


KINDS = (
    "noise",
    "constant",
    "far outside at times",
    "few levels",
    "constant, then moving",
    "holes, late ones, counters",
    "nothing there at times",
)


def segments(values: np.ndarray) -> Iterator[tuple[Rows, np.ndarray]]:
    """Rows in segments of 1 to 24, and weights of all kinds."""
    rng, intake, start = np.random.default_rng(SEED), Intake(values.shape[1], IntakeSettings(counter_rows=150)), 0
    while start < len(values):
        rows = intake.read(values[start : start + rng.integers(1, 25)])
        yield rows, np.where(rng.random(len(rows)) < 0.8, 1.0, rng.random(len(rows)) * rng.integers(0, 2, len(rows)))
        start += len(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("trees", "height", "window"), [(25, 8, 250), (5, 4, 33), (1, 1, 10), (2, 11, 100)])
def test_scores_and_masses_are_those_of_rivers_own_class_to_the_last_bit(
    kind: str, trees: int, height: int, window: int
) -> None:
    settings = HalfSpaceTreesSettings(trees=trees, height=height, window_rows=window, range_rows=500)
    fast = HalfSpaceTrees(6, settings, seed=SEED)
    slow = SlowHalfSpaceTrees(6, trees=trees, height=height, window=window, range_rows=500, seed=SEED)
    told = 0
    for rows, weights in segments(series(kind)):
        scores = fast.score(rows).members[:, 0]
        np.testing.assert_array_equal(scores, slow.score(rows))
        fast.learn(rows, weights)
        slow.learn(rows, weights)
        np.testing.assert_array_equal(fast.state()["masses"], slow.masses())
        told += (scores > 0).sum()
    assert slow.masses()[:, 0].any()  # a window was full
    assert told > 100 or kind == "constant"


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_taken_anywhere_continues_to_the_last_bit(kind: str) -> None:
    detector = HalfSpaceTrees(6, SMALL, seed=SEED)
    for rows, weights in segments(series(kind)):
        other = HalfSpaceTrees(6, SMALL, seed=SEED)
        other.load_state(detector.state())
        np.testing.assert_array_equal(other.score(rows).members, detector.score(rows).members)
        other.learn(rows, weights)
        detector.learn(rows, weights)
        for name, array in other.state().items():
            np.testing.assert_array_equal(array, detector.state()[name])


@pytest.mark.parametrize("variables", [1, 2, 7, 38, 150])
@pytest.mark.parametrize(("trees", "height", "seed"), [(3, 8, 0), (1, 1, 5), (2, 12, -4), (4, 6, 2**70)])
def test_trees_are_those_that_river_draws_from_the_seed(variables: int, trees: int, height: int, seed: int) -> None:
    river = anomaly.HalfSpaceTrees(n_trees=trees, height=height, seed=seed)
    river.learn_one(dict.fromkeys(range(variables), 0.5))
    nodes = [node for tree in river.trees for node in tree.iter_dfs()]
    asked, splits = planted(variables, (trees, height), seed)
    assert asked.tolist() == [getattr(node, "feature", 0) for node in nodes]
    assert splits.tolist() == [getattr(node, "threshold", 0.0) for node in nodes]


def test_systems_of_one_size_and_seed_share_their_trees_but_not_their_masses() -> None:
    first, second = HalfSpaceTrees(3, SMALL, seed=SEED), HalfSpaceTrees(3, SMALL, seed=SEED)
    first.learn(Rows.complete(noise(30)), np.ones(30))
    assert planted(3, (5, 4), SEED)[1] is planted(3, (5, 4), SEED)[1]
    assert first.state()["masses"].any() and not second.state()["masses"].any()


def test_mass_is_rivers() -> None:
    """Once two rows span [0, 1] and the range no longer moves, the scale is known: 1/4 + x/2."""
    values = np.random.default_rng(SEED).random((200, 2))
    values[0], values[1] = 0.0, 1.0
    detector = HalfSpaceTrees(
        2, HalfSpaceTreesSettings(trees=5, height=4, window_rows=40, range_rows=10**15), seed=SEED
    )
    river = anomaly.HalfSpaceTrees(n_trees=5, height=4, window_size=40, seed=SEED)
    rows = Rows.complete(values)
    detector.learn(rows[:2], np.ones(2))
    river.learn_one({0: 0.5, 1: 0.5})  # as the first value is at the middle while it is the only one
    river.learn_one({0: 0.75, 1: 0.75})
    for t in range(2, 200):
        x = {d: 0.25 + 0.5 * values[t, d] for d in range(2)}
        score = detector.score(rows[t : t + 1]).members[0, 0]
        assert 1 - 2**-score == pytest.approx(river.score_one(x), abs=1e-12)
        detector.learn(rows[t : t + 1], np.ones(1))
        river.learn_one(x)


def test_scale_of_the_input_does_not_matter() -> None:
    values = noise(120)
    plain, _ = fed(values)
    scaled, _ = fed(values * np.array([1e-6, 1.0, 1e6]))
    np.testing.assert_allclose(scaled, plain, atol=1.0)
    assert np.corrcoef(scaled[40:], plain[40:])[0, 1] > 0.95


def test_a_row_outside_all_that_was_seen_scores_highest() -> None:
    values = noise(400)
    values[390] = 8.0
    scores, _ = fed(values)
    assert scores.argmax() == 390


def test_rows_of_weight_nothing_leave_the_model_as_it_was() -> None:
    values = noise(100)
    _, learned = fed(values[:60])
    before = learned.state()
    learned.learn(Rows.complete(values[60:]), np.zeros(40))
    for name, array in learned.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_tenth_of_the_weight_learns_a_tenth_of_the_rows() -> None:
    _, detector = fed(noise(100), weights=np.full(100, 0.1))
    assert detector.state()["window"][0] in (9, 10)


def test_missing_readings_never_reach_the_trees() -> None:
    values = noise(100)
    rows = Rows.complete(values)
    rows.present[50:, 1] = False
    rows.values[50:, 1] = 1e30
    detector = HalfSpaceTrees(3, SMALL, seed=SEED)
    detector.learn(rows, np.ones(100))
    assert detector.state()["range"].max() < 10
    assert np.isfinite(detector.score(rows).members).all()


def test_a_state_fits_only_trees_of_the_same_size() -> None:
    _, detector = fed(noise(10))
    with pytest.raises(ValueError, match="nodes"):
        HalfSpaceTrees(3, HalfSpaceTreesSettings(trees=4, height=4, window_rows=40)).load_state(detector.state())


@pytest.mark.parametrize("options", [{"trees": 0}, {"height": 16}, {"window_rows": 9}, {"range_rows": 0}])
def test_options_out_of_range_are_refused_by_name(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        HalfSpaceTreesSettings(**options)
