"""tocsin as a detector of river's: scoring leaves no trace, and river's own loops rank anomalies with it."""

import copy
import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
from river import base, evaluate, metrics, preprocessing

from detectors.block import Block
from detectors.causes.settings import CausesSettings
from detectors.monitor import Monitor
from detectors.river_adapter import TocsinDetector
from detectors.settings import MonitorSettings

SEED = 6
QUIET = dataclasses.replace(
    MonitorSettings(), other_rules=False, causes=dataclasses.replace(CausesSettings(), enabled=False)
)


def rows(count: int) -> list[dict[str, float]]:
    values = np.random.default_rng(SEED).normal(size=(count, 3))
    values[:, 2] += values[:, 0]
    return [dict(zip("abc", row, strict=True)) for row in values.tolist()]


def prequential(model: base.Estimator, stream: list[dict[str, float]]) -> list[float]:
    scores = []
    for x in stream:
        scores.append(model.score_one(x))
        model.learn_one(x)
    return scores


def test_scores_are_the_monitors() -> None:
    stream = rows(300)
    values = np.array([list(x.values()) for x in stream])
    expected = Monitor(list("abc"), QUIET, seed=1).step(Block(np.arange(300), values)).scores
    np.testing.assert_array_equal(prequential(TocsinDetector(seed=1), stream), expected)


def test_scoring_leaves_no_trace() -> None:
    stream = rows(300)
    plain, curious = TocsinDetector(), TocsinDetector()
    expected = prequential(plain, stream)
    for x, score in zip(stream, expected, strict=True):
        assert curious.score_one(x) == score
        curious.score_one({"a": 99.0, "b": -99.0, "c": 0.0})
        assert curious.score_one(x) == curious.score_one(x) == score
        curious.learn_one(x)


def test_learning_without_scoring_learns_the_same() -> None:
    stream = rows(200)
    scored, unscored, other = TocsinDetector(), TocsinDetector(), TocsinDetector()
    prequential(scored, stream)
    for x in stream:
        unscored.learn_one(x)
        other.score_one({"a": 5.0, "b": 5.0, "c": 5.0})
        other.learn_one(x)
    x = {"a": 3.0, "b": 0.0, "c": -3.0}
    assert scored.score_one(x) == unscored.score_one(x) == other.score_one(x) > 0.0


def test_equal_rows_one_after_the_other_are_two_rows() -> None:
    model = TocsinDetector()
    for _ in range(3):
        model.score_one({"a": 1.0})
        model.learn_one({"a": 1.0})
    assert model.findings is not None and model._monitor is not None
    assert model._monitor.rows == 3


def test_the_first_dict_fixes_the_variables() -> None:
    stream = rows(200)
    model, strict = TocsinDetector(), TocsinDetector()
    prequential(model, stream)
    prequential(strict, stream)
    partial = {"c": 1.0, "new": 1e6, "a": None}
    missing = {"a": math.nan, "b": math.nan, "c": 1.0}
    assert model.score_one(partial) == strict.score_one(missing)


class Stream:
    """Noise in which every fiftieth row strays; as river's data sets, rows with whether they do."""

    def __iter__(self) -> Iterator[tuple[dict[str, float], bool]]:
        rng = np.random.default_rng(SEED)
        for t, x in enumerate(rows(1_000)):
            strays = t > 100 and t % 50 == 0
            yield {name: value + strays * rng.choice([-6.0, 6.0]) for name, value in x.items()}, strays


@pytest.mark.parametrize(
    "model", [TocsinDetector(), preprocessing.StandardScaler() | TocsinDetector()], ids=["", "piped"]
)
def test_rivers_own_evaluation_finds_it_ranks_anomalies_far_above_chance(model: base.Estimator) -> None:
    area = evaluate.progressive_val_score(iter(Stream()), model, metrics.ROCAUC(n_thresholds=100))
    assert area.get() > 0.9


def test_river_can_clone_and_copy_it() -> None:
    model = TocsinDetector(seed=5)
    stream = rows(120)
    prequential(model, stream)
    fresh, twin = model.clone(), copy.deepcopy(model)
    assert fresh.seed == 5 and fresh.findings is None
    assert twin.score_one(stream[0]) == model.score_one(stream[0])
    twin.learn_one(stream[0])
    assert fresh.score_one(stream[0]) == 0.0
