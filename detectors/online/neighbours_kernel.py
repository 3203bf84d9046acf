"""Distances from rows to a standardised memory, and the mean over the nearest: the costly part of the neighbours.

A table holds one feature of M entries in tiles of 64 members, (tiles, D, 64) float32, so that the innermost loop runs
over members: the compiler makes vectors of it without changing any sum's order. One accumulator a member, variables in
order: the same bits on every machine and for every number of rows in a call.
"""

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.online.scale import standardise

TILE = 64
FAST, SLOW, LEVEL, STEP = 0, 1, 2, 3  # views of a row: two averages, the row itself, the row less its fast average
VIEWS = 4
Float32Array: TypeAlias = NDArray[np.float32]


def new_tables(slots: int, variables: int) -> Float32Array:
    """(4, tiles, D, 64) empty tables, one a view."""
    return np.zeros((VIEWS, -(-slots // TILE), variables, TILE), dtype=np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def views_of(
    fast: float, slow: float, level: float, fit: FloatArray, j: int
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """The standardised views of variable j: fast, slow, level, step.

    fit: (3, D) mean, deviation, size of a step.
    """
    mean, sd = fit[0, j], fit[1, j]
    return (
        np.float32(standardise(fast, mean, sd)),
        np.float32(standardise(slow, mean, sd)),
        np.float32(standardise(level, mean, sd)),
        np.float32(standardise(level - fast, 0.0, fit[2, j])),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def write_entry(tables: Float32Array, slot: int, entries: Float32Array, origin: FloatArray, fit: FloatArray) -> None:
    """Standardise the entry in one slot of entries (M, 3, D); a variable never seen then stands at the mean."""
    tile, member = slot // TILE, slot % TILE
    for j in range(entries.shape[2]):
        fast, slow, level = entries[slot, FAST, j], entries[slot, SLOW, j], entries[slot, LEVEL, j]
        views = (np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0))
        if not np.isnan(fast):
            views = views_of(origin[j] + fast, origin[j] + slow, origin[j] + level, fit, j)
        for v in range(VIEWS):
            tables[v, tile, j, member] = views[v]


@njit(cache=True, nogil=True, error_model="numpy")
def write_entries(
    tables: Float32Array, filled: int, entries: Float32Array, origin: FloatArray, fit: FloatArray
) -> None:
    """Standardise all entries anew."""
    for slot in range(filled):
        write_entry(tables, slot, entries, origin, fit)


@njit(cache=True, nogil=True, error_model="numpy")
def nearest(
    tables: Float32Array, filled: int, queries: Float32Array, present: BoolArray, scores: FloatArray, found: IntArray
) -> None:
    """Mean distance of T queries to their k nearest entries, for each view.

    queries: (4, T, D). scores: (4, T) and found: (4, T, k), the entries' slots, are written. Missing variables are left
    out, and the others scaled up for them.
    """
    rows, variables = present.shape
    squares = np.empty((rows, tables.shape[1] * TILE), dtype=np.float32)
    least = np.empty((rows, TILE), dtype=np.float32)
    near = np.empty(filled, dtype=np.int64)
    there, counts = np.empty((rows, variables), dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for t in range(rows):
        for j in range(variables):
            there[t, counts[t]] = j
            counts[t] += present[t, j]
    scores[:] = 0.0
    found[:] = 0
    if filled == 0:
        return
    for v in range(VIEWS):
        _measure(tables[v], filled, queries[v], there, counts, squares, least)
        for t in range(rows):
            if counts[t] > 0:
                within = _within(squares[t, :filled], _kth(least[t], found.shape[2]), near)
                mean = _mean_of_least(squares[t], near[:within], found[v, t])
                scores[v, t] = mean * np.sqrt(variables / counts[t])


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(
    table: Float32Array,
    filled: int,
    queries: Float32Array,
    there: IntArray,
    counts: IntArray,
    squares: Float32Array,
    least: Float32Array,
) -> None:
    """Squared distances (T, members), and for each of the 64 places in a tile the least over all tiles (T, 64).

    there: (T, D), of which the first counts (T,) are the variables that are there.

    A tile stays in the nearest cache while all rows pass.
    """
    least[:] = np.float32(np.inf)
    for tile in range((filled + TILE - 1) // TILE):
        for t in range(queries.shape[0]):
            sums = squares[t, tile * TILE : (tile + 1) * TILE]
            sums[:] = np.float32(0.0)
            _add_squares(table[tile], queries[t], there[t, : counts[t]], sums)
            for m in range(min(TILE, filled - tile * TILE)):
                least[t, m] = min(least[t, m], sums[m])


@njit(cache=True, nogil=True, error_model="numpy")
def _add_squares(tile: Float32Array, query: Float32Array, there: IntArray, sums: Float32Array) -> None:
    """Add to the sums (64,) of a tile (D, 64) its squared distances from the query (D,), in the variables there.

    One variable after the other, as if each had a loop of its own; four in a loop spare three passes over the sums.
    """
    fours = there.shape[0] // 4 * 4
    for i in range(0, fours, 4):
        a, b, c, d = there[i], there[i + 1], there[i + 2], there[i + 3]
        qa, qb, qc, qd = query[a], query[b], query[c], query[d]
        for m in range(TILE):
            da, db, dc, dd = qa - tile[a, m], qb - tile[b, m], qc - tile[c, m], qd - tile[d, m]
            sums[m] = (((sums[m] + da * da) + db * db) + dc * dc) + dd * dd
    for i in range(fours, there.shape[0]):
        j = there[i]
        q = query[j]
        for m in range(TILE):
            away = q - tile[j, m]
            sums[m] += away * away


@njit(cache=True, nogil=True, error_model="numpy")
def _kth(least: Float32Array, k: int) -> float:
    """The k-th least of the 64, which is no less than the k-th least of all; infinite if k is more than 64.

    By counting for each how many are less: 64 x 64 comparisons that are vectors cost less than any sorting.
    """
    if k > TILE:
        return np.inf
    less = np.zeros(TILE, dtype=np.int32)
    for m in range(TILE):
        for i in range(TILE):
            less[i] += least[m] < least[i]
    bound = np.float32(0.0)
    for i in range(TILE):
        if less[i] < k and least[i] > bound:
            bound = least[i]
    return float(bound)


@njit(cache=True, nogil=True, error_model="numpy")
def _within(squares: Float32Array, bound: float, near: IntArray) -> int:
    """How many squares are within the bound; their places go to near, in order."""
    count = 0
    limit = np.float32(bound)
    for m in range(squares.shape[0]):
        near[count] = m
        count += not squares[m] > limit
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_of_least(squares: Float32Array, near: IntArray, found: IntArray) -> float:
    """Mean of the roots of the k least, all of them at places in near; their places go to found (k,), nearest first
    (the earlier place first on a tie)."""
    k = found.shape[0]
    least = np.empty(k, dtype=np.float32)
    count = 0
    for m in near:
        d = squares[m]
        if count == k and d >= least[k - 1]:
            continue
        i = count if count < k else k - 1
        count = min(k, count + 1)
        while i > 0 and least[i - 1] > d:
            least[i], found[i] = least[i - 1], found[i - 1]
            i -= 1
        least[i], found[i] = d, m
    total = 0.0
    for i in range(count):
        total += np.sqrt(np.float64(least[i]))
    return total / count
