"""State and input position of each partition on a local directory, atomically; no pickle.

    DIRECTORY/<partition>/00000042/MANIFEST.json    schema version, config hash, position, checksums
                                   0.json 0.npz     the first system: what JSON holds, and its arrays
                                   1.json ...

A snapshot is written under a temporary name, synced to the disk and renamed, so that it is there whole or not at all;
the newest few are kept. One that turns out damaged is passed over, loudly, for the one before.
"""

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from detectors.block import State
from stream.errors import DependencyError, StateError
from stream.pipeline import SystemState
from stream.settings import SnapshotSettings
from stream.snapshot_store import Judge, Saved, Snapshot

SCHEMA_VERSION = 1
MANIFEST = "MANIFEST.json"


class Snapshots:
    """Writes and finds snapshots. config_hash: of the configuration that makes the state.

    between: called after each step of a save with its name; tests stop a save there.
    """

    def __init__(
        self,
        settings: SnapshotSettings,
        *,
        config_hash: str,
        between: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._root = Path(settings.directory)
        self._settings = settings
        self._config_hash = config_hash
        self._judge = Judge(settings, config_hash)
        self._between = between
        self.passed_over = self._judge.passed_over

    def save(
        self,
        partition: str,
        position: int,
        systems: Mapping[str, SystemState],
        changed: Collection[str] | None = None,
    ) -> Saved:
        """All systems, whatever changed. Raises DependencyError if the disk does not take it; the snapshots before it
        stay as they were."""
        folder = self._folder(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = max(numbers_in(folder), default=0) + 1
            temporary = folder / f".{number:08d}.writing"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            size = self._write(temporary, partition, position, systems)
            self._between("written")
            temporary.rename(folder / f"{number:08d}")
            _sync(folder)
            self._between("renamed")
            self._prune(folder)
        except OSError as error:
            raise DependencyError(f"cannot write a snapshot to {folder}: {error.strerror or error}") from error
        return Saved(size, size)

    def load(self, partition: str) -> Snapshot | None:
        """The newest snapshot that is whole; None if there is none.

        Raises StateError for a newer major version, for state of another configuration if settings say refuse, and if
        all that is there is damaged.
        """
        folder = self._folder(partition)
        damaged = []
        for number in sorted(numbers_in(folder), reverse=True):
            try:
                return self._load(folder / f"{number:08d}", partition)
            except DamagedError as error:
                damaged.append(f"{number:08d}: {error}")
                self._judge.passes_over(partition, "damaged", f"{number:08d}: {error}")
        if damaged:
            raise StateError(f"all snapshots in {folder} are damaged ({'; '.join(damaged)}); remove it to start fresh")
        return None

    def forget(self, partition: str) -> None:
        """Nothing of it is held."""

    def close(self) -> None:
        """Nothing is held open."""

    def _folder(self, partition: str) -> Path:
        return self._root / quote(partition, safe="")

    def _write(self, folder: Path, partition: str, position: int, systems: Mapping[str, SystemState]) -> int:
        files: dict[str, str] = {}
        size = 0
        for place, name in enumerate(systems):
            state = systems[name]
            parts = {f"{place}.json": _plain_bytes(name, state), f"{place}.npz": _pack(state.arrays)}
            for file, content in parts.items():
                files[file] = _put(folder / file, content)
                size += len(content)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "config_hash": self._config_hash,
            "partition": partition,
            "position": position,
            "files": files,
        }
        content = json.dumps(manifest, indent=1).encode()
        _put(folder / MANIFEST, content)
        _sync(folder)
        return size + len(content)

    def _load(self, folder: Path, partition: str) -> Snapshot | None:
        manifest = read_manifest(folder)
        self._judge.accepts_version(folder, manifest["schema_version"], SCHEMA_VERSION)
        if not self._judge.accepts_config(folder, partition, manifest["config_hash"]):
            return None
        contents = {name: read_checked(folder / name, checksum) for name, checksum in manifest["files"].items()}
        try:
            systems = dict(system_in(contents, place) for place in range(len(contents) // 2))
            return Snapshot(int(manifest["position"]), systems)
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DamagedError(repr(error)) from None

    def _prune(self, folder: Path) -> None:
        for number in sorted(numbers_in(folder))[: -self._settings.keep]:
            shutil.rmtree(folder / f"{number:08d}", ignore_errors=True)


class DamagedError(Exception):
    """A snapshot that is not what was written."""


def numbers_in(folder: Path) -> list[int]:
    """Of the snapshots of a partition."""
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()] if folder.is_dir() else []


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises DamagedError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        found = {name: manifest[name] for name in ("schema_version", "config_hash", "position", "files")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{MANIFEST}: {error!r}") from None
    return found


def system_in(contents: Mapping[str, bytes], place: int) -> tuple[str, SystemState]:
    """The name and state of the system of that number. Raises KeyError, ValueError, zipfile.BadZipFile."""
    document = json.loads(contents[f"{place}.json"])
    return document["system"], SystemState(document["state"], _unpack(contents[f"{place}.npz"]))


def _plain_bytes(name: str, state: SystemState) -> bytes:
    return json.dumps({"system": name, "state": state.plain}, allow_nan=False).encode()


def _pack(arrays: State) -> bytes:
    """An uncompressed .npz: state hardly compresses, and time matters more."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(content: bytes) -> State:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _put(path: Path, content: bytes) -> str:
    """Write and sync; gives the checksum."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def read_checked(path: Path, checksum: str) -> bytes:
    """Raises DamagedError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path.name}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise DamagedError(f"{path.name}: the checksum differs")
    return content


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
