"""What every sink is: it takes findings and dead letters, and after a flush they are safe."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from stream.records import FindingRecord, IncidentRecord
from stream.settings import Settings
from stream.sources.protocol import Reject


@runtime_checkable
class Sink(Protocol):
    """At least once: whatever was written before a flush that returned is kept, and may come twice after a crash.

    Raises stream.errors.DependencyError (retriable) while the other end is away; the runner then pauses reading and
    flushes again, and nothing written is lost meanwhile.
    """

    def write(self, findings: Sequence[FindingRecord]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class Repeating(Protocol):
    """A sink whose other end forgets what is not said again: it is called with all that stands open when it is due.

    Raises DependencyError, too; the runner then reads on, for no finding is lost, and calls again when it is due.
    """

    def is_due(self) -> bool: ...

    def repeat(self, incidents: Sequence[IncidentRecord]) -> None: ...


@runtime_checkable
class Adjustable(Protocol):
    """A sink that takes other settings while it runs, and keeps what it still has to deliver."""

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Gives what makes the sink use them. Raises ConfigError or DependencyError, with nothing changed."""


@runtime_checkable
class DeadLetters(Protocol):
    """Keeps rejected input with its reason and original bytes. The same promises as a sink."""

    def write(self, rejects: Sequence[Reject]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...
