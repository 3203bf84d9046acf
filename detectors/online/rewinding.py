"""What a detector in arrays carries from row to row as it scores."""

from typing import ClassVar

from detectors.block import InArrays, State


class Rewinding(InArrays):
    """Rewindable (detectors.online.protocol) by the names of the arrays that scoring changes; by default none."""

    carried: ClassVar[tuple[str, ...]] = ()

    def carry(self) -> State:
        arrays = self._arrays()
        return {name: arrays[name].copy() for name in self.carried}

    def load_carry(self, carry: State) -> None:
        arrays = self._arrays()
        for name in self.carried:
            arrays[name][...] = carry[name]
