"""The one policy for missing and odd values, before any detector.

A reading that is NaN, infinite or absurd is missing: detectors leave it out of distances and averages, and learn
nothing from it. A variable that only ever rises is a counter: its steps are taken, and a fall (the counted process
started anew) is missing. Holding the last value in place of a missing one was measured, and is clearly worse.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray, Rows, State

LARGEST = 1e30  # memories keep readings in float32, and sums of squares must stay finite
NEVER = 1 << 40  # rows since a reading, for a variable never seen

# gap_rows, gone_rows, quorum, counter_rows, counter_rises, counter_falls
Limits: TypeAlias = tuple[int, int, float, int, float, float]


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """What counts as a gap, a counter, and enough readings.

    gap_rows: after more missing rows than this, a variable's lags and averages start anew.
    gone_rows: a variable missing for longer is no longer waited for.
    quorum: share of the variables (those not gone) that a row needs to be judged.
    counter_rows: so many steps are seen before a variable can be a counter.
    counter_rises, counter_falls: least share of rising and largest share of falling steps of a counter.
    """

    gap_rows: int = 10
    gone_rows: int = 720
    quorum: float = 0.5
    counter_rows: int = 200
    counter_rises: float = 0.2
    counter_falls: float = 0.002

    def __post_init__(self) -> None:
        if not 0 <= self.quorum <= 1:
            raise ValueError(f"quorum must be a share between 0 and 1, got {self.quorum}")
        if self.gap_rows < 1:
            raise ValueError(f"gap_rows must be at least 1, got {self.gap_rows}")


class Intake:
    """Turns blocks of raw values into the rows detectors see. Cost: some 5 ns a reading."""

    def __init__(self, variables: int, settings: IntakeSettings) -> None:
        s = settings
        self._limits: Limits = (s.gap_rows, s.gone_rows, s.quorum, s.counter_rows, s.counter_rises, s.counter_falls)
        self._raw = np.zeros(variables)  # last reading as it came
        self._held = np.zeros(variables)  # last value passed on: the stand-in for missing ones
        self._gap = np.full(variables, NEVER)  # rows since the last reading
        self._steps = np.zeros((3, variables), dtype=np.int64)  # steps seen, rises, falls
        self._counter = np.zeros(variables, dtype=np.bool_)
        self._row = 0

    @property
    def counters(self) -> BoolArray:
        """(D,) which variables are taken as counters."""
        return self._counter

    def read(self, values: FloatArray) -> Rows:
        """Rows for raw values (T, D); may be called with any number of rows."""
        shape = values.shape
        out = np.empty(shape)
        flags = np.zeros((3, *shape), dtype=np.bool_)
        quorum = np.empty(len(values), dtype=np.bool_)
        _read(values, out, flags, quorum, self._raw, self._held, self._gap, self._steps, self._counter, self._limits)
        rows = Rows(self._row, out, flags[0], flags[1], flags[2], quorum)
        self._row += len(values)
        return rows

    def state(self) -> State:
        return {
            "raw": self._raw.copy(),
            "held": self._held.copy(),
            "gap": self._gap.copy(),
            "steps": self._steps.copy(),
            "counter": self._counter.copy(),
            "row": np.array(self._row),
        }

    def load_state(self, state: State) -> None:
        self._raw[:] = state["raw"]
        self._held[:] = state["held"]
        self._gap[:] = state["gap"]
        self._steps[:] = state["steps"]
        self._counter[:] = state["counter"]
        self._row = int(state["row"])


def believable(values: FloatArray) -> FloatArray:
    """The values (T, D) with what is absurd as NaN, for those who take rows as they came otherwise.

    >>> believable(np.array([[1.0, -1e308, np.nan]])).tolist()
    [[1.0, nan, nan]]
    """
    return np.where(np.abs(values) >= LARGEST, np.nan, values) if _is_any_absurd(values) else values


@njit(cache=True, nogil=True, error_model="numpy")
def _is_any_absurd(values: FloatArray) -> bool:
    absurd = 0
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            absurd += abs(values[t, j]) >= LARGEST
    return absurd > 0


@njit(cache=True, nogil=True, error_model="numpy")
def _read(
    values: FloatArray,
    out: FloatArray,
    flags: BoolArray,
    quorum: BoolArray,
    raw: FloatArray,
    held: FloatArray,
    gap: IntArray,
    steps: IntArray,
    counter: BoolArray,
    limits: Limits,
) -> None:
    gap_rows, gone_rows, share = limits[:3]
    present, restart, renewed = flags[0], flags[1], flags[2]
    for t in range(values.shape[0]):
        there, awaited = 0, 0
        for j in range(values.shape[1]):
            v = values[t, j]
            if not abs(v) < LARGEST:  # NaN is not smaller either
                gap[j] += 1
                out[t, j] = held[j]
                awaited += gap[j] <= gone_rows
                continue
            since, step, was_counter = gap[j] + 1, v - raw[j], counter[j]
            if gap[j] < NEVER:
                steps[0, j] += 1
                steps[1, j] += step > 0.0
                steps[2, j] += step < 0.0
                counter[j] = _is_counter(was_counter, step, steps[0, j], steps[1, j], steps[2, j], limits)
            gap[j], raw[j] = 0, v
            there += 1
            awaited += 1
            if counter[j] and step < 0.0:
                out[t, j] = held[j]
                continue
            held[j] = step / since if counter[j] else v
            out[t, j] = held[j]
            is_new = counter[j] != was_counter
            present[t, j], restart[t, j], renewed[t, j] = True, since > gap_rows + 1 or is_new, is_new
        quorum[t] = there > 0 and there >= share * awaited


@njit(cache=True, nogil=True, error_model="numpy")
def _is_counter(was: bool, step: float, count: int, rises: int, falls: int, limits: Limits) -> bool:
    """Whether a variable is one after this step, the last of so many. Arrays are not handed on: that costs more than
    the work."""
    least, rising, falling = limits[3], limits[4], limits[5]
    if was:
        return falls <= max(1.0, 5 * falling * count)
    return falls <= falling * count and count >= least and step >= 0.0 and rises >= rising * count
