"""Autoregression and the EWMAs: equal to slow twins, and steady where least squares are not."""

import numpy as np
import pytest
from reference_rows import SlowRobustEwma
from reference_team import SlowAutoregression
from test_neighbours import awkward, pieces

from detectors.block import Rows
from detectors.online.autoregression import Autoregression, AutoregressionSettings
from detectors.online.ewma import Ewma, EwmaSettings
from detectors.online.robust_ewma import FastEwma, RobustEwmaSettings, SlowEwma


def test_autoregression_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(5)
    x = awkward(700)
    fast, slow = Autoregression(6), [SlowAutoregression() for _ in range(6)]
    for rows in pieces(x):
        scores = fast.score(rows)
        assert scores.variables is not None and scores.expected is not None and scores.fresh is not None
        weights = np.full(len(rows), float(rng.choice([1.0, 1.0, 0.1, 0.0])))
        for t, values in enumerate(rows.values):
            flags = zip(values, rows.present[t], rows.restart[t], strict=True)
            twin = np.array([s.score(*flag) for s, flag in zip(slow, flags, strict=True)])
            np.testing.assert_allclose(scores.variables[t], np.abs(twin[:, 0]), rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(scores.members[t, 0], np.abs(twin[:, 1]).mean(), rtol=1e-6)
            np.testing.assert_allclose(scores.fresh[t], np.abs(twin[:, 0]).mean(), rtol=1e-6)
            np.testing.assert_allclose(scores.expected[t], twin[:, 2], rtol=1e-6, atol=1e-12)
        fast.learn(rows, weights)
        for t, values in enumerate(rows.values):
            slow = [renewed(s) if rows.renewed[t, j] else s for j, s in enumerate(slow)]
            for j, s in enumerate(slow):
                s.learn(values[j], rows.present[t, j], rows.restart[t, j], weights[t])
        for s in slow:
            s.fit = s.scale.fit()


def renewed(old: SlowAutoregression) -> SlowAutoregression:
    """A twin that knows nothing, in the middle of its rows."""
    new = SlowAutoregression()
    new.lags, new.signed, new.fit = old.lags, old.signed, old.fit
    return new


def test_frozen_input_keeps_the_covariance_bounded() -> None:
    detector = Autoregression(2)
    rng = np.random.default_rng(0)
    detector.learn(Rows.complete(rng.normal(size=(500, 2))), np.ones(500))
    frozen = Rows.complete(np.full((10_000, 2), 0.25), first=500)
    for _ in range(20):
        detector.learn(frozen, np.ones(len(frozen)))
    covariance = detector.state()["cov"]
    assert np.isfinite(covariance).all() and np.trace(covariance).max() <= 40.0 + 1e-9
    lively = Rows.complete(rng.normal(size=(500, 2)), first=200_500)
    detector.learn(lively, np.ones(500))
    assert np.isfinite(detector.score(lively).members).all()


def test_ewma_equals_the_recursion_it_is_named_after() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(3.0, 2.0, size=(400, 1))
    detector = Ewma(1, EwmaSettings(rate=0.02))
    mean = variance = seen = 0.0
    for t, value in enumerate(x[:, 0]):
        row = Rows.complete(x[t : t + 1], first=t)
        scores = detector.score(row)
        assert scores.variables is not None and scores.expected is not None
        if t > 1:
            assert scores.variables[0, 0] == pytest.approx(abs(value - mean) / np.sqrt(variance))
            assert scores.expected[0, 0] == pytest.approx(mean)
        seen += 1.0
        share = max(0.02, 1.0 / seen)
        mean, variance = mean + share * (value - mean), (1 - share) * (variance + share * (value - mean) ** 2)
        detector.learn(row, np.ones(1))


@pytest.mark.parametrize("kind", [FastEwma, SlowEwma])
def test_robust_ewma_equals_its_slow_twin(kind: type[SlowEwma]) -> None:
    rng = np.random.default_rng(8)
    fast, slow = kind(6), [SlowRobustEwma(kind.usual.rate, follows=kind.follows) for _ in range(6)]
    for rows in pieces(awkward(900)):
        scores = fast.score(rows)
        assert scores.variables is not None and scores.expected is not None
        weights = rng.choice([1.0, 1.0, 0.1, 0.0], size=len(rows))
        for t, j in np.argwhere(rows.present):
            restart, renewed = bool(rows.restart[t, j]), bool(rows.renewed[t, j])
            score, expected = slow[j].score(rows.values[t, j], restart=restart, renewed=renewed)
            np.testing.assert_allclose(scores.variables[t, j], score, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(scores.expected[t, j], expected, rtol=1e-9, atol=1e-12)
        fast.learn(rows, weights)
        for t, j in np.argwhere(rows.present):
            if rows.renewed[t, j]:
                slow[j].renew()
            slow[j].learn(rows.values[t, j], weights[t], restart=bool(rows.restart[t, j]))
        for twin in slow:
            twin.close()


def test_one_wild_reading_moves_a_robust_average_and_its_deviation_by_little() -> None:
    x = np.random.default_rng(3).normal(size=(2_000, 1))
    x[1_900] = 1e6
    after = {}
    for kind in (Ewma, FastEwma, SlowEwma):
        detector, scores = kind(1), []
        for rows in pieces(x):
            found = detector.score(rows).variables
            assert found is not None
            scores.extend(found[:, 0])
            detector.learn(rows, np.ones(len(rows)))
        assert scores[1_900] > 100.0
        after[kind] = np.mean(scores[1_920:])
    assert after[Ewma] < 0.2
    assert 0.5 < after[SlowEwma] < 1.0 and 0.5 < after[FastEwma] < 1.0


def test_the_fast_average_follows_a_level_that_the_slow_one_calls_far() -> None:
    x = np.random.default_rng(3).normal(size=(1_060, 1))
    x[1_000:] += 6.0
    later = {}
    for kind in (FastEwma, SlowEwma):
        detector = kind(1)
        for rows in pieces(x):
            found = detector.score(rows).variables
            assert found is not None
            later[kind] = found.mean()
            detector.learn(rows, np.ones(len(rows)))
    assert later[SlowEwma] > 3.0
    assert later[FastEwma] < 1.5


def test_score_is_proportional_to_the_distance_from_what_was_expected() -> None:
    x = np.random.default_rng(2).normal(5.0, 3.0, size=(600, 2))
    for detector in (Autoregression(2), Ewma(2), FastEwma(2), SlowEwma(2)):
        for rows in pieces(x[:500]):
            detector.score(rows)
            detector.learn(rows, np.ones(len(rows)))
        scores = detector.score(Rows.complete(x[500:], first=500))
        assert scores.variables is not None and scores.expected is not None
        units = np.abs(x[500:] - scores.expected) / scores.variables
        np.testing.assert_allclose(units, np.tile(units[0], (100, 1)), rtol=1e-6)


@pytest.mark.parametrize(("option", "value"), [("memory_rows", 3), ("smoothing", 0.0), ("smoothing", 1.5)])
def test_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        AutoregressionSettings(**{option: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate"):
        EwmaSettings(rate=1.0)
    with pytest.raises(ValueError, match="rate must be between 0 and 1, got 0"):
        RobustEwmaSettings(rate=0.0)
