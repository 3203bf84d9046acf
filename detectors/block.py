"""What flows through the mathematics: blocks of rows, and the named arrays that a state is made of."""

from abc import ABC, abstractmethod
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
    restart: (T, D) True where a variable is there for the first time, or back after a long gap: lags and averages start
        anew from this value. Only where present.
    renewed: (T, D) True where a variable means something else from here on (it proved to be a counter, whose steps are
        taken now): all that was learned of it is void. Implies restart.
    quorum: (T,) False where too few of the variables are there to judge the row.
    """

    first: int
    values: FloatArray
    present: BoolArray
    restart: BoolArray
    renewed: BoolArray
    quorum: BoolArray

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def complete(cls, values: FloatArray, *, first: int = 0) -> "Rows":
        """Rows (T, D) in which nothing is missing; the system's first row restarts all variables.

        >>> Rows.complete(np.zeros((2, 3))).restart[:, 0]
        array([ True, False])
        """
        none = np.zeros(values.shape, dtype=np.bool_)
        restart = none.copy()
        restart[: 1 if first == 0 else 0] = True
        return cls(first, values, ~none, restart, none, np.ones(len(values), dtype=np.bool_))

    def __getitem__(self, piece: slice) -> "Rows":
        """Some of the rows, as views; the slice must have a step of 1."""
        start = piece.indices(len(self))[0]
        return Rows(
            self.first + start,
            self.values[piece],
            self.present[piece],
            self.restart[piece],
            self.renewed[piece],
            self.quorum[piece],
        )


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


class InArrays(ABC):
    """What keeps all that it knows in named arrays, each changed in place: they are its state."""

    @abstractmethod
    def _arrays(self) -> State:
        """The arrays themselves, by the names they have in the state."""

    def state(self) -> State:
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state(self, state: State) -> None:
        """Write what :meth:`state` took back into the arrays. The state may hold more."""
        for name, array in self._arrays().items():
            array[...] = state[name]
