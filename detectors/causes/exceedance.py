"""How far variables are over their own lines, all at once: the statistic of the `change` trigger.

Each variable has two signals (its deviation, and its residual given the others), each looked at over the last 1, 2 and
4 rows. A signal's line is its own past 99 % point at that horizon.
"""

import numpy as np

from detectors.block import FloatArray

HORIZONS = (1, 2, 4)  # rows of the moving sums
LEAST_LINE = 2.5  # standard deviations: a signal that never moved is not over its line by moving at all
TAIL = 0.1  # the share of a signal's past that its line is drawn from
LOUDEST = 3  # variables that make the statistic: faults start in few


def moving_sums(signals: FloatArray, horizon: int) -> FloatArray:
    """(N - horizon + 1, M) |sum of the last rows| / sqrt(horizon) of signals (N, M)."""
    total = np.concatenate([np.zeros((1, signals.shape[1])), np.cumsum(signals, axis=0)])
    return np.asarray(np.abs(total[horizon:] - total[:-horizon]) / np.sqrt(horizon))


def fit_lines(signals: FloatArray) -> FloatArray:
    """(3, M) the 99 % point of each signal's past (N, M) at each horizon, N >= 8.

    Read off an exponential tail over the 90 % point rather than counted: with few rows the 99 % point would be their
    maximum. O(N log N M).
    """
    lines = np.full((len(HORIZONS), signals.shape[1]), LEAST_LINE)
    for line, horizon in zip(lines, HORIZONS, strict=True):
        ordered = np.sort(moving_sums(signals, horizon), axis=0)
        start = int(np.ceil((1.0 - TAIL) * len(ordered)))
        body = ordered[start - 1]
        excess = (ordered[start:] - body).mean(axis=0) if start < len(ordered) else 0.0
        np.maximum(line, body + np.log(TAIL / 0.01) * excess, out=line)
    return lines


def log_excess(sums: FloatArray, lines: FloatArray, cap: float) -> FloatArray:
    """log of how many times sums are over their lines, 0 below, at most cap."""
    times = np.log(np.maximum(sums, 1e-300)) - np.log(lines)  # a line may be infinite
    return np.asarray(np.clip(times, 0.0, cap))


def profile(excess: FloatArray) -> FloatArray:
    """(..., D) one size a variable from the log excess of its two signals (..., 2 D)."""
    count = excess.shape[-1] // 2
    return np.asarray(np.sqrt(np.maximum(excess[..., :count], excess[..., count:])))


def loudest(profiles: FloatArray) -> FloatArray:
    """(...,) the statistic: the sum of the three largest of (..., D)."""
    return np.asarray(np.sort(profiles, axis=-1)[..., -LOUDEST:].sum(axis=-1))


def past_statistics(signals: FloatArray, lines: FloatArray, cap: float) -> FloatArray:
    """(N,) the statistic of each row of the past signals (N, 2 D), by today's lines."""
    excess = np.zeros(signals.shape)
    for line, horizon in zip(lines, HORIZONS, strict=True):
        over = log_excess(moving_sums(signals, horizon), line, cap)
        np.maximum(excess[horizon - 1 :], over, out=excess[horizon - 1 :])
    return loudest(profile(excess))
