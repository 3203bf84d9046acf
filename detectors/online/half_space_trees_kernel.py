"""Half-space trees as arrays: drawn as river draws them, and rows sent down them as river sends them.

A tree of height h is its 2^(h + 1) - 1 nodes, depth first. So no node needs to say where its children are: at depth d
the left one is the next node, the right one 2^(h - d) further. N = trees * nodes of a tree, one tree after the other.
All that river adds up are whole numbers, so the order of the sums does not matter, and theirs is ours.

Trees do not depend on each other, so all of them take a step at each level, and the processor works on many at once:
half the time of one tree after the other. Node numbers are unsigned, which saves a test for those below zero.
"""

from functools import lru_cache
from random import Random
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.block import BoolArray, FloatArray, IntArray

PADDING = 0.15  # river's: a split keeps this share of a half's width from its ends
LAST, CURRENT = 0, 1  # columns of the masses
ROWS, FIRST = 0, 1  # of the window: rows in it so far; 1 while it is the first, 0 later

MassArray: TypeAlias = NDArray[np.uint16]
Splits: TypeAlias = tuple[NDArray[np.uint32], FloatArray]  # (N,) variable that a node asks; (N,) left is below this
Shape: TypeAlias = tuple[int, int]  # trees, height
Work: TypeAlias = tuple[NDArray[np.uint32], NDArray[np.uint32]]  # (trees,) node where each path is; 1 while it goes on


def nodes_of(shape: Shape) -> int:
    """N.

    >>> nodes_of((25, 8))
    12775
    """
    trees, height = shape
    return trees * ((2 << height) - 1)


@lru_cache(maxsize=32)
def planted(variables: int, shape: Shape, seed: int) -> Splits:
    """The splits that river draws from this seed, read-only: systems of as many variables share them.

    Random.random() is promised to stay the same in all versions of Python.
    """
    trees, height = shape
    rng = Random(seed)
    draws = np.array([rng.random() for _ in range(2 * trees * ((1 << height) - 1))])
    splits = np.zeros(nodes_of(shape), dtype=np.uint32), np.zeros(nodes_of(shape))
    _plant(variables, shape, draws, splits)
    for array in splits:
        array.flags.writeable = False
    return splits


@njit(cache=True, nogil=True, error_model="numpy")
def _plant(variables: int, shape: Shape, draws: FloatArray, splits: Splits) -> None:
    trees, height = shape
    space, drawn = np.empty((2, variables)), 0
    for tree in range(trees):
        space[0], space[1] = 0.0, 1.0
        drawn = _grow(tree * ((2 << height) - 1), height, space, draws, drawn, splits)


@njit(cache=True, nogil=True, error_model="numpy")
def _grow(node: int, height: int, space: FloatArray, draws: FloatArray, drawn: int, splits: Splits) -> int:
    """Split the space (2, D) of a node and of those below it, two draws a split; gives the number drawn by then."""
    if height == 0:
        return drawn
    on = _asked(space, draws[drawn])
    low, high = space[0, on], space[1, on]
    start, end = low + PADDING * (high - low), high - PADDING * (high - low)
    at = start + (end - start) * draws[drawn + 1]
    splits[0][node], splits[1][node] = on, at
    space[1, on] = at
    drawn = _grow(node + 1, height - 1, space, draws, drawn + 2, splits)
    space[0, on], space[1, on] = at, high
    drawn = _grow(node + (1 << height), height - 1, space, draws, drawn, splits)
    space[0, on] = low
    return drawn


@njit(cache=True, nogil=True, error_model="numpy")
def _asked(space: FloatArray, draw: float) -> int:
    """A variable, by a draw of [0, 1); the wider its side of the space, the likelier. As Random.choices does it."""
    total, so_far, last = 0.0, 0.0, len(space[0]) - 1
    for d in range(last + 1):
        total += space[1, d] - space[0, d]
    for d in range(last):
        so_far += space[1, d] - space[0, d]
        if draw * total < so_far:
            return d
    return last


@njit(cache=True, nogil=True, error_model="numpy")
def new_work(trees: int) -> Work:
    """Written over by every row."""
    return np.empty(trees, dtype=np.uint32), np.empty(trees, dtype=np.uint32)


@njit(cache=True, nogil=True, error_model="numpy")
def step_down(
    node: np.uint32, right: int, place: FloatArray, there: BoolArray, splits: Splits, masses: MassArray
) -> np.uint32:
    """The child that a row (D,) belongs to; where the reading is missing, the heavier one so far in this window."""
    on = splits[0][node]
    if there[on]:
        return np.uint32(node + (1 if place[on] < splits[1][node] else right))
    return np.uint32(node + (1 if masses[node + 1, CURRENT] >= masses[node + right, CURRENT] else right))


@njit(cache=True, nogil=True, error_model="numpy")
def mass_around(
    place: FloatArray, there: BoolArray, shape: Shape, splits: Splits, masses: MassArray, fewest: int, work: Work
) -> int:
    """Masses of the last window on a row's paths, each times 2^depth; a path ends at a mass below the fewest."""
    trees, height = shape
    nodes, goes_on = work
    for tree in range(trees):
        nodes[tree] = tree * ((2 << height) - 1)
        goes_on[tree] = 1
    total = 0
    for depth in range(height):
        level, right = 0, 1 << (height - depth)
        for tree in range(trees):
            node = nodes[tree]
            mass = masses[node, LAST] * goes_on[tree]
            level += mass
            goes_on[tree] = mass >= fewest
            nodes[tree] = step_down(node, right, place, there, splits, masses)
        total += level << depth
    leaves = 0
    for tree in range(trees):
        leaves += masses[nodes[tree], LAST] * goes_on[tree]
    return total + (leaves << height)


@njit(cache=True, nogil=True, error_model="numpy")
def add_row(place: FloatArray, there: BoolArray, shape: Shape, splits: Splits, masses: MassArray, work: Work) -> None:
    """One more in every node on the row's paths."""
    trees, height = shape
    nodes = work[0]
    for tree in range(trees):
        nodes[tree] = tree * ((2 << height) - 1)
    for depth in range(height):
        right = 1 << (height - depth)
        for tree in range(trees):
            node = nodes[tree]
            masses[node, CURRENT] += 1
            nodes[tree] = step_down(node, right, place, there, splits, masses)
    for tree in range(trees):
        masses[nodes[tree], CURRENT] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def count_row(window: IntArray, window_rows: int, masses: MassArray) -> None:
    """One more in the window; a full one becomes the last, and a new one starts."""
    window[ROWS] += 1
    if window[ROWS] == window_rows:
        window[:] = 0
        masses[:, LAST] = masses[:, CURRENT]
        masses[:, CURRENT] = 0
