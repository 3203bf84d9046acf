"""What the neighbours do with each row: views to be scored, entries for the memory, and the release of an incident."""

from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.online.memory import offer
from detectors.online.neighbours_kernel import (
    FAST,
    LEVEL,
    SLOW,
    STEP,
    TILE,
    VIEWS,
    Float32Array,
    nearest,
    views_of,
    write_entries,
    write_entry,
)
from detectors.online.scale import fit_scale, learn_scale, learn_step_size

STORED = 3  # features of an entry: fast and slow average, and the row itself
MemoryArrays: TypeAlias = tuple[Float32Array, IntArray, IntArray, IntArray, FloatArray]
Model: TypeAlias = tuple[
    FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, Float32Array, Float32Array, IntArray
]


@njit(cache=True, nogil=True, error_model="numpy")
def advance(averages: FloatArray, j: int, x: float, present: bool, restart: bool, rates: tuple[float, float]) -> None:
    """Move the averages (2, D) of variable j on by one row; a missing reading leaves them."""
    if restart:
        averages[0, j], averages[1, j] = x, x
    elif present:
        averages[0, j] += rates[0] * (x - averages[0, j])
        averages[1, j] += rates[1] * (x - averages[1, j])


@njit(cache=True, nogil=True, error_model="numpy")
def follow(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    averages: FloatArray,
    rates: tuple[float, float],
    fit: FloatArray,
    queries: Float32Array,
) -> None:
    """Standardised views (4, T, D) of rows, moving the carried averages (2, D) on."""
    present, restart = flags
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            x = values[t, j]
            advance(averages, j, x, present[t, j], restart[t, j], rates)
            views = views_of(averages[0, j], averages[1, j], x, fit, j)
            for v in range(VIEWS):
                queries[v, t, j] = views[v]


@njit(cache=True, nogil=True, error_model="numpy")
def compare(query: Float32Array, found: IntArray, table: Float32Array, present: BoolArray, away: FloatArray) -> None:
    """How far each variable of queries (T, D) is from the mean of the row's neighbours, found (T, k): away (T, D)."""
    k = found.shape[1]
    for t in range(query.shape[0]):
        for j in range(query.shape[1]):
            if present[t, j]:
                z = 0.0
                for i in range(k):
                    slot = found[t, i]
                    z += table[slot // TILE, j, slot % TILE]
                away[t, j] = abs(query[t, j] - z / k)


@njit(cache=True, nogil=True, error_model="numpy")
def score_rows(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray],
    averages: FloatArray,
    rates: tuple[float, float],
    fit: FloatArray,
    tables: Float32Array,
    filled: int,
    k: int,
    scores: FloatArray,
    away: FloatArray,
) -> None:
    """Scores (T, 4) of rows, those of the views that vote and that of the row itself, and away (T, D), zeros."""
    count = values.shape[0]
    queries = np.empty((VIEWS, count, values.shape[1]), dtype=np.float32)
    distances, found = np.empty((VIEWS, count)), np.empty((VIEWS, count, k), dtype=np.int64)
    follow(values, flags, averages, rates, fit, queries)
    nearest(tables, filled, queries, flags[0], distances, found)
    for t in range(count):
        for i, view in enumerate((FAST, SLOW, STEP, LEVEL)):
            scores[t, i] = distances[view, t]
    if filled > 0:
        compare(queries[FAST], found[FAST], tables[FAST], flags[0], away)


@njit(cache=True, nogil=True, error_model="numpy")
def learn_rows(
    values: FloatArray,
    flags: tuple[BoolArray, BoolArray, BoolArray],
    weights: FloatArray,
    memory: MemoryArrays,
    model: Model,
    rates: tuple[float, float],
    steps: tuple[int, int, int, float, float],
) -> None:
    """Learn rows with their weights: the scale, the memory, the ring of an incident, and now and then the tables."""
    present, restart, renewed = flags
    entries, order, born, counts, credit = memory
    averages, origin, scale, sizes, fit, tables, ring, held = model
    first, refit_rows, release_rows, horizon, jitter = steps
    entry = np.empty((STORED, values.shape[1]), dtype=np.float32)
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            if renewed[t, j]:
                _forget(j, entries, tables, ring, sizes, origin)
            advance(averages, j, values[t, j], present[t, j], restart[t, j], rates)
            if present[t, j] and weights[t] > 0.0:
                if np.isnan(origin[j]):
                    origin[j] = values[t, j]
                learn_step_size(sizes, j, values[t, j] - averages[0, j], weights[t])
        learn_scale(scale, values[t], present[t], renewed[t], weights[t])
        _make_entry(values[t], present[t], averages, origin, entry)
        if _hold(entry, weights[t], release_rows, ring, held):
            _release(memory, ring, held, tables, origin, fit)
        slot = offer(first + t, weights[t], order, born, counts, credit, horizon, jitter)
        if slot >= 0:
            entries[slot] = entry
            write_entry(tables, slot, entries, origin, fit)
        if (first + t + 1) % _refit_step(first + t, refit_rows) == 0:
            fit_scale(scale, fit[0], fit[1])
            fit[2] = np.sqrt(np.sqrt(sizes[1]))
            write_entries(tables, counts[0], entries, origin, fit)


@njit(cache=True, nogil=True, error_model="numpy")
def _forget(
    j: int,
    entries: Float32Array,
    tables: Float32Array,
    ring: Float32Array,
    sizes: FloatArray,
    origin: FloatArray,
) -> None:
    """Variable j means something else from here on."""
    entries[:, :, j] = np.nan
    tables[:, :, j] = 0.0
    ring[:, :, j] = np.nan
    sizes[:, j] = 0.0
    origin[j] = np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _refit_step(row: int, longest: int) -> int:
    """Rows between refits: a power of two, about a tenth of the rows seen, at most the longest."""
    step = 1
    while step * 16 <= row and step * 2 <= longest:
        step *= 2
    return step


@njit(cache=True, nogil=True, error_model="numpy")
def _make_entry(
    values: FloatArray, present: BoolArray, averages: FloatArray, origin: FloatArray, entry: Float32Array
) -> None:
    """The features (3, D) of a learned row; a missing reading is taken to be at its average."""
    for j in range(values.shape[0]):
        entry[FAST, j] = averages[0, j] - origin[j]
        entry[SLOW, j] = averages[1, j] - origin[j]
        entry[LEVEL, j] = (values[j] if present[j] else averages[0, j]) - origin[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _hold(entry: Float32Array, weight: float, release_rows: int, ring: Float32Array, held: IntArray) -> bool:
    """Keep a held-back row in the ring; True if the incident has now lasted long enough to be accepted.

    held: rows held back in the open incident, releases made in it. A row of weight 0 was not judged, and is left out.
    """
    if weight >= 1.0:
        held[:] = 0
        return False
    if weight <= 0.0:
        return False
    ring[held[0] % ring.shape[0]] = entry
    held[0] += 1
    return bool(held[0] % release_rows == 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _release(
    memory: MemoryArrays,
    ring: Float32Array,
    held: IntArray,
    tables: Float32Array,
    origin: FloatArray,
    fit: FloatArray,
) -> None:
    """Every tenth entry by age takes one of the incident's last rows, evenly spaced."""
    entries, order, counts = memory[0], memory[1], memory[3]
    count = min(held[0], ring.shape[0])
    slots = order[held[1] % 10 : counts[0] : 10]
    for i in range(slots.shape[0]):
        row = held[0] - count + i * count // slots.shape[0]
        entries[slots[i]] = ring[row % ring.shape[0]]
        write_entry(tables, slots[i], entries, origin, fit)
    held[1] += 1
