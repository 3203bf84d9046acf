"""What keeps snapshots: a local directory (stream.snapshot) or a compacted Kafka topic (stream.snapshot_topic)."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stream.errors import StateError
from stream.eviction import Evicted
from stream.pipeline import SystemState
from stream.settings import SnapshotSettings

# Why a snapshot was not used. outdated: written by a process that no longer owned the partition.
REASONS = ("damaged", "newer_version", "other_config", "other_partitions", "outdated")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One partition as it was after everything before the position was processed.

    evicted: systems that were not in memory, whose state is to be fetched when it is needed.
    """

    position: int
    systems: dict[str, SystemState]
    evicted: dict[str, Evicted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save made: bytes of the whole snapshot, and bytes written for it (less, where most was there already)."""

    bytes: int
    written: int


class SnapshotStore(Protocol):
    """Keeps each partition's newest state with the input position that belongs to it: both, or neither.

    passed_over: how many snapshots were not used, by reason.
    """

    passed_over: Counter[str]

    def load(self, partition: str) -> Snapshot | None:
        """The newest snapshot that is whole, of a partition that is ours now; None if there is none.

        Raises StateError for one that must not be used, DependencyError while the store does not answer.
        """

    def save(
        self,
        partition: str,
        position: int,
        systems: Mapping[str, SystemState],
        changed: Collection[str] | None = None,
        leaving: Mapping[str, Evicted] | None = None,
    ) -> Saved:
        """Raises DependencyError if the store does not take it; what was there before stays as it was.

        changed: the systems that changed since the last save that returned; None: all of them. leaving: those of the
        systems that will not be in memory from now on. They belong to every later snapshot as they are now, until a
        save has them among its systems, not leaving, again.
        """

    def fetch(self, partition: str, names: Collection[str]) -> dict[str, SystemState]:
        """The states of systems that left. Raises DependencyError, and StateError for one that is damaged."""

    def forget(self, partition: str) -> None:
        """The partition is another process's now."""

    def close(self) -> None: ...


class Judge:
    """Decides whether a snapshot may be used, tells why not, and counts."""

    def __init__(self, settings: SnapshotSettings, config_hash: str) -> None:
        self._settings = settings
        self._config_hash = config_hash
        self.passed_over: Counter[str] = Counter()

    def accepts_version(self, where: object, found: object, ours: int) -> None:
        """Raises StateError for a newer version."""
        if not (isinstance(found, int) and 1 <= found <= ours):
            self.passed_over["newer_version"] += 1
            raise StateError(f"{where} has schema version {found}; this version of tocsin reads up to {ours}")

    def accepts_config(self, where: object, partition: str, found: str) -> bool:
        """Raises StateError if settings.other_config is refuse."""
        if found == self._config_hash:
            return True
        self.passed_over["other_config"] += 1
        if self._settings.other_config == "refuse":
            raise StateError(
                f"{where} is of another configuration ({found}, this is {self._config_hash}); "
                "snapshot.other_config: fresh starts without it"
            )
        extra = {"partition": partition, "theirs": found, "ours": self._config_hash}
        log.warning("snapshot of another configuration, starting fresh", extra=extra)
        return False

    def accepts_partitions(self, where: object, partition: str, found: int, ours: int) -> bool:
        """Raises StateError if settings.other_partitions is refuse."""
        if found == ours:
            return True
        self.passed_over["other_partitions"] += 1
        if self._settings.other_partitions == "refuse":
            raise StateError(
                f"{where} is of a topic with {found} partitions, and it has {ours} now: a system's messages may go to "
                "another partition than its state; snapshot.other_partitions: fresh starts without it"
            )
        extra = {"partition": partition, "then": found, "now": ours}
        log.warning("snapshot of another number of partitions, starting fresh", extra=extra)
        return False

    def refuses(self, where: object, partition: str, detail: str) -> StateError:
        """Count and tell one system's state that is damaged, where there is none before it; gives the error."""
        self.passes_over(partition, "damaged", detail)
        return StateError(f"{where}: {detail}; without this partition's snapshots it starts fresh")

    def passes_over(self, partition: str, reason: str, detail: str) -> None:
        """Count and tell one that is not used; the one before it is tried."""
        self.passed_over[reason] += 1
        log.error(f"snapshot {reason}", extra={"partition": partition, "reason": detail})
