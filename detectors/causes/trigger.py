"""What every trigger is: it follows a system row by row and says when the system has changed state."""

from typing import ClassVar, Protocol, runtime_checkable

from detectors.block import FloatArray, State
from detectors.findings import Trigger


@runtime_checkable
class TriggerDetector(Protocol):
    """Row in, trigger or nothing out; deterministic, with its past and its pauses in its own state."""

    name: ClassVar[str]

    def step(self, row: FloatArray, time: int, number: int) -> Trigger | None:
        """Judge one row (D,) of raw readings, NaN = not there, taken at `time` (ns), the system's row `number`."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...
