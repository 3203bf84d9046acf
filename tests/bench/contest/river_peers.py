"""river's detectors, used as its documentation does: a dict a row, score, then learn."""

import json
from collections.abc import Callable, Mapping, Sequence

from river import anomaly, linear_model, preprocessing, stats

from stream.decode import Raw

Row = Mapping[str, float]


def half_space_trees() -> Callable[[Row], object]:
    """river's trees expect values in [0, 1]."""
    scaler, trees = preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=1)

    def one(x: Row) -> float:
        scaler.learn_one(x)
        scaled = scaler.transform_one(x)
        score = trees.score_one(scaled)
        trees.learn_one(scaled)
        return float(score)

    return one


def chain(variables: Sequence[str], *, predictor: bool) -> Callable[[Row], object]:
    """Half-space trees over the row; EW mean and variance, a P2 quantile and, if wished, a PredictiveAnomalyDetection
    for each variable."""
    over_rows = half_space_trees()
    means = {name: stats.EWMean(0.05) for name in variables}
    variances = {name: stats.EWVar(0.05) for name in variables}
    quantiles = {name: stats.Quantile(0.99) for name in variables}
    before = dict.fromkeys(variables, 0.0)
    predictors = {name: _predictor() for name in variables} if predictor else {}

    def one(x: Row) -> None:
        over_rows(x)
        for name, value in x.items():
            means[name].update(value)
            variances[name].update(value)
            quantiles[name].update(value)
        for name, model in predictors.items():
            lagged = {"before": before[name]}
            model.score_one(lagged, x[name])
            model.learn_one(lagged, x[name])
            before[name] = x[name]

    return one


def _predictor() -> anomaly.PredictiveAnomalyDetection:
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    return anomaly.PredictiveAnomalyDetection(model, n_std=3.0, warmup_period=0)


def by_bytes(one: Callable[[Row], object]) -> Callable[[Sequence[Raw]], None]:
    """Fed by the standard library's json."""

    def step(messages: Sequence[Raw]) -> None:
        for message in messages:
            one(json.loads(message.value)["values"])

    return step


def by_rows(one: Callable[[Row], object]) -> Callable[[Sequence[Row]], None]:
    """Fed dicts that are there already."""

    def step(rows: Sequence[Row]) -> None:
        for row in rows:
            one(row)

    return step
