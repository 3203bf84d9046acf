"""The detectors by name. A new one is a file beside this one, and two lines here: its options and its class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from detectors.online.autoregression import Autoregression, AutoregressionSettings
from detectors.online.ewma import Ewma, EwmaSettings
from detectors.online.half_space_trees import HalfSpaceTrees, HalfSpaceTreesSettings
from detectors.online.neighbours import Neighbours, NeighboursSettings
from detectors.online.protocol import Detector
from detectors.online.repad2 import Repad2, Repad2Settings

DetectorClass: TypeAlias = type[Any]  # a class whose instances are Detectors, made by (variables, settings, seed=)

DETECTORS: dict[str, DetectorClass] = {
    kind.name: kind for kind in (Neighbours, Autoregression, Ewma, Repad2, HalfSpaceTrees)
}


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """The options of every detector, under its name."""

    neighbours: NeighboursSettings = field(default_factory=NeighboursSettings)
    autoregression: AutoregressionSettings = field(default_factory=AutoregressionSettings)
    ewma: EwmaSettings = field(default_factory=EwmaSettings)
    repad2: Repad2Settings = field(default_factory=Repad2Settings)
    half_space_trees: HalfSpaceTreesSettings = field(default_factory=HalfSpaceTreesSettings)


def build(names: Sequence[str], variables: int, settings: DetectorSettings, *, seed: int = 0) -> list[Detector]:
    """Detectors by name, in the order given. ValueError for a name that is not registered."""
    for name in names:
        if name not in DETECTORS:
            raise ValueError(f"detector must be one of {', '.join(sorted(DETECTORS))}, got {name!r}")
    return [DETECTORS[name](variables, getattr(settings, name), seed=seed) for name in names]
