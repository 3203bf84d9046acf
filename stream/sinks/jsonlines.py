"""Findings as JSON, one a line, into a file or to standard output; rejects into a file of their own.

Promise: after flush() returned, the lines have left this process; a crash of the machine may still lose them.
"""

import base64
import os
import sys
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec

from stream.errors import ConfigError, DependencyError
from stream.records import FindingRecord
from stream.settings import Settings
from stream.sources.protocol import Reject


def build_sink(settings: Settings) -> "JsonLines":
    return JsonLines(settings.sinks.jsonlines.path, append=True)


def build_dead_letters(settings: Settings) -> "RejectLines":
    return RejectLines(settings.sinks.rejects_path, append=True)


class _Lines:
    """Whole lines to a file; path "-" is standard output.

    What could not be written is kept and written by the next flush, so that a full disk loses nothing. Appending, a
    last line that a crash left torn is cut off first.
    """

    def __init__(self, path: str, *, append: bool) -> None:
        self._path = path
        self._append = append
        self._file: FileIO | None = None
        self._waiting = bytearray()

    def add(self, lines: bytes) -> None:
        self._waiting += lines

    def flush(self) -> None:
        try:
            if self._waiting:
                self.open()
            while self._waiting and self._file is not None:
                del self._waiting[: self._file.write(self._waiting)]
        except BrokenPipeError:
            raise  # nobody reads standard output any more: there is nothing to wait for
        except OSError as error:
            raise DependencyError(f"cannot write {self._path}: {error.strerror or error}") from error

    def open(self) -> None:
        if self._file is not None:
            return
        if self._path == "-":
            sys.stdout.flush()
            self._file = FileIO(sys.stdout.fileno(), "wb", closefd=False)
            return
        if self._append and Path(self._path).is_file():
            _mend(Path(self._path))
        self._file = FileIO(self._path, "ab" if self._append else "wb")

    def close(self) -> None:
        try:
            if self._waiting:
                self.flush()
        finally:
            if self._file is not None:
                self._file.close()


def _mend(path: Path) -> None:
    """Cut off a last line without an end."""
    with path.open("rb+") as file:
        size = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                position = start + found + 1
                break
            position = start
        if position < size:
            file.truncate(position)


class JsonLines:
    """A sink of findings: one JSON document a line, `kind` first."""

    def __init__(self, path: str, *, append: bool = False) -> None:
        self._lines = _Lines(path, append=append)
        try:
            self._lines.open()  # there even if nothing is found
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
        self._encoder = msgspec.json.Encoder()

    def write(self, findings: Sequence[FindingRecord]) -> None:
        for finding in findings:
            self._lines.add(self._encoder.encode(finding) + b"\n")

    def flush(self) -> None:
        self._lines.flush()

    def close(self) -> None:
        self._lines.close()


class RejectLines:
    """A keeper of dead letters: reason, place and the original bytes (as text, or as base64 where they are none).

    The file is made when there is something to keep.
    """

    def __init__(self, path: str, *, append: bool = False) -> None:
        _check_folder(path)
        self._lines = _Lines(path, append=append)

    def write(self, rejects: Sequence[Reject]) -> None:
        for reject in rejects:
            self._lines.add(msgspec.json.encode(_document(reject)) + b"\n")

    def flush(self) -> None:
        self._lines.flush()

    def close(self) -> None:
        self._lines.close()


def _document(reject: Reject) -> dict[str, Any]:
    place = {"partition": reject.partition, "offset": reject.offset}
    key = {} if reject.key is None else _text("key", reject.key)
    return {"reason": reject.reason, "detail": reject.detail, **place, **key, **_text("value", reject.value)}


def _text(name: str, value: bytes) -> dict[str, str]:
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _check_folder(path: str) -> None:
    folder = Path(path).parent
    if path != "-" and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ConfigError(f"cannot write {path}: {folder} is not a folder that can be written to")
