"""Calibration: many raw scores, each brought to a scale on which 1.0 is its own line.

A scorer's line is the .99 quantile of its past, kept in a histogram that anomalies hardly move: one excursion over the
line brings few of its rows into it. Young scores are held down by 1 + 100 / (n + 1), for a quantile of n rows promises
nothing beyond 1 / n. Against a reservoir of past scores this is exact to a bin's width, needs no dice, and forgets
slowly, by letting the weights of new rows grow.

What is promised of stationary scores (tests/test_combine_calibration.py holds it to exact binomial bounds):

- Independent scores are over the line at the stated rate, 1 - quantile, within the bounds of that binomial: each row's
  rank among those before it is independent of all other ranks (Renyi 1962), so the rows over the line are coin tosses.
- Earlier they are over it less often: from the 50th row on for any tail that falls at least like 1 / x, for which n
  rows and the damping together leave 1 / (n + 101).
- Scores that repeat (constants, counts, few levels) or that differ by less than a bin: at most the stated rate. A row
  equal to the line is not over it.
- Scores that follow one another smoothly: the rate over a long time is the stated one as long as excursions last some
  ten rows (measured: .0101 for a lag-one correlation of .9, .0088 with a daily season); rows of longer excursions that
  were not taken in come on top (.0184 for .99).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, State

SMALLEST = 2.0**-20  # lower edge of the second bin; smaller scores are alike
MANTISSA = 52  # bits of a float64's
OCTAVES = 45  # of bins: to some 3e7
ALIKE = 16  # rows that fell into one bin, and within half of it, are told apart by their own range
UNSETTLED = 10  # first rows of a scorer, which tell of its own start: its line is not made from them
HEAVY = 2.0**40  # weights grow until here, then all are scaled down: exactly, as it is a power of two
RENEWED = 4096  # rows
HIGHEST = 1000.0  # of a calibrated score: a line of zero must not make an infinite one

Arrays: TypeAlias = tuple[FloatArray, FloatArray, IntArray, FloatArray, IntArray]  # edges, bins, place, sums, counts
Options: TypeAlias = tuple[float, float, int, int, int, int]  # tail, growth, three numbers of rows, bits
Scorers: TypeAlias = tuple[Arrays, Options, IntArray]  # and those whose scores have their line at 1.0 already


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What the line of a scorer is made from.

    quantile: of a scorer's past that is its line.
    memory_rows: a row's weight is 1 / e of a new one's after so many rows.
    young_rows: scores are divided by 1 + young_rows / (n + 1).
    excursion_rows: so many rows of one excursion over the line are taken in at most, while young no more than
        1 - quantile of the rows judged (and two at least); it ends after so many quiet_rows.
    """

    quantile: float = 0.99
    memory_rows: int = 100_000
    young_rows: int = 100
    excursion_rows: int = 15
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
    """S scorers on one scale. Cost: some 15 ns a score, and 8 bytes a bin.

    bits: an octave of scores has 2 ** bits bins (a score's bin is read off its own bits): 5 makes a line exact to 2 %.
    """

    def __init__(self, scorers: int, settings: CalibrationSettings, *, bits: int = 5) -> None:
        s = settings
        tail, growth = 1.0 - s.quantile, 1.0 + 1.0 / s.memory_rows
        self._options: Options = (tail, growth, s.young_rows, s.excursion_rows, s.quiet_rows, bits)
        edges = _edges(bits)
        # Weight in all, weight above the place, weight of the next row; least and largest score seen in the place.
        sums = np.zeros((5, scorers))
        sums[2] = 1.0
        place = np.zeros(scorers, dtype=np.int64)  # the bin that holds the quantile
        # Rows taken in; over the line in this excursion; quiet since; judged; in the place since it is there.
        counts = np.zeros((5, scorers), dtype=np.int64)
        self._arrays: Arrays = (edges, np.zeros((scorers, len(edges) - 1)), place, sums, counts)

    def judge(self, raw: FloatArray, valid: BoolArray) -> FloatArray:
        """Calibrated scores (T, S) of raw ones (T, S), each judged before it is taken in; 0 where not valid or NaN.

        valid: (T, V), for scorers s, s + V, s + 2 V and so on in column s.
        """
        return self.measure(raw, valid)[0]

    def measure(self, raw: FloatArray, valid: BoolArray) -> tuple[FloatArray, FloatArray]:
        """The scores of :meth:`judge`, and the raw score (T, S) that each row's were held against; 0 where none was."""
        out, lines = np.zeros(raw.shape), np.zeros(raw.shape)
        _judge(raw, valid, (out, lines), self._arrays, self._options)
        return out, lines

    def scorers(self, own: IntArray) -> Scorers:
        """For :func:`calibrate`. own: the scorers that are taken at their word."""
        return self._arrays, self._options, own

    @property
    def ages(self) -> IntArray:
        """(S,) rows that each scorer has judged."""
        ages: IntArray = self._arrays[4][3]
        return ages

    def reopen(self, kept_rows: int) -> None:
        """Count as young again: the past weighs as so many rows at most from here on."""
        counts, sums = self._arrays[4], self._arrays[3]
        counts[3] = 0
        sums[2] = np.maximum(sums[2], sums[0] / kept_rows)

    def state(self) -> State:
        _, bins, place, sums, counts = self._arrays
        return {"bins": bins.copy(), "place": place.copy(), "sums": sums.copy(), "counts": counts.copy()}

    def load_state(self, state: State) -> None:
        for name, array in zip(("bins", "place", "sums", "counts"), self._arrays[1:], strict=True):
            array[:] = state[name]


