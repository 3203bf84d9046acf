"""Slow and obvious twins of the kernels of detectors.causes."""

import numpy as np
from numpy.typing import NDArray

from detectors.causes.conditional import LARGEST_LEVERAGE, with_lags
from detectors.causes.descent import RATE, STAGES, Limits, factor_inside
from detectors.causes.deviation import Baseline, standardise
from detectors.causes.exceedance import HORIZONS, LEAST_LINE, TAIL, log_excess
from detectors.causes.shares import DRIFT, NEW_ROWS, PARTNERS, QUIET_ROWS, Levels

Array = NDArray[np.float64]

LOUDEST = 3  # variables that make the statistic of the change trigger


def slow_center_and_spread(rows: Array) -> tuple[Array, Array, Array]:
    """Median, max(deviation, range / 6) and range of each column of rows (N, D), of what is there."""
    present = np.isfinite(rows)
    seen = present.any(axis=0)
    count = np.maximum(present.sum(axis=0), 1)
    ordered = np.where(seen, np.sort(np.where(present, rows, np.inf), axis=0), 0.0)  # missing cells last
    columns = np.arange(rows.shape[1])
    low, high = ordered[(count - 1) // 2, columns], ordered[count // 2, columns]
    center = np.where(seen, 0.5 * (low + high), 0.0)
    offsets = np.where(present, rows - center, 0.0)
    mean = offsets.sum(axis=0) / count
    deviation = np.sqrt(np.where(present, (offsets - mean) ** 2, 0.0).sum(axis=0) / count)
    width = np.where(seen, ordered[count - 1, columns] - ordered[0, columns], 0.0)
    return center, np.where(width > 0.0, np.maximum(deviation, width / 6.0), 0.0), width


def slow_conditional(z: Array, *, lags: int, ridge: float, ridge_per_weight: float, floor: float) -> Array:
    """The weights ((lags + 1) D, D) of the conditional model of deviations z (N, D)."""
    rows = with_lags(z, lags)
    count, width = rows.shape
    strength = max(ridge, ridge_per_weight * width / count)
    precision = np.linalg.inv(rows.T @ rows / count + strength * np.eye(width))
    size = z.shape[1]
    diagonal = np.diag(precision)[:size]
    projected = rows @ precision
    residuals = projected[:, :size] / diagonal
    joint = np.einsum("ij,ij->i", projected, rows)[:, None]
    leverage = np.minimum((joint - diagonal * residuals**2) / count, LARGEST_LEVERAGE)
    left_out = residuals / (1.0 - leverage)
    scale = np.maximum(np.sqrt((left_out**2).mean(axis=0)), floor)
    weights: Array = precision[:, :size] / (diagonal * scale)
    return weights


def slow_strength(z: Array, ahead: Array) -> Array:
    """(D,) sqrt(what two neighbouring rows both reach, or the last one alone, * mean) of |z| (T, D)."""
    size = np.abs(np.vstack([ahead, z]))
    pairs = [np.minimum(size[t], size[t + 1]) for t in range(len(z))]
    return np.asarray(np.sqrt(np.max([*pairs, size[-1]], axis=0) * size[1:].mean(axis=0)))


def slow_share_shift(before: dict[int, Levels], rows: Array, after: Array) -> Array:
    """(D,) the shift of level shares of those columns, from rows (N, D) to after (T, D), all of whose readings are on
    known levels."""
    shifts, alone = np.zeros(after.shape[1]), {j: _slow_excess(rows, after, before, j, None) for j in before}
    partners = sorted(before, key=lambda k: -max(alone[k], 0.0))[:PARTNERS]
    for j, levels in before.items():
        found = [max(alone[j], 0.0)]
        for k in partners:
            pairs = len(levels.known) * len(before[k].known)
            if k != j and len(rows) >= QUIET_ROWS * pairs and len(after) >= NEW_ROWS * pairs:
                found.append(max(_slow_excess(rows, after, before, j, k), 0.0))
        shifts[j] = np.sqrt(np.mean(found))
    return shifts


def _slow_excess(rows: Array, after: Array, before: dict[int, Levels], j: int, k: int | None) -> float:
    half = len(rows) // 2
    levels, given = before[j].known, before[k].known if k is not None else np.zeros(1)

    def table(some: Array) -> Array:
        held = some[:, k] if k is not None else np.zeros(len(some))
        return np.array([[((held == g) & (some[:, j] == level)).sum() for level in levels] for g in given])

    def excess(some: Array) -> float:
        counts, known = table(some), table(rows) + 0.5
        expected = counts.sum(axis=1, keepdims=True) * known / known.sum(axis=1, keepdims=True)
        there = counts.sum(axis=1) > 0
        chi_square = ((counts - expected)[there] ** 2 / expected[there]).sum()
        return float(before[j].independence * chi_square - there.sum() * (len(levels) - 1))

    drift = max(excess(rows[:half]), excess(rows[half:]), 0.0)
    return excess(after) - DRIFT * drift * max(1.0, len(after) / half)


def slow_moving_sums(signals: Array, horizon: int) -> Array:
    """(N - horizon + 1, M) of signals (N, M)."""
    total = np.concatenate([np.zeros((1, signals.shape[1])), np.cumsum(signals, axis=0)])
    sums: Array = np.abs(total[horizon:] - total[:-horizon]) / np.sqrt(horizon)
    return sums


def slow_lines(signals: Array) -> Array:
    """(3, M) of signals (N, M)."""
    lines = np.full((len(HORIZONS), signals.shape[1]), LEAST_LINE)
    for line, horizon in zip(lines, HORIZONS, strict=True):
        ordered = np.sort(slow_moving_sums(signals, horizon), axis=0)
        start = int(np.ceil((1.0 - TAIL) * len(ordered)))
        body = ordered[start - 1]
        excess = (ordered[start:] - body).mean(axis=0) if start < len(ordered) else 0.0
        np.maximum(line, body + np.log(TAIL / 0.01) * excess, out=line)
    return lines


def slow_statistics(signals: Array, lines: Array, cap: float) -> Array:
    """(N,) the change trigger's statistic of each row of signals (N, 2 D)."""
    excess = np.zeros(signals.shape)
    for line, horizon in zip(lines, HORIZONS, strict=True):
        over = log_excess(slow_moving_sums(signals, horizon), line, cap)
        np.maximum(excess[horizon - 1 :], over, out=excess[horizon - 1 :])
    return slow_statistic(excess)


def slow_statistic(excess: Array) -> Array:
    """(...,) the statistic of the log excess (..., 2 D): the three largest variables, each by its larger signal."""
    size = excess.shape[-1] // 2
    profile = np.sqrt(np.maximum(excess[..., :size], excess[..., size:]))
    statistic: Array = np.sort(profile, axis=-1)[..., -LOUDEST:].sum(axis=-1)
    return statistic


def slow_signals(rows: Array, baseline: Baseline, weights: Array) -> Array:
    """(T - 1, 2 D) deviations beside residuals of rows (T, D)."""
    z = standardise(rows, baseline)
    return np.hstack([z[1:], with_lags(z, 1) @ weights])


def slow_descend(correlation: Array, start: Array, limits: Limits, iterations: int) -> Array:
    """Weights (N, D) of the learned graph after some iterations from the start, when all columns are candidates."""
    count = start.shape[1]
    weights = np.where(limits.free, start, limits.center)
    weights[:count] *= factor_inside(weights[:count])
    for stage in STAGES:
        mean, square = np.zeros_like(start), np.zeros_like(start)
        for step in range(1, iterations // len(STAGES) + 1):
            slope = stage * (correlation @ weights - correlation[:, :count])
            within = weights[:count]
            slope[:count] += 2 * within * np.linalg.inv(np.eye(count) - within**2).T
            mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
            rate = RATE / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
            away = weights - rate * mean / (1 - 0.9**step) - limits.center
            left = np.maximum(0.0, np.abs(away) - rate * stage * limits.penalty)
            weights = limits.center + np.sign(away) * left * limits.free
            weights[:count] *= factor_inside(weights[:count])
        for i, j in np.argwhere(np.abs(weights[:count]) < np.abs(weights[:count].T)):
            weights[i, j] = limits.center[i, j]
    return weights
