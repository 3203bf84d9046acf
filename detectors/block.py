"""What flows through the mathematics: blocks of rows, and the named arrays that a state is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

# A state is a flat dict of arrays, so that it can be stored without pickle. Nested parts join their names with "/".
State: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Block:
    """T consecutive rows of one system with D variables.

    times: (T,) event time in nanoseconds since 1970, strictly increasing.
    values: (T, D) readings; NaN = not there.
    """

    times: IntArray
    values: FloatArray

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.times.shape != self.values.shape[:1]:
            raise ValueError(
                f"a block needs times (T,) and values (T, D), got {self.times.shape} and {self.values.shape}"
            )

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as detectors see them, after the intake has applied the one policy for missing and odd values.

    first: number of the first of these rows, counted from the system's first row (0).
    values: (T, D) finite, whatever came in: a missing cell holds a stand-in that must not be learned.
    present: (T, D) False where the reading was missing (NaN, inf, a counter's reset).
    restart: (T, D) True where a variable is back after a long gap: lags and averages start anew from this value.
    """

    first: int
    values: FloatArray
    present: BoolArray
    restart: BoolArray

    def __len__(self) -> int:
        return len(self.values)


def nested(prefix: str, state: Mapping[str, NDArray[Any]]) -> State:
    """The state of a part under its name in the state of the whole.

    >>> nested("ewma", {"mean": np.zeros(2)})
    {'ewma/mean': array([0., 0.])}
    """
    return {f"{prefix}/{name}": array for name, array in state.items()}


def part(prefix: str, state: Mapping[str, NDArray[Any]]) -> State:
    """The inverse of :func:`nested`: one part's own state out of the whole.

    >>> part("ewma", {"ewma/mean": np.zeros(2), "guard/open": np.ones(1)})
    {'mean': array([0., 0.])}
    """
    start = prefix + "/"
    return {name[len(start) :]: array for name, array in state.items() if name.startswith(start)}
