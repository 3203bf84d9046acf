"""The row machine of the change trigger, compiled: it takes rows until something rare happens.

Each row is judged by the model, held against the threshold, and waits to be learned unless a change is on. The rare
things, a trigger, a refit and a full ring, are the caller's (see :mod:`detectors.causes.change`).
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit

from detectors.block import FloatArray, IntArray
from detectors.causes.exceedance import HORIZONS, sum_of_largest
from detectors.causes.ring import Arrays as RingArrays
from detectors.causes.ring import copy, has_room, push
from detectors.causes.signals import Fit, advance, all_finite, exceed

FIRST_FIT = 20  # quiet rows
REFIT = 0.12  # of the quiet rows known, up to twice that for a full past: refits are rare where they matter little
OWN_PAST = 30  # rows a model judged, before a line means anything
RECORD_SHARE = 0.9  # until calibrated, an alarm must nearly beat all rows before it
BEYOND_CHANCE = 4.5  # or this: three variables at some ten times their lines; a fault is no record for the next one
STARTED_IN_FAULTS = 0.25  # of the rows learned: so many beyond chance are left out while uncalibrated
LATENCY = 3  # rows a row waits before it is learned: an alarm takes back the last ones
FELL = 0.6  # of the threshold: below, the change is over
FADE = 0.9  # of a held profile is left a row later, where it is no longer seen
RAISE = 0.2  # of the threshold, for each alarm more than promised
PATIENCE = 0.5  # of the quiet rows known, at most accept_rows: a change held longer is learned

LEARNED, FITTED, HELD, OLDEST, WAITING, RECENT, KNOWN, LEFT_OUT = range(8)  # the places in Carry.counts
RECORD, SURPLUS = range(2)  # and in Carry.levels

Past: TypeAlias = tuple[RingArrays, RingArrays]  # quiet rows (N, D), and the signals (N, 2 D) of those judged
Options: TypeAlias = tuple[float, float, int, float, int]  # prior threshold, cap, accept_rows, decay, history_rows


class Carry(NamedTuple):
    """What the trigger knows beside its past and its model, changed in place.

    counts: quiet rows learned, and at the last fit (0: none); rows of the change that is on (0: none); the place of
    the row that has waited longest, and how many wait; rows seen; the last one's number among those with signals; rows
    left out of the past before it was calibrated.
    levels: highest statistic until calibrated; alarms more than promised: 1 an alarm, less rows / rows_per_false_alarm.
    held: (D,) profile of the change that is on; zeros: none.
    waiting: (LATENCY, 3 D) rows not yet learned, with their signals, NaN: not judged; they go round. recent: (5, D) the
    last rows, whatever they are, and signals: (4, 2 D) theirs by the model: each at its number modulo 5, and 4.
    """

    counts: IntArray
    levels: FloatArray
    held: FloatArray
    waiting: FloatArray
    recent: FloatArray
    signals: FloatArray


def empty_carry(variables: int) -> Carry:
    """That of a trigger that has seen nothing."""
    longest = HORIZONS[-1]
    return Carry(
        counts=np.zeros(8, dtype=np.int64),
        levels=np.zeros(2),
        held=np.zeros(variables),
        waiting=np.zeros((LATENCY, 3 * variables)),
        recent=np.zeros((longest + 1, variables)),
        signals=np.zeros((longest, 2 * variables)),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def follow(
    rows: FloatArray, start: int, fit: Fit, threshold: float, past: Past, carry: Carry, options: Options
) -> tuple[int, bool, bool, float, float, bool]:
    """Take rows (T, D) from start on, up to the first that fires or makes a refit due, or while the past has room.

    threshold: NaN if not calibrated. Returns the row after the last one taken; of that one whether it fires, whether
    a refit is due, its statistic, the limit, and whether that is calibrated.
    """
    profile, seen = np.zeros(rows.shape[1]), np.full(2 * rows.shape[1], np.nan)
    statistic, limit, calibrated = 0.0, np.inf, False
    for t in range(start, rows.shape[0]):
        if not (has_room(past[0]) and has_room(past[1])):
            return t, False, False, statistic, limit, calibrated
        row, judged = rows[t], past[1][1][1]
        copy(row, carry.recent[carry.counts[RECENT] % carry.recent.shape[0]])
        carry.counts[RECENT] += 1
        if carry.counts[FITTED] > 0:
            statistic = _judge(row, fit, options[1], carry, profile)
            copy(carry.signals[carry.counts[KNOWN] % carry.signals.shape[0]], seen)
        limit, calibrated = _limit(threshold, judged, carry, options)
        fired = _is_new(statistic, profile, limit, carry)
        carry.levels[SURPLUS] = max(0.0, carry.levels[SURPLUS] - options[3]) + fired
        may_leave = not calibrated and carry.counts[LEFT_OUT] < STARTED_IN_FAULTS * carry.counts[LEARNED]
        if fired and (calibrated or (may_leave and statistic >= BEYOND_CHANCE)):
            carry.counts[WAITING] = 0
        if not calibrated and judged >= OWN_PAST and not (may_leave and statistic >= BEYOND_CHANCE):
            carry.levels[RECORD] = max(carry.levels[RECORD], statistic)
        _hold(fired, statistic, profile, limit, carry)
        on = carry.counts[HELD]
        is_left_out = may_leave and on > 0 and sum_of_largest(carry.held) >= BEYOND_CHANCE
        carry.counts[LEFT_OUT] += is_left_out
        if on == 0 or not (calibrated or is_left_out) or on > min(options[2], PATIENCE * carry.counts[LEARNED]):
            _wait(row, seen, past, carry)
        is_due = _is_due(carry.counts, options[4])
        if fired or is_due:
            return t + 1, fired, is_due, statistic, limit, calibrated
    return rows.shape[0], False, False, statistic, limit, calibrated


@njit(cache=True, nogil=True, error_model="numpy")
def take_up(fit: Fit, carry: Carry) -> None:
    """Judge by this model from now on, as if it had judged the last rows too."""
    count, size = carry.counts[RECENT], carry.recent.shape[0]
    carry.signals[:] = 0.0
    carry.counts[KNOWN] = -1
    for number in range(max(0, count - size), count):
        carry.counts[KNOWN] += 1
        advance(carry.recent[number % size], carry.counts[KNOWN], fit, carry.signals)


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(row: FloatArray, fit: Fit, cap: float, carry: Carry, profile: FloatArray) -> float:
    """The statistic of the newest row; its profile (D,) is written."""
    carry.counts[KNOWN] += 1
    advance(row, carry.counts[KNOWN], fit, carry.signals)
    return float(exceed(carry.signals, carry.counts[KNOWN], fit[4], cap, profile))


@njit(cache=True, nogil=True, error_model="numpy")
def _limit(threshold: float, judged: int, carry: Carry, options: Options) -> tuple[float, bool]:
    """What a statistic is held against, and whether that is calibrated."""
    if judged < OWN_PAST:
        return np.inf, False
    if not np.isnan(threshold):
        return threshold * (1.0 + RAISE * max(0.0, carry.levels[SURPLUS] - 1.0)), True
    return max(options[0], min(RECORD_SHARE * carry.levels[RECORD], BEYOND_CHANCE)), False


@njit(cache=True, nogil=True, error_model="numpy")
def _is_new(statistic: float, profile: FloatArray, limit: float, carry: Carry) -> bool:
    """Nothing was on, or what came on top of it passes the limit by itself."""
    if statistic < limit or statistic <= 0.0:
        return False
    if 0 < carry.counts[HELD] <= HORIZONS[-1]:  # the moving sums still fill
        return False
    news = np.empty(profile.shape[0])
    for j in range(news.shape[0]):
        news[j] = max(profile[j] - carry.held[j], 0.0)
    return bool(sum_of_largest(news) >= limit)


@njit(cache=True, nogil=True, error_model="numpy")
def _hold(fired: bool, statistic: float, profile: FloatArray, limit: float, carry: Carry) -> None:
    """Remember the change that is on, so that it fires once, until it is over."""
    held, counts = carry.held, carry.counts
    if fired:
        copy(profile, held)
        counts[HELD] = 1
    elif counts[HELD] > 0 and statistic < FELL * limit:
        held[:], counts[HELD] = 0.0, 0
    elif counts[HELD] > 0:
        counts[HELD] += 1
        for j in range(held.shape[0]):
            faded = FADE * held[j]
            held[j] = max(faded, profile[j]) if statistic >= limit else faded


@njit(cache=True, nogil=True, error_model="numpy")
def _wait(row: FloatArray, seen: FloatArray, past: Past, carry: Carry) -> None:
    """A row (D,) waits with its signals (2 D,), and the one that has waited longest is learned."""
    waiting, counts, size = carry.waiting, carry.counts, row.shape[0]
    place = (counts[OLDEST] + counts[WAITING]) % LATENCY
    if counts[WAITING] == LATENCY:
        push(past[0], waiting[place, :size])
        counts[LEARNED] += 1
        if all_finite(waiting[place, size:]):
            push(past[1], waiting[place, size:])
        counts[OLDEST] = (place + 1) % LATENCY
    else:
        counts[WAITING] += 1
    copy(row, waiting[place, :size])
    copy(seen, waiting[place, size:])


@njit(cache=True, nogil=True, error_model="numpy")
def _is_due(counts: IntArray, full: int) -> bool:
    """Whether enough quiet rows are new since the last fit; full: the most that are kept."""
    known = min(counts[FITTED], full)
    rest = REFIT * known * (1.0 + known / full)
    new = counts[LEARNED] - counts[FITTED]
    return bool(counts[LEARNED] >= FIRST_FIT and (counts[FITTED] == 0 or new >= rest))
