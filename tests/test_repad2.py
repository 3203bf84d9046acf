"""RePAD2: the compiled kernel equals the torch twin, and the rule of the paper holds."""

import numpy as np
import pytest
import torch
from reference import SlowRepad2, TorchModel, torch_lstm

from detectors.block import Rows
from detectors.online import lstm_kernel
from detectors.online.repad2 import Repad2, Repad2Settings

SEED = 20230529


def scored(values: np.ndarray, settings: Repad2Settings | None = None) -> tuple[np.ndarray, np.ndarray, Repad2]:
    values = values[:, None] if values.ndim == 1 else values
    detector = Repad2(values.shape[1], settings)
    scores = detector.score(Rows.complete(values))
    assert scores.variables is not None and scores.expected is not None
    return scores.variables, scores.expected, detector


def series() -> dict[str, np.ndarray]:
    """Some like a sensor's, some to trip over."""
    rng, n = np.random.default_rng(SEED), 150
    noise, ticks = rng.normal(size=n), np.arange(n)
    spikes = np.sin(ticks / 9) + 0.02 * noise
    spikes[[60, 100]] += 4
    steps = np.where(ticks < 70, 5.0, 6.0)
    steps[120] = 40.0
    return {
        "wave with spikes": spikes,
        "random walk": np.cumsum(noise),
        "steps of constants": steps,
        "tiny": 1e-9 * noise,
        "huge and negative": -1e9 + 1e6 * noise,
        "few levels": np.round(noise),
        "ramp": 0.25 * ticks,
    }


