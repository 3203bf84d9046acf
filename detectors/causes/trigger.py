"""What every trigger is: it follows a system's rows and says when the system has changed state."""

from typing import ClassVar, Protocol, runtime_checkable

from detectors.block import FloatArray, IntArray, State
from detectors.findings import Trigger


@runtime_checkable
class TriggerDetector(Protocol):
    """Rows in, triggers out; deterministic, the same bits in any split, with its past and its pauses in its state."""

    name: ClassVar[str]

    def follow(self, rows: FloatArray, times: IntArray, first: int) -> list[Trigger]:
        """Judge rows (T, D) of raw readings, NaN = not there, taken at times (T,), ns; first: the system's row number
        of the first of them."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...
