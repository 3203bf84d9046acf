"""Half-space trees: river's own scores, behind a scale, with a state that needs no pickle."""

import numpy as np
import pytest
from river import anomaly

from detectors.block import Rows
from detectors.online.half_space_trees import HalfSpaceTrees, HalfSpaceTreesSettings

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
