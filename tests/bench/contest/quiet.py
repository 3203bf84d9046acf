"""A monitor that finds nothing, for what a row costs outside the mathematics."""

from collections.abc import Sequence

import numpy as np

from contest import ours
from detectors.block import Block, State
from detectors.combine.line import LineSettings
from detectors.findings import Findings
from detectors.warmup import WarmUp


class Quiet:
    is_warm = True
    silent: tuple[str, ...] = ()
    warm_up = WarmUp(1, 1, {})

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = len(variables)
        self.standing = ours.monitor("light", variables).standing

    def step(self, block: Block) -> Findings:
        none = np.zeros(len(block), dtype=np.bool_)
        return Findings(block.times, np.zeros(len(block)), none, np.zeros((len(block), self._variables)), ~none)

    def set_line(self, settings: LineSettings) -> None: ...

    def state(self) -> State:
        return {"rows": np.zeros(1)}

    def load_state(self, state: State) -> None: ...
