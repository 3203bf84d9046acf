"""Half-space trees over whole rows: how little of the recent past fell where this row falls. As river has them.

S. C. Tan, K. M. Ting, T. F. Liu, "Fast Anomaly Detection for Streaming Data", IJCAI 2011, as river implements it:
random trees that halve the space, and in each node the mass of the window before. Works badly where anomalies come
packed, and where one variable of many is off, since a path asks only a few variables. The trees, their masses and the
scores are river's to the last bit; the arrays they are in are ours (half_space_trees_kernel.py).

Ours, too: the inputs. river's trees expect values in [0, 1] and call everything outside alike, so each variable is
scaled by a slow running range, which is put to [1/4, 3/4]: values never seen have room, and fall into empty nodes. A
missing reading is left out, and the path follows the heavier side. The score is -log2 of the mass, for the mass itself
runs against its bound and leaves no distance between odd and very odd.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, Rows, State
from detectors.online.half_space_trees_kernel import (
    FIRST,
    MassArray,
    Shape,
    Splits,
    add_row,
    count_row,
    mass_around,
    new_work,
    nodes_of,
    planted,
)
from detectors.online.protocol import Scores
from detectors.online.rewinding import Rewinding

Forest: TypeAlias = tuple[Splits, MassArray]
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


class HalfSpaceTrees(Rewinding):
    """One row-wise member, mass: -log2 of the share of the largest possible mass; 0 in the first window.

    A row is learned whole or not at all: its weight goes to an account, and each whole row there pays for one.
    Cost: some 3 us a row at 25 trees of height 8 and 38 variables, half of it to learn. A snapshot holds the masses, 4
    bytes a node (51 kB); the trees are drawn again from the seed.
    """

    name: ClassVar[str] = "half_space_trees"
    members: ClassVar[tuple[str, ...]] = ("mass",)
    per_variable: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    def __init__(self, variables: int, settings: HalfSpaceTreesSettings | None = None, *, seed: int = 0) -> None:
        self._settings = settings or HalfSpaceTreesSettings()
        self._shape = (self._settings.trees, self._settings.height)
        self._splits = planted(variables, self._shape, seed)
        self._masses = np.zeros((nodes_of(self._shape), 2), dtype=np.uint16)  # of the last and of the current window
        self._window = np.array([0, 1])  # rows in the current one; whether it is the first
        self._range = np.full((2, variables), np.nan)  # lowest and highest, slowly
        self._account = np.zeros(())

    def score(self, rows: Rows) -> Scores:
        if self._window[FIRST]:
            return Scores(np.zeros((len(rows), 1)))
        shares, forest = np.empty((len(rows), 1)), (self._splits, self._masses)
        _score(rows.values, rows.present, self._range, self._shape, forest, self._settings.window_rows, shares)
        np.log2(shares, out=shares)  # numpy's own: compilers have others, with other last bits
        return Scores(np.subtract(0.0, shares, out=shares))

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        options = (self._settings.range_rows, self._settings.window_rows)
        forest, counts = (self._splits, self._masses), (self._window, self._account)
        flags = (rows.present, rows.renewed)
        _learn(rows.values, flags, weights, self._range, self._shape, forest, counts, options)

    def load_state(self, state: State) -> None:
        if len(state["masses"]) != len(self._masses):
            raise ValueError(f"masses must be of {len(self._masses)} nodes, got {len(state['masses'])}")
        super().load_state(state)

    def _arrays(self) -> State:
        return {"masses": self._masses, "window": self._window, "range": self._range, "account": self._account}


@njit(cache=True, nogil=True, error_model="numpy")
def _score(
    values: FloatArray,
    present: BoolArray,
    limits: FloatArray,
    shape: Shape,
    forest: Forest,
    window_rows: int,
    shares: FloatArray,
) -> None:
    """The mass around each row as a share (T, 1) of the largest, by way of river's score, which is 1 less that share.

    A path ends below a tenth of a window: the constant of the paper.
    """
    splits, masses = forest
    trees, height = shape
    largest, fewest = trees * window_rows * (2.0 ** (height + 1) - 1.0), int(np.ceil(0.1 * window_rows))
    least = 1.0 / (trees * window_rows * 2.0 ** (height + 1))
    places, work = np.empty(values.shape), new_work(trees)
    _place(values, limits, places)
    for t in range(values.shape[0]):
        mass = mass_around(places[t], present[t], shape, splits, masses, fewest, work)
        rivers = 1.0 - mass / largest
        shares[t, 0] = min(max(1.0 - rivers, least), 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    weights: FloatArray,
    limits: FloatArray,
    shape: Shape,
    forest: Forest,
    counts: tuple[IntArray, FloatArray],
    options: tuple[int, int],
) -> None:
    present, renewed = flags
    splits, masses = forest
    window, account = counts
    places, work = np.empty(values.shape), new_work(shape[0])
    _follow_range(values, present, renewed, weights, options[0], limits, places)
    for t in range(values.shape[0]):
        account[()] += weights[t]
        if account[()] >= 1.0:
            account[()] -= 1.0
            add_row(places[t], present[t], shape, splits, masses, work)
            count_row(window, options[1], masses)


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
