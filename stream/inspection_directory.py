"""The snapshots of a local directory, looked at without changing anything. Each partition's newest comes first."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from stream.disk import DamagedError, read_checked
from stream.errors import InputError
from stream.event_time import to_text
from stream.evicted_files import EvictedFiles, Kept
from stream.inspection import Expected, InspectedSnapshot, InspectedSystem, heading, inspected_system
from stream.snapshot import MANIFEST, SCHEMA_VERSION, numbers_in, read_manifest, system_in


def inspect_directory(root: Path, expected: Expected) -> list[InspectedSnapshot]:
    """Raises InputError if there is no such directory. Reads every byte: checksums are compared."""
    if not root.is_dir():
        raise InputError(f"there is no directory {root} with snapshots")
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    found = (
        _inspect(folder / f"{number:08d}", unquote(folder.name), number, expected)
        for folder in folders
        for number in sorted(numbers_in(folder), reverse=True)
    )
    return [snapshot for snapshot in found if snapshot is not None]


def _inspect(folder: Path, partition: str, number: int, expected: Expected) -> InspectedSnapshot | None:
    """None: a running process has removed it meanwhile, for a newer one."""
    about: dict[str, Any] = {"partition": partition, "generation": number}
    try:
        about |= {"saved_at": to_text((folder / MANIFEST).stat().st_mtime_ns)} if folder.is_dir() else {}
        about |= {"bytes": sum(file.stat().st_size for file in folder.iterdir())}
        manifest = read_manifest(folder)
        about |= heading(manifest, SCHEMA_VERSION, expected)
        if about["status"] == "whole":
            about |= {"systems": tuple(_systems(folder, manifest, expected))}
    except (OSError, DamagedError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        if not folder.is_dir():
            return None
        about |= {"status": "damaged", "detail": str(error) if isinstance(error, DamagedError) else repr(error)}
    return InspectedSnapshot(**about)


def _systems(folder: Path, manifest: dict[str, Any], expected: Expected) -> Iterator[InspectedSystem]:
    """Those that were in memory, then those that were not."""
    files = manifest["files"]
    for place in range(len(files) // 2):
        names = (f"{place}.json", f"{place}.state", f"{place}.npz")  # the last of schema versions 1 and 2
        contents = {name: read_checked(folder / name, files[name]) for name in names if name in files}
        system, state = system_in(contents, place)
        yield inspected_system(system, state.plain, sum(map(len, contents.values())), expected)
    for system, kept in msgspec.convert(manifest["evicted"], dict[str, Kept]).items():
        state = EvictedFiles(folder.parent / "evicted").get(kept)
        yield inspected_system(system, state.plain, kept.bytes, expected)
