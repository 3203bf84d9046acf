"""Any anomaly detector of river, by the name of its class: `class: river.anomaly.LODA`.

river's detectors take a row as a dict and know nothing of weights, missing cells or snapshots. So here: a row is
standardised by the slow scale, within +-8, and its variables are the keys 0 to D - 1. A missing cell, or one of a
variable hardly seen, stands at its variable's mean, 0; a row of which nothing is there is neither scored nor learned.
A row is learned whole or not at all: its weight goes to an account, and each whole row there pays for one. What a
variable meant before it proved to be a counter stays in river's model. Where a class takes a `seed` or the `limits` of
variables, it gets the monitor's and +-8, unless the parameters say otherwise.

A score s becomes log(1 + exp(s)), which keeps the order, is s but for a rest where s is large, and never negative.
Scores that river bounds (half-space trees' by 1) hardly rise over their line, which weighs little in a weighted vote.

The state of a model is carried as plain arrays (see :mod:`detectors.online.objects`). Whether that works for a class is
tried when the settings are made: a copy through arrays must go on bit for bit, or the class is refused.
"""

import importlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State, nested, part
from detectors.online.objects import NotCarriedError, freeze, thaw
from detectors.online.protocol import Scores
from detectors.online.scale import CLIP, SETTLED, fit_scale, learn_scale, new_scale, standardise

PACKAGE = "river"
LARGEST = 1e6  # of a score
TRIED_ROWS = (120, 40)  # learned by a model before it is copied, and by both after
INSTEAD = {
    "AnomalyFilter": "a filter turns another detector's score into yes or no, which calibration and guard do here",
    "SupervisedAnomalyDetector": "it judges one target y given x, not a row; autoregression and ewma judge variables",
}


@dataclass(frozen=True, slots=True)
class RiverSettings:
    """One of river's detectors.

    ValueError if there is no such class, if it refuses its parameters, does not judge whole rows, or has a state that
    cannot be carried: all this is tried, so that a config that is wrong is told to be so at once.

    class_: its class under river.anomaly, in a config file under `class`.
    parameters: of the class, as river calls them. What takes an object is given one as
        {class: river.neighbors.LazySearch, parameters: {window_size: 100}}.
    vote: true = it votes with the preset's voters; false = its opinion stands in the record of each verdict.
    name: in records and states; empty: river.LODA for river.anomaly.LODA.
    """

    class_: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    vote: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not self.class_.startswith("river.anomaly."):
            raise ValueError(f"class must be one under river.anomaly, such as river.anomaly.LODA, got {self.class_!r}")
        if "/" in self.name:
            raise ValueError(f"name must be without '/', got {self.name!r}")
        if not self.name:
            object.__setattr__(self, "name", f"river.{self.class_.rpartition('.')[2]}")
        try_to_carry(make(self, 2, seed=0), 2, self.class_)


class RiverDetector:
    """A detector of river. member: score. Cost: river's own, from 10 us to tens of ms a row; the state is written at
    some 1 us a number."""

    members: ClassVar[tuple[str, ...]] = ("score",)
    per_variable: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    def __init__(self, variables: int, settings: RiverSettings, *, seed: int = 0) -> None:
        self.name = settings.name
        self._model = make(settings, variables, seed=seed)
        self._scale, self._fit = new_scale(variables), np.zeros((2, variables))
        self._account = 0.0

    def score(self, rows: Rows) -> Scores:
        members = np.zeros((len(rows), 1))
        places, there = self._placed(rows)
        for t in map(int, np.flatnonzero(there)):
            members[t, 0] = not_negative(float(self._model.score_one(dict(enumerate(places[t].tolist())))))
        return Scores(members)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        places, there = self._placed(rows)
        for t in map(int, np.flatnonzero(there)):
            self._account += float(weights[t])
            if self._account >= 1.0:
                self._account -= 1.0
                self._model.learn_one(dict(enumerate(places[t].tolist())))
        _learn(rows.values, (rows.present, rows.renewed), weights, self._scale, self._fit)

    def _placed(self, rows: Rows) -> tuple[FloatArray, BoolArray]:
        """Standardised rows (T, D), and which of them (T,) have anything to say."""
        places, there = np.zeros(rows.values.shape), np.zeros(len(rows), dtype=np.bool_)
        _place(rows.values, (rows.present, rows.renewed), self._scale[0] >= SETTLED, self._fit, places, there)
        return places, there

    def state(self) -> State:
        own = {"scale": self._scale.copy(), "fit": self._fit.copy(), "account": np.array(self._account)}
        return {**own, **nested("model", freeze(self._model, [PACKAGE]))}

    def load_state(self, state: State) -> None:
        self._scale[:], self._fit[:] = state["scale"], state["fit"]
        self._account = float(state["account"])
        model = thaw(part("model", state), [PACKAGE])
        if type(model) is not type(self._model):
            raise ValueError(f"the state must be of {type(self._model).__name__}, got one of {type(model).__name__}")
        self._model = model


