"""What is kept of each partition, as a person asks for it: the values, and what is read from a system's state.

Nothing here loads a state into a monitor: what a snapshot says of itself is enough, so that one of another
configuration or version can be looked at, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# claimed: a process owns the partition and has saved nothing of it yet.
Status: TypeAlias = Literal["whole", "damaged", "newer_version", "claimed"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the running configuration would make; None where none was given. partitions: of each input topic."""

    config_hash: str | None = None
    warmup_rows: int | None = None
    partitions: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class InspectedSystem:
    """rows: seen so far.  is_warm: it can give a verdict; None: no configuration says how many rows that takes."""

    name: str
    variables: int
    rows: int
    is_warm: bool | None
    bytes: int


@dataclass(frozen=True, slots=True)
class InspectedSnapshot:
    """One snapshot. generation: its number on a directory, the owner's claim in the topic; it grows.

    owner: host and process that claimed the partition, where that is known.  saved_at: RFC 3339.
    """

    partition: str
    generation: int
    status: Status
    detail: str = ""  # what is wrong with it, or why it would not be used
    owner: str = ""
    position: int | None = None
    saved_at: str | None = None
    schema_version: int | None = None
    config_hash: str | None = None
    config_matches: bool | None = None
    bytes: int = 0
    systems: tuple[InspectedSystem, ...] = ()

    @property
    def rows(self) -> int:
        return sum(system.rows for system in self.systems)


def inspected_system(name: str, plain: Mapping[str, Any], size: int, expected: Expected) -> InspectedSystem:
    """Raises KeyError or TypeError for a state that is none."""
    rows = int(plain["incidents"]["row"])
    is_warm = None if expected.warmup_rows is None else rows >= expected.warmup_rows
    return InspectedSystem(name, len(plain["align"]["variables"] or ()), rows, is_warm, size)


def heading(manifest: Mapping[str, Any], ours: int, expected: Expected) -> dict[str, Any]:
    """The fields of an InspectedSnapshot that its manifest fills. ours: the version that is read here."""
    version, made_by = manifest["schema_version"], str(manifest["config_hash"])
    is_ours = isinstance(version, int) and version <= ours
    return {
        "status": "whole" if is_ours else "newer_version",
        "detail": "" if is_ours else f"schema version {version}; this version reads up to {ours}",
        "position": int(manifest["position"]),
        "schema_version": version if isinstance(version, int) else None,
        "config_hash": made_by,
        "config_matches": None if expected.config_hash is None else made_by == expected.config_hash,
    }
