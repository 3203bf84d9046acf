"""A threshold that keeps a promise: one false alarm in so many quiet rows, from the statistic's own past."""

import numpy as np

from detectors.block import FloatArray

BODY = 0.95  # quantile above which the statistic's tail begins; from .8 on it was taken for heavier than it is
APART = 4  # rows between two peaks that count as two: as many as the longest moving sum spans
FEWEST_PEAKS = 5
SAFETY_ROWS = 120  # the lines were drawn from the same past, which then looks quieter than it was, a short one most


def alarm_threshold(past: FloatArray, *, rows_per_alarm: float) -> float | None:
    """The level that quiet rows like past (N,) exceed once in rows_per_alarm rows, in expectation.

    Peaks over u, the 95 % quantile, at least 4 rows apart; their excesses are taken for exponential with mean b. With
    m peaks the predictive tail is (1 + x / (m b))^-m, so that q = u + m b ((m R / N)^(1/m) - 1): few peaks give a
    higher threshold. R = (1 + 120 / N) rows_per_alarm. None with fewer than 5 peaks. O(N log N). (Ours; exponential
    tails are those of peaks over threshold, Pickands 1975, at shape 0.)
    """
    body = float(np.quantile(past, BODY)) if len(past) else 0.0
    excesses = declustered_peaks(past, body) - body
    count = len(excesses)
    if count < FEWEST_PEAKS:
        return None
    promised = rows_per_alarm * (1.0 + SAFETY_ROWS / len(past))
    growth = (count * promised / len(past)) ** (1.0 / count) - 1.0
    return body + count * float(excesses.mean()) * max(float(growth), 0.0)


def declustered_peaks(past: FloatArray, level: float) -> FloatArray:
    """The maxima of the runs above level; runs less than 4 rows apart are one.

    >>> declustered_peaks(np.array([0.0, 3.0, 0.0, 2.0] + [0.0] * 4 + [5.0]), 1.0)
    array([3., 5.])
    """
    over = np.flatnonzero(past > level)
    if not len(over):
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(over, prepend=over[0] - APART) >= APART)
    return np.asarray(np.maximum.reduceat(past[over], starts))
