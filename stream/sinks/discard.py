"""A keeper of dead letters that keeps none: rejects are counted only."""

from collections.abc import Sequence

from stream.settings import Settings
from stream.sources.protocol import Reject


def build_dead_letters(_settings: Settings) -> "Discard":
    return Discard()


class Discard:
    def write(self, rejects: Sequence[Reject]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...
