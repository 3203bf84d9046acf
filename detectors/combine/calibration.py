"""Calibration: many raw scores, each brought to a scale on which 1.0 is its own line.

A scorer's line is the .99 quantile of its past, kept in a histogram over log scores that anomalies hardly move: one
excursion over the line brings few of its rows into it. Young scores are held down by 1 + 100 / (n + 1), for a quantile
of n rows promises nothing beyond 1 / n. Against a reservoir of past scores this is exact to a bin's width, needs no
dice, and forgets slowly, by letting the weights of new rows grow.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, State

SMALLEST = 1e-6  # lower edge of the second bin; smaller scores are alike
HEAVY = 1e9  # weights grow until here, then all are scaled down
HIGHEST = 1000.0  # of a calibrated score: a line of zero must not make an infinite one

Arrays: TypeAlias = tuple[FloatArray, FloatArray, IntArray, FloatArray, IntArray]  # edges, bins, place, sums, counts
Options: TypeAlias = tuple[float, float, int, int, int]  # tail, growth, young, excursion and quiet rows


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What the line of a scorer is made from.

    quantile: of a scorer's past that is its line.
    memory_rows: a row's weight is 1 / e of a new one's after so many rows.
    young_rows: scores are divided by 1 + young_rows / (n + 1).
    excursion_rows: so many rows of one excursion over the line are taken in; it ends after so many quiet_rows.
    """

    quantile: float = 0.99
    memory_rows: int = 100_000
    young_rows: int = 100
    excursion_rows: int = 20
    quiet_rows: int = 3

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile must be from 0.5 to below 1, got {self.quantile}")
        if self.memory_rows < 100:
            raise ValueError(f"memory_rows must be at least 100, got {self.memory_rows}")
        if min(self.young_rows, self.excursion_rows, self.quiet_rows) < 0:
            raise ValueError(
                "young_rows, excursion_rows and quiet_rows must be at least 0, "
                f"got {self.young_rows}, {self.excursion_rows} and {self.quiet_rows}"
            )


class Calibration:
    """S scorers on one scale. Cost: some 15 ns a score, 8 bytes a bin.

    ratio: width of a bin, as a factor: a line is exact to so much. bins: so many from SMALLEST on.
    arrays, options: the state and the settings as kernels take them.
    """

    def __init__(self, scorers: int, settings: CalibrationSettings, *, ratio: float = 1.02, bins: int = 1500) -> None:
        s = settings
        tail, growth = 1.0 - s.quantile, 1.0 + 1.0 / s.memory_rows
        self.options: Options = (tail, growth, s.young_rows, s.excursion_rows, s.quiet_rows)
        edges = SMALLEST * np.exp(np.log(ratio) * np.arange(-1, bins))  # lower edges
        sums = np.zeros((3, scorers))  # weight in all, weight above the place, weight of the next row
        sums[2] = 1.0
        place = np.zeros(scorers, dtype=np.int64)  # the bin that holds the quantile
        counts = np.zeros((3, scorers), dtype=np.int64)  # rows taken in; over the line in this excursion; quiet since
        self.arrays: Arrays = (edges, np.zeros((scorers, bins)), place, sums, counts)

    def judge(self, raw: FloatArray, valid: BoolArray) -> FloatArray:
        """Calibrated scores (T, S) of raw ones (T, S), each judged before it is taken in; 0 where not valid."""
        out = np.zeros(raw.shape)
        _judge_all(raw, valid, out, self.arrays, self.options)
        return out

    def state(self) -> State:
        _, bins, place, sums, counts = self.arrays
        return {"bins": bins.copy(), "place": place.copy(), "sums": sums.copy(), "counts": counts.copy()}

    def load_state(self, state: State) -> None:
        for name, array in zip(("bins", "place", "sums", "counts"), self.arrays[1:], strict=True):
            array[:] = state[name]


@njit(cache=True, nogil=True, error_model="numpy")
def _judge_all(raw: FloatArray, valid: BoolArray, out: FloatArray, arrays: Arrays, options: Options) -> None:
    for t in range(raw.shape[0]):
        for s in range(raw.shape[1]):
            if valid[t, s]:
                out[t, s] = judge_one(raw[t, s], s, arrays, options)


@njit(cache=True, nogil=True, error_model="numpy")
def judge_one(raw: float, s: int, arrays: Arrays, options: Options) -> float:
    """The calibrated score of one raw score of scorer s, which is taken in afterwards."""
    edges, bins, place, sums, counts = arrays
    tail, growth, young, excursion, quiet = options
    score = 0.0
    if counts[0, s] > 0:
        line = max(_line(bins[s], edges, place[s], sums[:, s], tail), SMALLEST)
        score = min(raw / line / (1.0 + young / (counts[0, s] + 1.0)), HIGHEST)
    if score > 1.0:
        counts[1, s] += 1
        counts[2, s] = 0
    else:
        counts[2, s] += 1
        if counts[2, s] > quiet:
            counts[1, s] = 0
    if counts[1, s] <= excursion:
        _take(raw, bins[s], edges, place, sums, s, tail)
        sums[2, s] *= growth
        counts[0, s] += 1
    return score


@njit(cache=True, nogil=True, error_model="numpy")
def _line(bins: FloatArray, edges: FloatArray, place: int, sums: FloatArray, tail: float) -> float:
    """The quantile, interpolated inside its bin."""
    inside = (sums[1] + bins[place] - tail * sums[0]) / bins[place]
    return float(edges[place] + (edges[place + 1] - edges[place]) * inside)


@njit(cache=True, nogil=True, error_model="numpy")
def _take(
    raw: float, bins: FloatArray, edges: FloatArray, place: IntArray, sums: FloatArray, s: int, tail: float
) -> None:
    """Add one score and move the place, so that more than the tail lies in it and above, at most the tail above."""
    last = bins.shape[0] - 1
    b = 0
    if raw >= SMALLEST:
        b = min(last, 1 + int(np.log(raw / SMALLEST) / np.log(edges[1] / edges[0])))
    bins[b] += sums[2, s]
    sums[0, s] += sums[2, s]
    p, above = place[s], sums[1, s]
    if sums[0, s] > HEAVY:
        bins /= HEAVY
        sums[0, s], sums[2, s] = np.sum(bins), sums[2, s] / HEAVY
        above = np.sum(bins[p + 1 :])
    if b > p:
        above = np.sum(bins[p + 1 :])  # anew, so that rounding does not add up
    while above > tail * sums[0, s]:
        p += 1
        above -= bins[p]
    while p > 0 and above + bins[p] <= tail * sums[0, s]:
        above += bins[p]
        p -= 1
    place[s], sums[1, s] = p, above
