"""Columns of a few levels that change how often they take each level, not the level itself.

A discrete state (0..5, a mode, a step of a program) may keep its mean and its range while its distribution breaks; or
it may keep even that, and no longer follow the states that move it. A chi-square of the level shares sees the first,
one of the shares given another column's level the second. A root's relations with all others break at once, those of
its effects only with it and with each other: so the mean over the others tells them apart, with no graph. What the
baseline itself does between its halves is taken off. (Ours.)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray

FEWEST, MOST = 3, 8  # levels; two levels are a mean already
KNOWN = 0.9  # of the new readings must be on levels seen before, else the level itself changed
DRIFT = 2.0  # times the baseline's own drift is taken off
QUIET_ROWS, NEW_ROWS = 4, 1  # a pair of columns must have for each pair of their levels
PARTNERS = 32  # columns that each is held against, those that moved most: bounds the cost


@dataclass(frozen=True, slots=True)
class Levels:
    """A column of few levels in the quiet rows: known (L,) its levels in order, numbers (N,) that of each row (-1:
    missing), independence: (0, 1] the worth of a row."""

    known: FloatArray
    numbers: IntArray
    independence: float


def of_few_levels(before: FloatArray) -> dict[int, Levels]:
    """The columns of before (N, D) that have 3 to 8 levels, by number. O(N D)."""
    early = before[: 4 * MOST]
    maybe = (j for j in range(before.shape[1]) if len(set(_finite(early[:, j]).tolist())) <= MOST)  # most are not
    return {j: _levels(before[:, j]) for j in maybe if _has_few_levels(_finite(before[:, j]))}


def share_shift(before: Mapping[int, Levels], after: FloatArray) -> FloatArray:
    """(D,) size of the shift of level shares from those columns to after (T, D); 0 for columns it does not concern.

    The square root of the excess chi-square, so that it compares with a |z|: the mean of a column's own and of those
    given each of at most 32 other such columns. O((N + T) P) a column of few levels, P partners.
    """
    shifts = np.zeros(after.shape[1])
    new = {j: _numbers(after[:, j], levels.known) for j, levels in before.items()}
    chosen = [j for j, numbers in new.items() if _is_known(after[:, j], numbers)]
    if not chosen:
        return shifts
    old_numbers = np.array([before[j].numbers for j in chosen])  # (F, N)
    new_numbers = np.array([_unseen_too(after[:, j], new[j], len(before[j].known)) for j in chosen])  # (F, T)
    counts = np.array([len(before[j].known) for j in chosen])
    counts += (new_numbers == counts[:, None]).any(axis=1)
    independence = np.array([before[j].independence for j in chosen])
    excess = np.zeros(len(chosen))
    _mean_excess(old_numbers, new_numbers, counts, independence, excess)
    shifts[chosen] = np.sqrt(excess)
    return shifts


def _has_few_levels(column: FloatArray) -> bool:
    return len(set(column[: 4 * MOST].tolist())) <= MOST and FEWEST <= len(np.unique(column)) <= MOST


def _finite(column: FloatArray) -> FloatArray:
    return column[np.isfinite(column)]


def _levels(column: FloatArray) -> Levels:
    known = np.unique(_finite(column))
    numbers = _numbers(column, known)
    return Levels(known, numbers, _independence(numbers[numbers >= 0], len(known)))


def _numbers(column: FloatArray, known: FloatArray) -> IntArray:
    """(T,) the number of each reading's level; -1 where it is missing or not a known one."""
    place = np.minimum(np.searchsorted(known, np.where(np.isfinite(column), column, known[0])), len(known) - 1)
    return np.where(known[place] == column, place, -1)


def _independence(numbers: IntArray, levels: int) -> float:
    """How often the level changes from row to row, over how often it would if rows were independent; at most 1. A
    level that is held for long tells the same thing many times."""
    shares = np.bincount(numbers, minlength=levels) / len(numbers)
    changes = max(float((numbers[1:] != numbers[:-1]).mean()), 1.0 / len(numbers))
    return min(1.0, changes / (1.0 - float((shares**2).sum())))


def _is_known(column: FloatArray, numbers: IntArray) -> bool:
    there = int(np.isfinite(column).sum())
    return there > 0 and int((numbers >= 0).sum()) >= KNOWN * there


def _unseen_too(column: FloatArray, numbers: IntArray, levels: int) -> IntArray:
    """The same numbers, with one more level for all readings that are on no known one."""
    return np.where(np.isfinite(column) & (numbers < 0), levels, numbers)


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_excess(old: IntArray, new: IntArray, counts: IntArray, independence: FloatArray, mean: FloatArray) -> None:
    """(F,) the excess of each column alone and given its partners, negative ones as 0, in the mean. old (F, N), new
    (F, T): level numbers.  counts: (F,) levels."""
    columns, rows, fresh = old.shape[0], old.shape[1], new.shape[1]
    alone, alone_new = np.zeros(rows, np.int64), np.zeros(fresh, np.int64)
    for j in range(columns):
        mean[j] = max(_excess(old[j], new[j], counts[j], alone, alone_new, 1, independence[j]), 0.0)
    partners = np.argsort(-mean, kind="mergesort")[:PARTNERS]
    for j in range(columns):
        total, held = mean[j], 1
        for k in partners:
            pairs = counts[j] * counts[k]
            if k != j and rows >= QUIET_ROWS * pairs and fresh >= NEW_ROWS * pairs:
                total += max(_excess(old[j], new[j], counts[j], old[k], new[k], counts[k], independence[j]), 0.0)
                held += 1
        mean[j] = total / held


@njit(cache=True, nogil=True, error_model="numpy")
def _excess(
    old: IntArray,
    new: IntArray,
    levels: int,
    old_given: IntArray,
    new_given: IntArray,
    given: int,
    independence: float,
) -> float:
    """Pearson's chi-square of the new levels against the old shares, given another column's level; less its
    expectation, and less DRIFT times what the quiet halves show, as far as the new rows are longer than one."""
    half = len(old) // 2
    first, second = np.zeros((given, levels)), np.zeros((given, levels))
    fresh = np.zeros((given, levels))
    _count(old[:half], old_given[:half], first)
    _count(old[half:], old_given[half:], second)
    _count(new, new_given, fresh)
    known = first + second
    shares = np.empty((given, levels))
    for g in range(given):
        shares[g] = (known[g] + 0.5) / (known[g].sum() + 0.5 * levels)
    drift = max(_chi_square(first, shares, independence), _chi_square(second, shares, independence), 0.0)
    return float(_chi_square(fresh, shares, independence) - DRIFT * drift * max(1.0, len(new) / half))


@njit(cache=True, nogil=True, error_model="numpy")
def _count(numbers: IntArray, given: IntArray, counts: FloatArray) -> None:
    for t in range(len(numbers)):
        if numbers[t] >= 0 and given[t] >= 0:
            counts[given[t], numbers[t]] += 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _chi_square(counts: FloatArray, shares: FloatArray, independence: float) -> float:
    """Of counts (G, L) against shares (G, L), with each row's total given; less its expectation."""
    total, freedom = 0.0, 0
    for g in range(counts.shape[0]):
        rows = counts[g].sum()
        if rows > 0.0:
            freedom += counts.shape[1] - 1
            for level in range(counts.shape[1]):
                expected = rows * shares[g, level]
                total += (counts[g, level] - expected) ** 2 / expected
    return float(independence * total - freedom)
