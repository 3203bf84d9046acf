"""How far variables stray from their baseline: a scale that keeps every column, and the plain deviation.

Dropping constant or quiet columns by hand decides most published comparisons. Here every column stays, and its scale
carries a floor taken from its peers: the same metric of other entities. A change that is small against what differs
between entities anyway is no news. (Ours; measured against floors from the level, the quantisation step, the noise of
differences and the drift of block means, all of which lose.) The floor ends at a tenth of the largest reading: among
peers a thousand times larger, or in another unit, a variable would otherwise never deviate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray

FROZEN_JUMP = 500.0  # the |z| of a column that was constant, has no peers, and changes: large, of no known size
PEERS = 3  # a floor needs at least so many columns of one metric
LEVEL_SHARE = 0.1  # of a column's largest reading: its floor is no higher


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was normal: center (D,) medians, scale (D,) > 0, and frozen (D,) columns that give no scale at all."""

    center: FloatArray
    scale: FloatArray
    constant: BoolArray
    frozen: BoolArray


def peer_groups(variables: Sequence[str]) -> IntArray:
    """(D,) a group number for each variable: the same metric name (text after the last dot); -1 without a dot.

    >>> peer_groups(["a.cpu", "b.cpu", "a.mem", "wind"]).tolist()
    [0, 0, 1, -1]
    """
    numbers: dict[str, int] = {}
    metrics = [name.rpartition(".")[2] if "." in name else None for name in variables]
    return np.array([-1 if m is None else numbers.setdefault(m, len(numbers)) for m in metrics], dtype=np.int64)


def fit_baseline(
    rows: FloatArray, groups: IntArray, *, peer_floor: float, level_share: float = LEVEL_SHARE
) -> Baseline:
    """The baseline of rows (N, D), NaN = missing: s = max(sd, range / 6) + peer_floor * MAD of the peers' medians.

    The second part is at most level_share of the largest |reading|, unless the column is constant. A column with no
    reading at all is frozen at 0, unless it has peers. O(N D log N).
    """
    present = np.isfinite(rows)
    count = np.maximum(present.sum(axis=0), 1)
    center = np.where(present.any(axis=0), _medians(rows, present, count), 0.0)
    deviation, lowest, highest = (np.empty(rows.shape[1]) for _ in range(3))
    _measure_spread(rows, present, center, count, deviation, lowest, highest)
    width = np.maximum(highest - lowest, 0.0)
    spread = np.where(width > 0.0, np.maximum(deviation, width / 6.0), 0.0)
    level = np.where(width > 0.0, np.maximum(np.abs(lowest), np.abs(highest)), np.inf)
    scale = spread + np.minimum(peer_floor * _peer_spread(center, groups), level_share * level)
    frozen = scale <= 0.0
    return Baseline(center, np.where(frozen, 1.0, scale), width == 0.0, frozen)


def no_finer(half: Baseline, whole: Baseline, *, share: float) -> Baseline:
    """The baseline of some of the rows with no scale below that share of the scale by all of them: some rows alone may
    have seen a column rest that moves at other times."""
    measured = np.where(half.frozen, 0.0, half.scale)
    least = np.where(whole.frozen, 1.0, share * whole.scale)
    return Baseline(half.center, np.maximum(measured, least), whole.constant, whole.frozen)


def _medians(rows: FloatArray, present: BoolArray, count: IntArray) -> FloatArray:
    """(D,) the median of each column's present cells, count (D,) of them."""
    columns = np.where(present.T, rows.T, np.inf)  # missing cells last
    low, high = (count - 1) // 2, count // 2
    columns.partition(np.unique([low, high]), axis=1)
    every = np.arange(len(columns))
    return np.asarray(0.5 * (columns[every, low] + columns[every, high]))


