"""State and input position of each partition on a local directory, atomically; no pickle.

    DIRECTORY/<partition>/00000042/MANIFEST.json    schema version, config hash, position, checksums
                                   0.json 0.state   the first system: what JSON holds, and its arrays
                                   1.json ...
                          evicted/<checksum>       a system that left memory; manifests name it

A snapshot is written under a temporary name, synced to the disk and renamed, so that it is there whole or not at all;
the newest few are kept. One that turns out damaged is passed over, loudly, for the one before.
"""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from detectors.block import State
from stream.disk import DamagedError, put, read_checked, sync
from stream.errors import DependencyError, StateError
from stream.evicted_files import EvictedFiles, Kept
from stream.eviction import Evicted
from stream.pieces import decode, encode
from stream.pipeline import SystemState
from stream.settings import SnapshotSettings
from stream.snapshot_store import Judge, Saved, Snapshot

SCHEMA_VERSION = 3  # 2 has evicted systems; 3 has packed arrays (stream.packing), in place of an .npz file
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
        self._kept: dict[str, dict[str, Kept]] = {}  # partition -> systems that are not in memory
        self.passed_over = self._judge.passed_over

    def save(
        self,
        partition: str,
        position: int,
        systems: Mapping[str, SystemState],
        changed: Collection[str] | None = None,
        leaving: Mapping[str, Evicted] | None = None,
    ) -> Saved:
        """All systems in memory, whatever changed. Raises DependencyError if the disk does not take it; the snapshots
        before it stay as they were."""
        folder = self._folder(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = max(numbers_in(folder), default=0) + 1
            temporary = folder / f".{number:08d}.writing"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            kept = self._keep(partition, systems, leaving or {})
            size = self._write(temporary, partition, position, systems, kept)
            self._between("written")
            temporary.rename(folder / f"{number:08d}")
            sync(folder)
            self._kept[partition] = kept
            self._between("renamed")
            self._prune(partition)
        except OSError as error:
            raise DependencyError(f"cannot write a snapshot to {folder}: {error.strerror or error}") from error
        written = size + sum(kept[name].bytes for name in leaving or {})
        return Saved(size + sum(one.bytes for one in kept.values()), written)

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

    def fetch(self, partition: str, names: Collection[str]) -> dict[str, SystemState]:
        """Raises DependencyError if the disk does not give them, StateError for one that is damaged."""
        files, known = self._evicted(partition), self._kept[partition]
        found = {}
        for name in names:
            try:
                found[name] = files.get(known[name])
            except (DamagedError, KeyError, ValueError, TypeError) as error:
                raise self._judge.refuses(self._folder(partition), partition, f"system {name}: {error}") from error
        return found

    def forget(self, partition: str) -> None:
        self._kept.pop(partition, None)

    def close(self) -> None:
        """Nothing is held open."""

    def _folder(self, partition: str) -> Path:
        return self._root / quote(partition, safe="")

    def _evicted(self, partition: str) -> EvictedFiles:
        return EvictedFiles(self._folder(partition) / "evicted")

    def _keep(
        self, partition: str, systems: Mapping[str, SystemState], leaving: Mapping[str, Evicted]
    ) -> dict[str, Kept]:
        """The systems that are not in memory any more once these have left."""
        before = self._kept.get(partition, {})
        away = {name: known for name, known in before.items() if name not in systems}
        return {**away, **self._evicted(partition).put(systems, leaving)}

    def _write(
        self,
        folder: Path,
        partition: str,
        position: int,
        systems: Mapping[str, SystemState],
        kept: Mapping[str, Kept],
    ) -> int:
        files: dict[str, str] = {}
        size = 0
        for place, name in enumerate(name for name in systems if name not in kept):
            state = systems[name]
            parts = {
                f"{place}.json": _plain_bytes(name, state),
                f"{place}.state": encode(SystemState({}, state.arrays)),
            }
            for file, content in parts.items():
                files[file] = put(folder / file, content)
                size += len(content)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "config_hash": self._config_hash,
            "partition": partition,
            "position": position,
            "files": files,
            "evicted": msgspec.to_builtins(kept),
        }
        content = json.dumps(manifest, indent=1).encode()
        put(folder / MANIFEST, content)
        sync(folder)
        return size + len(content)

    def _load(self, folder: Path, partition: str) -> Snapshot | None:
        manifest = read_manifest(folder)
        self._judge.accepts_version(folder, manifest["schema_version"], SCHEMA_VERSION)
        if not self._judge.accepts_config(folder, partition, manifest["config_hash"]):
            return None
        contents = {name: read_checked(folder / name, checksum) for name, checksum in manifest["files"].items()}
        try:
            systems = dict(system_in(contents, place) for place in range(len(contents) // 2))
            kept = self._kept_in(manifest, partition)
            self._kept[partition] = kept
            return Snapshot(int(manifest["position"]), systems, {name: one.known for name, one in kept.items()})
        except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise DamagedError(repr(error)) from None

    def _kept_in(self, manifest: Mapping[str, Any], partition: str) -> dict[str, Kept]:
        """The systems that a snapshot has and that were not in memory. Raises ValueError, DamagedError."""
        kept = msgspec.convert(manifest["evicted"], dict[str, Kept])
        files = self._evicted(partition)
        missing = [name for name, one in kept.items() if not files.has(one)]
        if missing:
            raise DamagedError(f"the state of system {missing[0]} is missing")
        return kept

    def _prune(self, partition: str) -> None:
        """The newest snapshots stay, and the states of evicted systems that they name."""
        folder = self._folder(partition)
        numbers = sorted(numbers_in(folder))
        for number in numbers[: -self._settings.keep]:
            shutil.rmtree(folder / f"{number:08d}", ignore_errors=True)
        staying = [folder / f"{number:08d}" for number in numbers[-self._settings.keep :]]
        if (folder / "evicted").is_dir():
            self._evicted(partition).prune(file for where in staying for file in _names_in(where))


def numbers_in(folder: Path) -> list[int]:
    """Of the snapshots of a partition."""
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()] if folder.is_dir() else []


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises DamagedError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        found = {name: manifest[name] for name in ("schema_version", "config_hash", "position", "files")}
        found["evicted"] = manifest.get("evicted", {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{MANIFEST}: {error!r}") from None
    return found


def _names_in(folder: Path) -> list[str]:
    """The files of evicted systems that a snapshot names; of a damaged one none, for it is not used."""
    try:
        return [one["file"] for one in read_manifest(folder)["evicted"].values()]
    except DamagedError:
        return []


def system_in(contents: Mapping[str, bytes], place: int) -> tuple[str, SystemState]:
    """The name and state of the system of that number. Raises KeyError, ValueError, TypeError, zipfile.BadZipFile."""
    document = json.loads(contents[f"{place}.json"])
    arrays = f"{place}.npz"  # of schema versions 1 and 2
    found = _unpack(contents[arrays]) if arrays in contents else decode(contents[f"{place}.state"]).arrays
    return document["system"], SystemState(document["state"], found)


def _plain_bytes(name: str, state: SystemState) -> bytes:
    return json.dumps({"system": name, "state": state.plain}, allow_nan=False).encode()


def _unpack(content: bytes) -> State:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
