"""The detectors by name. A new one is a file beside this one, and two lines here: its options and its class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from detectors.online.autoregression import Autoregression, AutoregressionSettings
from detectors.online.ewma import Ewma, EwmaSettings
from detectors.online.half_space_trees import HalfSpaceTrees, HalfSpaceTreesSettings
from detectors.online.loda import Loda, LodaSettings
from detectors.online.neighbours import Neighbours, NeighboursSettings
from detectors.online.principal import Principal, PrincipalSettings
from detectors.online.protocol import Detector
from detectors.online.repad2 import Repad2, Repad2Settings
from detectors.online.river_detector import RiverDetector, RiverSettings
from detectors.online.robust_ewma import FastEwma, RobustEwmaSettings, SlowEwma
from detectors.online.sparse import Sparse, SparseSettings

DetectorClass: TypeAlias = type[Any]  # a class whose instances are Detectors, made by (variables, settings, seed=)

DETECTORS: dict[str, DetectorClass] = {
    kind.name: kind
    for kind in (
        Neighbours,
        Autoregression,
        Ewma,
        FastEwma,
        SlowEwma,
        Repad2,
        HalfSpaceTrees,
        Principal,
        Loda,
        Sparse,
    )
}


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """The options of every detector, under its name; and a list of river's, which run if they stand here."""

    neighbours: NeighboursSettings = field(default_factory=NeighboursSettings)
    autoregression: AutoregressionSettings = field(default_factory=AutoregressionSettings)
    ewma: EwmaSettings = field(default_factory=EwmaSettings)
    fast_ewma: RobustEwmaSettings = FastEwma.usual
    slow_ewma: RobustEwmaSettings = SlowEwma.usual
    repad2: Repad2Settings = field(default_factory=Repad2Settings)
    half_space_trees: HalfSpaceTreesSettings = field(default_factory=HalfSpaceTreesSettings)
    principal: PrincipalSettings = field(default_factory=PrincipalSettings)
    loda: LodaSettings = field(default_factory=LodaSettings)
    sparse: SparseSettings = field(default_factory=SparseSettings)
    river: tuple[RiverSettings, ...] = ()

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.river]
        for name in names:
            if name in DETECTORS or names.count(name) > 1:
                raise ValueError(f"river must have a name of its own for each detector, got {name!r} twice")


def known_detectors(settings: DetectorSettings) -> tuple[str, ...]:
    """Names of all that can run: the registered, and river's in the settings."""
    return (*DETECTORS, *(entry.name for entry in settings.river))


def members_of(name: str) -> tuple[str, ...]:
    """Row-wise members of the detector of this name."""
    members: tuple[str, ...] = DETECTORS.get(name, RiverDetector).members
    return members


def build(names: Sequence[str], variables: int, settings: DetectorSettings, *, seed: int = 0) -> list[Detector]:
    """Detectors by name, in the order given. ValueError for a name that is not known."""
    foreign = {entry.name: entry for entry in settings.river}
    for name in names:
        if name not in DETECTORS and name not in foreign:
            known = ", ".join(sorted(known_detectors(settings)))
            raise ValueError(f"detector must be one of {known}, got {name!r}")
    return [
        RiverDetector(variables, foreign[name], seed=seed)
        if name in foreign
        else DETECTORS[name](variables, getattr(settings, name), seed=seed)
        for name in names
    ]