@pytest.mark.parametrize("name", series())
def test_kernel_equals_the_torch_twin(name: str) -> None:
    values = series()[name]
    scores, expected, detector = scored(values, Repad2Settings(window_rows=60))
    twin = SlowRepad2(detector.initial, window=60)
    slow = np.array([twin(float(v)) for v in values])
    np.testing.assert_allclose(expected[:, 0], slow[:, 1], rtol=1e-9, atol=1e-9 * np.ptp(values))
    np.testing.assert_allclose(scores[:, 0], slow[:, 0], rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(scores[:, 0] > 1, slow[:, 0] > 1)
    assert detector.retrained[0] == slow[:, 2].sum()


def test_kernel_equals_the_torch_twin_with_the_floor_of_the_re_implementations() -> None:
    values = series()["wave with spikes"]
    scores, _, detector = scored(values, Repad2Settings(window_rows=60, floor="one"))
    twin = SlowRepad2(detector.initial, window=60, floor="one")
    np.testing.assert_allclose(scores[:, 0], [twin(float(v))[0] for v in values], rtol=1e-5, atol=1e-12)


def test_variables_in_one_kernel_are_independent() -> None:
    values = np.column_stack(list(series().values()))
    together, _, _ = scored(values)
    for d in range(values.shape[1]):
        np.testing.assert_array_equal(together[:, d], scored(values[:, d])[0][:, 0])


def test_missing_readings_do_not_exist_for_their_variable() -> None:
    values = np.repeat(series()["wave with spikes"][:80], 2)  # each reading followed by a stand-in
    rows = Rows.complete(values[:, None])
    rows.present[1::2] = False
    detector = Repad2(1)
    scores = detector.score(rows).variables
    assert scores is not None
    np.testing.assert_array_equal(scores[::2], scored(values[::2])[0])
    assert not scores[1::2].any()


def test_after_a_long_gap_it_collects_again_and_keeps_its_threshold() -> None:
    values = series()["random walk"]
    rows = Rows.complete(values[:, None])
    rows.restart[100] = True
    detector = Repad2(1)
    scores = detector.score(rows).variables
    assert scores is not None
    assert not scores[100:107].any() and scores[107:].all()
    assert detector.state()["pushed"][0] == (100 - 5) + (50 - 5)


def test_a_renewed_variable_starts_from_nothing() -> None:
    values = series()["random walk"]
    rows = Rows.complete(values[:, None])
    rows.renewed[100] = rows.restart[100] = True
    scores = Repad2(1).score(rows).variables
    assert scores is not None
    np.testing.assert_array_equal(scores[100:], scored(values[100:])[0])


def test_gradient_training_and_prediction_equal_torch() -> None:
    initial = lstm_kernel.initial_parameters(np.random.default_rng(SEED))
    values = np.array([0.3, 1.0, 0.0])
    fast = initial.copy()
    assert lstm_kernel.train(fast, values, 50, 0.005, 0.0, lstm_kernel.new_room()) == 50
    model = TorchModel(values, initial, 50, 0.005)
    slow, _ = model.lstm, model.head
    np.testing.assert_allclose(fast[:40], slow.weight_ih_l0.detach().numpy()[:, 0], rtol=1e-9)
    np.testing.assert_allclose(fast[40:80], (slow.bias_ih_l0 + slow.bias_hh_l0).detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(fast[80:480].reshape(10, 40).T, slow.weight_hh_l0.detach().numpy(), rtol=1e-9)
    assert lstm_kernel.predict(fast, *values, lstm_kernel.new_room()) == pytest.approx(model.predict(values), rel=1e-9)


def test_training_stops_early_when_told_to() -> None:
    initial = lstm_kernel.initial_parameters(np.random.default_rng(SEED))
    values = np.array([0.0, 0.5, 1.0])
    fast = initial.copy()
    steps = lstm_kernel.train(fast, values, 50, 0.005, 0.1, lstm_kernel.new_room())
    assert 0 < steps < 50
    model = TorchModel(values, initial, 50, 0.005, stop_loss=0.1)
    assert lstm_kernel.predict(fast, *values, lstm_kernel.new_room()) == pytest.approx(model.predict(values), rel=1e-9)


def test_initial_weights_are_drawn_as_torch_draws_them() -> None:
    drawn = np.array([lstm_kernel.initial_parameters(np.random.default_rng(seed)) for seed in range(50)])
    torch.manual_seed(SEED)
    lstm = torch.nn.LSTM(1, 10)
    recurrent = lstm.weight_hh_l0.detach().numpy()
    assert abs(drawn[:, 80:480]).max() <= 10**-0.5
    assert drawn[:, 80:480].std() == pytest.approx(recurrent.std(), rel=0.1)
    biases = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().numpy()
    assert drawn[:, 40:80].std() == pytest.approx(biases.std(), rel=0.35)
    assert torch_lstm(drawn[0])[0](torch.zeros(1, 1, dtype=torch.float64))[0].shape == (1, 10)


def test_logistic_equals_its_definition() -> None:
    z = np.linspace(-39, 39, 2001)
    np.testing.assert_allclose([lstm_kernel.logistic(v) for v in z], 1 / (1 + np.exp(-z)), rtol=1e-12)
    assert lstm_kernel.logistic(1e300) == 1.0 and 0 <= lstm_kernel.logistic(-1e300) < 1e-16


def test_nothing_can_be_flagged_in_the_first_fifteen_readings() -> None:
    """The largest of n numbers is at most (n - 1) / sqrt(n) deviations above their mean: under 3 until n = 11."""
    values = np.random.default_rng(SEED).standard_cauchy(size=(15, 40)) ** 3
    assert (scored(values)[0] <= 1).all()


def test_an_unexplained_spike_is_flagged_at_its_row_and_trust_is_lost_until_a_model_explains() -> None:
    values = 10 + 0.1 * np.random.default_rng(SEED).normal(size=400)
    values[300] = 20
    scores, _, _ = scored(values)
    assert scores[300] > 1
    assert (scores[:300] > 1).mean() < 0.02
    assert scores[310:].max() <= 1


def test_a_constant_series_is_never_anomalous_and_never_trained() -> None:
    scores, expected, detector = scored(np.full(200, 7.0))
    assert not scores.any() and (expected == 7.0).all() and not detector.retrained.any()


def test_window_sums_stay_exact_after_an_extreme_value_has_left() -> None:
    values = 1 + 1e-3 * np.random.default_rng(SEED).normal(size=400)
    values[50] = 1e12  # the scale of the errors at that row
    detector = Repad2(1, Repad2Settings(window_rows=40, floor="one"))
    detector.score(Rows.complete(values[:, None]))
    state = detector.state()
    window = state["history"][0].astype(float)
    total, squares = state["sums"][0, :2].sum(), state["sums"][0, 2:].sum()
    assert total == pytest.approx(window.sum(), rel=1e-14)
    assert squares == pytest.approx((window**2).sum(), rel=1e-14)


def test_a_snapshot_holds_the_used_part_of_the_window_and_no_weights() -> None:
    _, _, detector = scored(series()["random walk"])
    state = detector.state()
    assert state["history"].shape == (1, 145)
    assert sum(array.nbytes for name, array in state.items() if name != "history") < 200


def burst(variables: int, rows: int) -> np.ndarray:
    """Noise around a level; from row 300 on all variables are thrown about for four rows."""
    values = 10 + 0.1 * np.random.default_rng(SEED).normal(size=(rows, variables))
    values[300:304] += np.array([10.0, -5.0, 10.0, -5.0])[:, None]
    return np.asarray(values)


def trained_at(values: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray, Repad2]:
    """(T, D) who was trained again at which row, and the scores (T, D)."""
    detector = Repad2(values.shape[1], Repad2Settings(retrains_per_row=budget))
    trained, scores, before = [], [], detector.retrained
    rows = Rows.complete(values)
    for t in range(len(values)):
        found = detector.score(rows[t : t + 1]).variables
        assert found is not None
        scores.append(found[0])
        trained.append(detector.retrained - before)
        before = detector.retrained
    return np.array(trained), np.array(scores), detector


def test_a_row_trains_no_more_variables_than_its_budget_and_counts_those_that_wait() -> None:
    values = burst(8, 330)
    free, _, unbounded = trained_at(values, 0)
    bound, _, detector = trained_at(values, 3)
    assert free.sum(axis=1).max() == 8 and not unbounded.late.any()
    assert bound.sum(axis=1).max() == 3 and detector.late.sum() > 0
    assert bound[300:306].sum(axis=0).all()  # each has its turn


def test_who_waits_longest_is_trained_first_and_is_not_over_its_line_before() -> None:
    values = burst(8, 330)
    trained, scores, _ = trained_at(values, 2)
    order = [np.flatnonzero(trained[t]).tolist() for t in range(300, 304)]
    assert order == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert (scores[300:304][trained[300:304] == 0] <= 1.0).all() and scores[300, :2].min() > 1.0


def test_a_budget_that_is_never_spent_changes_nothing() -> None:
    values = burst(4, 330)
    np.testing.assert_array_equal(trained_at(values, 0)[1], trained_at(values, 4)[1])


def test_a_budget_spends_the_same_however_rows_are_cut_and_after_a_restart() -> None:
    values = burst(8, 330)
    _, slow, _ = trained_at(values, 2)
    detector = Repad2(8, Repad2Settings(retrains_per_row=2))
    rows = Rows.complete(values)
    first = detector.score(rows[:302]).variables
    again = Repad2(8, Repad2Settings(retrains_per_row=2))
    again.load_state(detector.state())
    second = again.score(rows[302:]).variables
    assert first is not None and second is not None
    np.testing.assert_array_equal(np.concatenate([first, second]), slow)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retrains_per_row", -1),
        ("window_rows", 2),
        ("epochs", 0),
        ("learning_rate", 0.0),
        ("stop_loss", -1.0),
        ("floor", "two"),
    ],
)
def test_options_out_of_range_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be .*, got "):
        Repad2Settings(**{option: value})  # type: ignore[arg-type]
