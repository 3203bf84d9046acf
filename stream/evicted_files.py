"""The states of systems that left memory, on a local directory: one file each, named by its checksum.

A file is written once, whole, and belongs to all manifests that name it; it goes when none does any more.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from stream.disk import checksum_of, put, read_checked, sync
from stream.eviction import Evicted
from stream.pieces import decode, encode
from stream.pipeline import SystemState


class Kept(msgspec.Struct, frozen=True):
    """A system that is not in memory: the checksum that names its file, the file's size, and what is known of it."""

    file: str
    bytes: int
    known: Evicted


class EvictedFiles:
    """Those of one partition. Errors of the disk are OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, states: Mapping[str, SystemState], leaving: Mapping[str, Evicted]) -> dict[str, Kept]:
        """Write the states of those who leave."""
        if leaving:
            self._folder.mkdir(exist_ok=True)
        kept = {name: self._put(states[name], known) for name, known in leaving.items()}
        if leaving:
            sync(self._folder)
        return kept

    def _put(self, state: SystemState, known: Evicted) -> Kept:
        content = encode(state)
        name = checksum_of(content)
        temporary = self._folder / f".{name}.writing"
        put(temporary, content)
        temporary.rename(self._folder / name)
        return Kept(name, len(content), known)

    def get(self, kept: Kept) -> SystemState:
        """Raises DamagedError."""
        return decode(read_checked(self._folder / kept.file, kept.file))

    def has(self, kept: Kept) -> bool:
        """Whether it is there in its size; its content is checked when it is needed."""
        path = self._folder / kept.file
        return path.is_file() and path.stat().st_size == kept.bytes

    def prune(self, named: Iterable[str]) -> None:
        """Delete the files that no manifest names."""
        needed = set(named)
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in needed:
                path.unlink(missing_ok=True)
