"""What the pipeline asks of the mathematics: a monitor for each system, and a background beside them."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from detectors.block import Block, BoolArray, FloatArray, IntArray, State
from detectors.combine.line import LineSettings
from detectors.findings import Findings, Standing
from detectors.warmup import WarmUp


class SystemMonitor(Protocol):
    """What the pipeline asks of detectors.monitor.Monitor."""

    @property
    def is_warm(self) -> bool: ...

    @property
    def standing(self) -> Standing: ...

    @property
    def warm_up(self) -> WarmUp: ...

    @property
    def silent(self) -> tuple[str, ...]: ...

    def step(self, block: Block) -> Findings: ...

    def set_line(self, settings: LineSettings) -> None: ...

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


class Background(Protocol):
    """Opinions without a vote on many systems: what the pipeline asks of detectors.background.worker.

    Rows are submitted, results are taken when they are there; nobody ever waits.
    """

    def submit(self, system: str, times: IntArray, values: FloatArray, normal: BoolArray) -> bool: ...

    def results(self) -> Iterable[tuple[str, int, float]]:
        """(system, time, score) of what was scored since the last call; 1.0 is the line."""

    def state(self, system: str) -> State: ...

    def load_state(self, system: str, state: State) -> None: ...

    def forget(self, system: str) -> None: ...


MakeMonitor: TypeAlias = Callable[[tuple[str, ...]], SystemMonitor]