def not_negative(score: float) -> float:
    """log(1 + exp(score)), at most 1e6.

    >>> not_negative(-1.0) < not_negative(0.0) < not_negative(40.0) == 40.0
    True
    """
    if math.isnan(score):
        return 0.0
    return min(max(score, 0.0) + math.log1p(math.exp(-abs(score))), LARGEST)


def make(settings: RiverSettings, variables: int, *, seed: int) -> Any:
    """The model of river that the settings describe."""
    kind = _class(settings.class_)
    base = importlib.import_module("river.base")
    for name, reason in INSTEAD.items():
        if issubclass(kind, getattr(base, name)):
            raise ValueError(f"class must judge whole rows, got {settings.class_}: {reason}")
    if not issubclass(kind, base.AnomalyDetector):
        raise ValueError(f"class must be one of river's anomaly detectors, got {settings.class_}")
    given = {name: _parameter(value) for name, value in settings.parameters.items()}
    ours = {"seed": seed, "limits": dict.fromkeys(range(variables), (-CLIP, CLIP))}
    taken = inspect.signature(kind).parameters
    return _made(settings.class_, kind, {name: value for name, value in ours.items() if name in taken} | given)


def _parameter(value: Any) -> Any:
    """A parameter as it is, or the object of river that it describes."""
    if not isinstance(value, Mapping) or "class" not in value:
        return value
    if set(value) - {"class", "parameters"}:
        raise ValueError(f"a parameter's object must have class and parameters only, got {', '.join(map(str, value))}")
    parameters = {name: _parameter(inner) for name, inner in (value.get("parameters") or {}).items()}
    return _made(value["class"], _class(value["class"]), parameters)


def _made(name: str, kind: type[Any], parameters: Mapping[str, Any]) -> Any:
    try:
        return kind(**parameters)
    except Exception as error:  # whatever a class of river raises at what it is given
        raise ValueError(f"parameters must be those of {name}{inspect.signature(kind)}: {error}") from error


def _class(name: str) -> type[Any]:
    """The class of river of this name; ValueError with the nearest names if there is none."""
    module, _, last = name.rpartition(".")
    if module.partition(".")[0] != PACKAGE:
        raise ValueError(f"class must be one of river's, such as river.anomaly.LODA, got {name!r}")
    try:
        found = importlib.import_module(module)
    except ImportError:
        raise ValueError(f"class must be one of river's, such as river.anomaly.LODA, got {name!r}") from None
    known = [n for n, thing in vars(found).items() if isinstance(thing, type) and not n.startswith("_")]
    if last not in known:
        near = get_close_matches(last, known, cutoff=0.4)
        raise ValueError(f"class must be one of {module}'s, got {name!r}; nearest: {', '.join(near or sorted(known))}")
    kind: type[Any] = getattr(found, last)
    return kind


def try_to_carry(model: Any, variables: int, name: str) -> None:
    """Raise ValueError unless a copy of the model through arrays goes on as the model does, bit for bit."""
    rows = np.random.default_rng(0).normal(size=(sum(TRIED_ROWS), variables))
    tried = [dict(enumerate(row)) for row in rows.tolist()]
    try:
        differs = _differs(model, tried[: TRIED_ROWS[0]], tried[TRIED_ROWS[0] :])
    except NotCarriedError as error:
        raise ValueError(f"class must have a state that can be carried, got {name}: {error}") from error
    except Exception as error:  # whatever a class of river raises when it is run
        raise ValueError(f"parameters must let {name} learn, which failed: {error!r}") from error
    if differs:
        raise ValueError(f"class must have a state that can be carried, got {name}: a copy has other {differs}")


def _differs(model: Any, before: list[dict[int, float]], after: list[dict[int, float]]) -> str:
    """What a copy of the model, taken between the rows before and after, has otherwise; empty if nothing."""
    original = thaw(freeze(model, [PACKAGE]), [PACKAGE])
    for row in before:
        original.learn_one(row)
    copy = thaw(freeze(original, [PACKAGE]), [PACKAGE])
    for row in after:
        if original.score_one(row) != copy.score_one(row):
            return "scores"
        original.learn_one(row)
        copy.learn_one(row)
    ours, theirs = freeze(original, [PACKAGE]), freeze(copy, [PACKAGE])
    return "state" if any(ours[name].tobytes() != theirs[name].tobytes() for name in ours) else ""


@njit(cache=True, nogil=True, error_model="numpy")
def _place(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    settled: BoolArray,
    fit: FloatArray,
    places: FloatArray,
    there: BoolArray,
) -> None:
    """Standardised values (T, D), 0 where missing or hardly seen, and which rows have others. settled: used up."""
    present, renewed = flags
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            settled[j] &= not renewed[t, j]
            if present[t, j] and settled[j]:
                places[t, j] = standardise(values[t, j], fit[0, j], fit[1, j])
                there[t] = True


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray, flags: tuple[BoolArray, BoolArray], weights: FloatArray, scale: FloatArray, fit: FloatArray
) -> None:
    for t in range(values.shape[0]):
        learn_scale(scale, values[t], flags[0][t], flags[1][t], weights[t])
    fit_scale(scale, fit[0], fit[1])
