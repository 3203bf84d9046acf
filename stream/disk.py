"""Files that are on the disk once they were written, and are what was written when they are read."""

import hashlib
import os
from pathlib import Path


class DamagedError(Exception):
    """A file that is not what was written, or is not there."""


def put(path: Path, content: bytes) -> str:
    """Write and sync; gives the checksum."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return checksum_of(content)


def read_checked(path: Path, checksum: str) -> bytes:
    """Raises DamagedError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path.name}: {error.strerror}") from None
    if checksum_of(content) != checksum:
        raise DamagedError(f"{path.name}: the checksum differs")
    return content


def checksum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
