"""The damped line of the combined score: it rises a little while a system is restless, and never by more than half.

    line = clip(exp(.3 (a - c)), 1, 1.25) + min(.04 max(0, x - 3), .25)

a and c follow the .8 quantile of the log score over some 2,000 and 30,000 rows; x is a leaky bucket that each alert's
onset fills by 1. It is bounded damping, not a promised rate of alerts: on real systems a line that promises a rate
treats incidents as noise, and an attack of anomalies must not buy silence. One onset moves the line by 4 % at most.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, State

QUANTILE = 0.8


@dataclass(frozen=True, slots=True)
class LineSettings:
    """damped: False keeps the line at 1.0.

    fast_rows, slow_rows: how far back the two quantiles look.
    drift: the exponent of their difference; drift_limit: the most it raises the line to.
    bucket_free, bucket_step, bucket_limit, bucket_leak: onsets that cost nothing, what each further one raises the
    line by, the most all raise it by, and what leaks a row.
    excursion_rows: rows of one excursion that the quantiles take in; it ends after as many quiet rows.
    """

    damped: bool = True
    fast_rows: int = 2_000
    slow_rows: int = 30_000
    drift: float = 0.3
    drift_limit: float = 1.25
    bucket_free: float = 3.0
    bucket_step: float = 0.04
    bucket_limit: float = 0.25
    bucket_leak: float = 0.004
    excursion_rows: int = 10

    def __post_init__(self) -> None:
        if self.drift_limit < 1:
            raise ValueError(f"drift_limit must be at least 1.0, got {self.drift_limit}")
        if not 0 < self.fast_rows <= self.slow_rows:
            raise ValueError(f"fast_rows must be from 1 to slow_rows={self.slow_rows}, got {self.fast_rows}")


class Line:
    """Follows the combined score. Cost: some 30 ns a row."""

    def __init__(self, settings: LineSettings) -> None:
        self._settings = settings
        self._levels = np.zeros(3)  # fast quantile, slow quantile, bucket
        self._counts = np.zeros(3, dtype=np.int64)  # rows seen, rows of the open excursion, quiet rows since

    def follow(self, scores: FloatArray, judged: BoolArray) -> tuple[FloatArray, IntArray]:
        """(T,) the line each row's score was held against, and (T,) its place in an excursion, from 1 (0: in none)."""
        lines = np.ones(len(scores))
        places = np.zeros(len(scores), dtype=np.int64)
        s = self._settings
        drift = (s.drift if s.damped else 0.0, s.drift_limit, 1.0 / s.fast_rows, 1.0 / s.slow_rows)
        bucket = (s.bucket_free, s.bucket_step if s.damped else 0.0, s.bucket_limit, s.bucket_leak)
        _follow(scores, judged, lines, places, self._levels, self._counts, drift, bucket, s.excursion_rows)
        return lines, places

    def state(self) -> State:
        return {"levels": self._levels.copy(), "counts": self._counts.copy()}

    def load_state(self, state: State) -> None:
        self._levels[:] = state["levels"]
        self._counts[:] = state["counts"]


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    scores: FloatArray,
    judged: BoolArray,
    lines: FloatArray,
    places: IntArray,
    levels: FloatArray,
    counts: IntArray,
    drift: tuple[float, float, float, float],
    bucket: tuple[float, float, float, float],
    excursion: int,
) -> None:
    for t in range(scores.shape[0]):
        raised = min(max(np.exp(drift[0] * (levels[0] - levels[1])), 1.0), drift[1])
        lines[t] = raised + min(bucket[1] * max(0.0, levels[2] - bucket[0]), bucket[2])
        levels[2] = max(0.0, levels[2] - bucket[3])
        if not judged[t]:
            continue
        if scores[t] > lines[t]:
            levels[2] += counts[1] == 0
            counts[1] += 1
            counts[2] = 0
        else:
            counts[2] += 1
            if counts[2] > excursion:
                counts[1] = 0
            elif counts[1] > 0:
                counts[1] += 1
        places[t] = counts[1]
        if counts[1] <= excursion:
            counts[0] += 1
            log = np.log(max(scores[t], 1e-6))
            for i in range(2):
                rate = max(drift[2 + i], 1.0 / counts[0])
                levels[i] += 1.5 * rate * ((log > levels[i]) - (1.0 - QUANTILE))
