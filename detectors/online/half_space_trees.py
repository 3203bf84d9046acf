"""Half-space trees over whole rows: how little of the recent past fell where this row falls. By river.

S. C. Tan, K. M. Ting, T. F. Liu, "Fast Anomaly Detection for Streaming Data", IJCAI 2011, as river implements it:
random trees that halve the space, and in each node the mass of the window before. Works badly where anomalies come
packed, and where one variable of many is off, since a path asks only a few variables.

Ours: the inputs. river's trees expect values in [0, 1] and call everything outside alike, so each variable is scaled by
a slow running range, which is put to [1/4, 3/4]: values never seen have room, and fall into empty nodes. A missing
reading is left out, and the path follows the heavier side. The score is -log2 of the mass, for the mass itself runs
against its bound and leaves no distance between odd and very odd.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State
from detectors.online.protocol import Scores

_MOST_ROWS = 65_535  # a mass must fit the 16 bits it is stored in


@dataclass(frozen=True, slots=True)
class HalfSpaceTreesSettings:
    """trees, height, window_rows: river's n_trees, height and window_size.

    range_rows: the range of a variable shrinks towards what is seen at this pace, and widens at once.
    """

    trees: int = 25
    height: int = 8
    window_rows: int = 250
    range_rows: int = 10_000

    def __post_init__(self) -> None:
        if self.trees < 1:
            raise ValueError(f"trees must be at least 1, got {self.trees}")
        if not 1 <= self.height <= 15:
            raise ValueError(f"height must be between 1 and 15, got {self.height}")
        if not 10 <= self.window_rows <= _MOST_ROWS:
            raise ValueError(f"window_rows must be between 10 and {_MOST_ROWS}, got {self.window_rows}")
        if self.range_rows < 1:
            raise ValueError(f"range_rows must be at least 1, got {self.range_rows}")


class HalfSpaceTrees:
    """One row-wise member, mass: -log2 of the share of the largest possible mass; 0 in the first window.

    A row is learned whole or not at all: its weight goes to an account, and each whole row there pays for one.
    Cost: some 70 us a row at 25 trees of height 8, and 50 us to learn it. A snapshot holds the masses, 4 bytes
    a node (51 kB); the trees are built again from the seed.
    """

    name: ClassVar[str] = "half_space_trees"
    members: ClassVar[tuple[str, ...]] = ("mass",)
    per_variable: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    def __init__(self, variables: int, settings: HalfSpaceTreesSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or HalfSpaceTreesSettings()
        self._trees = _planted(variables, self._settings, seed)
        self._nodes = [node for tree in self._trees.trees for node in tree.iter_dfs()]
        self._range = np.full((2, variables), np.nan)  # lowest and highest, slowly
        self._account = 0.0

    def score(self, rows: Rows) -> Scores:
        places = np.empty(rows.values.shape)
        _place(rows.values, self._range, places)
        least = 1.0 / (self._settings.trees * self._settings.window_rows * 2.0 ** (self._settings.height + 1))
        members = np.empty((len(rows), 1))
        for t, known in enumerate(_known(places, rows.present)):
            mass = 1.0 - self._trees.score_one(known)
            members[t, 0] = -np.log2(min(max(mass, least), 1.0)) + 0.0  # no -0.0
        return Scores(members)

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        places = np.empty(rows.values.shape)
        _follow_range(rows.values, rows.present, rows.renewed, weights, self._settings.range_rows, self._range, places)
        for weight, known in zip(weights.tolist(), _known(places, rows.present), strict=True):
            self._account += weight
            if self._account >= 1.0:
                self._account -= 1.0
                self._trees.learn_one(known)

    def carry(self) -> State:
        return {}

    def load_carry(self, carry: State) -> None:
        del carry  # there is none

    def state(self) -> State:
        masses = np.array([(node.r_mass, node.l_mass) for node in self._nodes], dtype=np.uint16)
        window = np.array([self._trees.counter, self._trees._first_window], dtype=np.int64)
        return {"masses": masses, "window": window, "range": self._range.copy(), "account": np.array(self._account)}

    def load_state(self, state: State) -> None:
        if len(state["masses"]) != len(self._nodes):
            raise ValueError(f"masses must be of {len(self._nodes)} nodes, got {len(state['masses'])}")
        for node, (last, current) in zip(self._nodes, state["masses"].tolist(), strict=True):
            node.r_mass, node.l_mass = last, current
        self._trees.counter, self._trees._first_window = int(state["window"][0]), bool(state["window"][1])
        self._range[:] = state["range"]
        self._account = float(state["account"])


def _planted(variables: int, settings: HalfSpaceTreesSettings, seed: int) -> Any:
    """river's model with its trees, which it grows at the first row, and no row in them."""
    from river.anomaly import HalfSpaceTrees as River  # noqa: PLC0415 - seconds, for those who use it

    model = River(n_trees=settings.trees, height=settings.height, window_size=settings.window_rows, seed=seed)
    model.learn_one(dict.fromkeys(range(variables), 0.5))
    model.counter = 0
    for tree in model.trees:
        for node in tree.iter_dfs():
            node.l_mass = 0
    return model


def _known(places: FloatArray, present: BoolArray) -> Iterator[dict[int, float]]:
    """Row by row the readings that are there, as river takes them."""
    for place, there in zip(places.tolist(), present.tolist(), strict=True):
        yield {d: place[d] for d in range(len(place)) if there[d]}


@njit(cache=True, nogil=True, error_model="numpy")
def _place(values: FloatArray, limits: FloatArray, places: FloatArray) -> None:
    """Values (T, D) on the scale of the trees: their range (2, D) at [1/4, 3/4], cut at 0 and 1."""
    for t in range(values.shape[0]):
        for d in range(values.shape[1]):
            low, high, x = limits[0, d], limits[1, d], values[t, d]
            if high > low:
                places[t, d] = min(max(0.25 + 0.5 * (x - low) / (high - low), 0.0), 1.0)
            else:  # not moved so far, or not seen
                places[t, d] = 1.0 if x > high else 0.0 if x < low else 0.5


@njit(cache=True, nogil=True, error_model="numpy")
def _follow_range(
    values: FloatArray,
    present: BoolArray,
    renewed: BoolArray,
    weights: FloatArray,
    range_rows: int,
    limits: FloatArray,
    places: FloatArray,
) -> None:
    """Each row's readings into the range (2, D): outwards by the row's weight, inwards by weight / range_rows."""
    for t in range(values.shape[0]):
        for d in range(values.shape[1]):
            x, weight = values[t, d], weights[t]
            if renewed[t, d]:
                limits[:, d] = np.nan
            if not present[t, d] or weight <= 0.0:
                continue
            if np.isnan(limits[0, d]):
                limits[:, d] = x
            limits[0, d] += (x - limits[0, d]) * (weight if x < limits[0, d] else weight / range_rows)
            limits[1, d] += (x - limits[1, d]) * (weight if x > limits[1, d] else weight / range_rows)
        _place(values[t : t + 1], limits, places[t : t + 1])
