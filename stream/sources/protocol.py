"""What every source is: it gives batches of decoded readings, each with the position after it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from detectors.block import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Readings:
    """T readings of one system that name the same N variables, in the order of arrival.

    partition: where they came from; a system's state belongs to its partition and moves with it.
    times: (T,) event time, ns.  values: (T, N), NaN = not there.  offsets: (T,) position of each in its partition.
    complete: True if each is a whole row of its system (wide message, CSV line); False for a part (long message).
    arrived: (T,) when each arrived where we read it, ns, by a clock that is not its producer's; None: nobody knows.
    """

    system: str
    partition: str
    names: tuple[str, ...]
    times: IntArray
    values: FloatArray
    offsets: IntArray
    complete: bool = True
    arrived: IntArray | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Input that was passed over: counted by reason and kept as a dead letter with its original bytes."""

    reason: str  # a short fixed word: not_json, no_ts, not_a_number, late, duplicate ...
    detail: str  # what, the value, and what would be right
    partition: str
    offset: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read gave.

    positions: next offset to read of each partition that this batch advanced, valid once the batch is processed.
    assigned / revoked: partitions that came or went before these readings; a source delivers nothing of an assigned
    partition until :meth:`Source.start` was called for it. Revoked partitions' state must be dropped unsaved: another
    process owns them now (:meth:`Source.on_revoke` is when it can still be saved).
    end: nothing will ever follow (a file's end).
    originals: key and bytes by partition and offset, where a source has them still, of every message in the readings.
    """

    readings: list[Readings] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    assigned: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    end: bool = False
    originals: Mapping[tuple[str, int], tuple[bytes | None, bytes]] = field(default_factory=dict)

    def as_it_came(self, reject: Reject) -> Reject:
        """A reading that was rejected once it was understood, with the bytes that it came in, if they are known."""
        key, value = self.originals.get((reject.partition, reject.offset), (reject.key, reject.value))
        return replace(reject, key=key, value=value)

    def only(self, partitions: Collection[str]) -> "Batch":
        """What it has of some partitions."""
        return replace(
            self,
            readings=[readings for readings in self.readings if readings.partition in partitions],
            rejects=[reject for reject in self.rejects if reject.partition in partitions],
            positions={name: offset for name, offset in self.positions.items() if name in partitions},
        )


@runtime_checkable
class Source(Protocol):
    """Reads in one thread, the caller's. Errors are of the family in stream.errors."""

    def read(self, timeout_s: float) -> Batch:
        """The next batch; an empty one if nothing came within timeout_s."""

    def on_revoke(self, action: Callable[[Sequence[str]], None]) -> None:
        """Call this inside :meth:`read`, perhaps in another thread, just before partitions go to another process."""

    def start(self, partition: str, offset: int | None) -> None:
        """Begin an assigned partition at a snapshot's offset; None = the source's own last commit, else its start."""

    def commit(self, positions: Mapping[str, int]) -> None:
        """Tell the source that everything before these offsets is processed and flushed. Idempotent."""

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`: something downstream is away. The runner goes on calling read(), which
        keeps a membership alive, waits out its timeout and still reports assigned and revoked partitions."""

    def resume(self) -> None: ...

    def lag(self) -> dict[str, int]:
        """Offsets known to exist and not yet read, by partition; what cannot be known is left out."""

    def close(self) -> None: ...