@njit(cache=True, nogil=True, error_model="numpy")
def _measure_spread(
    rows: FloatArray,
    present: BoolArray,
    center: FloatArray,
    count: IntArray,
    deviation: FloatArray,
    lowest: FloatArray,
    highest: FloatArray,
) -> None:
    """Standard deviation and ends of each column's present cells; 0, inf and -inf where there are none."""
    size = rows.shape[1]
    mean, squares = np.zeros(size), np.zeros(size)
    lowest[:], highest[:] = np.inf, -np.inf
    for t in range(rows.shape[0]):
        for j in range(size):  # a choice in place of a branch: the compiler makes vectors of it
            mean[j] += rows[t, j] - center[j] if present[t, j] else 0.0
            lowest[j] = min(lowest[j], rows[t, j] if present[t, j] else np.inf)
            highest[j] = max(highest[j], rows[t, j] if present[t, j] else -np.inf)
    mean /= count
    for t in range(rows.shape[0]):
        for j in range(size):
            away = rows[t, j] - center[j] - mean[j] if present[t, j] else 0.0
            squares[j] += away * away
    for j in range(size):
        deviation[j] = np.sqrt(squares[j] / count[j])


def _peer_spread(center: FloatArray, groups: IntArray) -> FloatArray:
    """(D,) median absolute deviation of the centers within each group of peers; 0 for groups too small."""
    spread = np.zeros(len(center))
    for group in range(int(groups.max(initial=-1)) + 1):
        peers = np.flatnonzero(groups == group)
        if len(peers) >= PEERS:
            levels = center[peers]
            spread[peers] = _median(np.abs(levels - _median(levels)))
    return spread


def _median(x: FloatArray) -> float:
    """Of finite numbers; many times as fast as numpy's for a few."""
    ordered = sorted(x.tolist())
    return float(0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]))


def standardise(rows: FloatArray, baseline: Baseline) -> FloatArray:
    """(T, D) deviations in units of the scale; a missing cell deviates by 0, by policy: it is evidence of nothing."""
    out = np.empty(rows.shape)
    _standardise(rows, baseline.center, baseline.scale, baseline.frozen, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _standardise(rows: FloatArray, center: FloatArray, scale: FloatArray, frozen: BoolArray, out: FloatArray) -> None:
    for t in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[t, j] = deviation_of(rows[t, j], center[j], scale[j], frozen[j])


@njit(cache=True, nogil=True, error_model="numpy")
def deviation_of(reading: float, center: float, scale: float, frozen: bool) -> float:
    """The deviation of one reading."""
    if not np.isfinite(reading):
        return 0.0
    offset = reading - center
    if not frozen:
        return offset / scale
    # it never moved, and gives no scale
    return FROZEN_JUMP * np.sign(offset) if abs(offset) > 1e-12 * abs(center) else 0.0


@dataclass(frozen=True, slots=True)
class PlainScale:
    """Mean and standard deviation (D,) as anybody would take them."""

    mean: FloatArray
    scale: FloatArray


def fit_plain_scale(rows: FloatArray) -> PlainScale:
    """The mean and deviation of rows (N, D), NaN = missing. A constant column gets a thousandth of its level for a
    scale, so that it is not lost."""
    present = np.isfinite(rows)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, rows, 0.0).sum(axis=0) / count
    scale = np.sqrt(np.where(present, (rows - mean) ** 2, 0.0).sum(axis=0) / count)
    least = np.where(mean == 0.0, 1.0, np.abs(mean)) * 1e-3
    return PlainScale(mean, np.where(scale > 1e-9 * least, scale, least))


def strength(z: FloatArray, ahead: FloatArray) -> FloatArray:
    """(D,) one size for deviations z (T, D): sqrt(lasting * mean) of |z|, between a peak and a lasting shift.

    lasting is the largest |z| that two neighbouring rows both reach: a spike of one row is what healthy variables have
    too. ahead: (D,) the row before, a neighbour of the first: a fault whose time is told a row late shows there. The
    last row has no next one yet, and needs none.

    >>> strength(np.array([[9.0, 3.0], [0.0, 3.0]]), np.array([0.0, 4.0])).round(1).tolist()
    [0.0, 3.0]
    """
    size = np.abs(z)
    earlier = np.concatenate([np.abs(ahead)[None], size[:-1]])
    lasting = np.maximum(np.minimum(size, earlier).max(axis=0), size[-1])
    return np.asarray(np.sqrt(lasting * size.mean(axis=0)))


def first_row(z: FloatArray, *, over: float) -> IntArray:
    """(D,) the first row of z (T, D) where |z| exceeds `over`; T where none does."""
    hot = np.abs(z) > over
    return np.where(hot.any(axis=0), hot.argmax(axis=0), len(z))