def _edges(bits: int) -> FloatArray:
    """Lower edges of all bins, and the upper edge of the last."""
    shift = MANTISSA - bits
    first = int(np.float64(SMALLEST).view(np.int64)) >> shift
    numbers = first + np.arange(OCTAVES * 2**bits, dtype=np.int64)
    return np.concatenate([[0.0], (numbers << shift).view(np.float64)])


@njit(cache=True, nogil=True, error_model="numpy")
def calibrate(scores: FloatArray, valid: BoolArray, scorers: Scorers) -> None:
    """What :meth:`Calibration.measure` does, and scorers that are calibrated already are taken at their word.

    scores: (3, T, S) the raw ones; the calibrated ones, and what they were held against, are written.
    """
    arrays, options, own = scorers
    raw, out, lines = scores[0], scores[1], scores[2]
    out[:], lines[:] = 0.0, 0.0
    _judge(raw, valid, (out, lines), arrays, options)
    for s in own:
        for t in range(raw.shape[0]):
            out[t, s] = raw[t, s] * valid[t, s % valid.shape[1]]


@njit(cache=True, nogil=True, error_model="numpy")
def _bin(raw: float, bits: int) -> int:
    """0 below SMALLEST, and from 1 on by the score's exponent and the first bits of its mantissa."""
    if raw < SMALLEST:
        return 0
    shift = MANTISSA - bits
    first = np.float64(SMALLEST).view(np.int64) >> shift
    return 1 + int((np.float64(raw).view(np.int64) >> shift) - first)


@njit(cache=True, nogil=True, error_model="numpy")
def _range(low: float, high: float, least: float, largest: float, here: int) -> tuple[float, float]:
    """Between what the scores of a bin lie: its edges, or what was seen of them where that is much less."""
    if here >= ALIKE and largest - least < 0.5 * (high - low):
        return least, largest
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _allowed(age: int, tail: float, excursion: int) -> int:
    """Rows of one excursion that are taken in: never more than the tail holds of the past, or one fault early in a
    system's life would be its line, and the next one would not be over it. Two always, for lone rows are no fault."""
    return min(excursion, max(2, int(tail * age)))


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(
    raw: FloatArray, valid: BoolArray, judged: tuple[FloatArray, FloatArray], arrays: Arrays, options: Options
) -> None:
    """All of it in one body, for handing arrays on costs more than the work; scorer by scorer, so that a histogram
    stays near while its rows pass."""
    out, lines = judged
    edges, bins, place, sums, counts = arrays
    tail, growth, young, excursion, quiet, bits = options
    for s in range(raw.shape[1]):
        p, total, above, weight = place[s], sums[0, s], sums[1, s], sums[2, s]
        least, largest = sums[3, s], sums[4, s]
        seen, over, since, age, here = counts[0, s], counts[1, s], counts[2, s], counts[3, s], counts[4, s]
        for t in range(raw.shape[0]):
            x = raw[t, s]
            if not valid[t, s % valid.shape[1]] or np.isnan(x):
                continue
            if seen > 0:
                inside = (above + bins[s, p] - tail * total) / bins[s, p]
                low, high = _range(edges[p], edges[p + 1], least, largest, here)
                line = max(low + (high - low) * inside, SMALLEST)
                lines[t, s] = line * (1.0 + young / (age + 1.0))
                out[t, s] = min(x / lines[t, s], HIGHEST)
            since = 0 if out[t, s] > 1.0 else since + 1
            over = 0 if since > quiet else over + (since == 0)
            age += 1
            if age <= UNSETTLED or over > _allowed(age, tail, excursion):
                continue
            b = min(bins.shape[1] - 1, _bin(x, bits))
            bins[s, b] += weight
            seen, total, weight = seen + 1, total + weight, weight * growth
            if b > p or seen % RENEWED == 0:  # summed anew, so that rounding does not add up
                above = 0.0
                for i in range(p + 1, bins.shape[1]):
                    above += bins[s, i]
            # Move the place, so that more than the tail lies in it and above, and at most the tail above.
            before = p
            while above > tail * total:
                p += 1
                above -= bins[s, p]
            while p > 0 and above + bins[s, p] <= tail * total:
                above += bins[s, p]
                p -= 1
            here = here if p == before else 0
            if b == p:
                least, largest = (min(least, x), max(largest, x)) if here > 0 else (x, x)
                here += 1
        place[s], sums[0, s], sums[1, s], sums[2, s] = p, total, above, weight
        sums[3, s], sums[4, s] = least, largest
        counts[0, s], counts[1, s], counts[2, s], counts[3, s], counts[4, s] = seen, over, since, age, here
        if total > HEAVY:
            for i in range(bins.shape[1]):
                bins[s, i] /= HEAVY
            sums[:3, s] /= HEAVY
