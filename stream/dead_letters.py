"""Dead letters as they are kept, in a topic or in a file: read again, and remembered once they were replayed.

A letter is known by where its message stood and by its bytes. The keepers promise at least once, so that after a crash
one letter may be there twice: it counts once. What was replayed is remembered beside the letters themselves, where it
lives as long as they do: in the topic as a record of its own, a receipt; for a file in `<file>.replayed`.
"""

import base64
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stream.errors import DependencyError, InputError
from stream.records import content_id

log = logging.getLogger(__name__)

SHOWN_BYTES = 120


@dataclass(frozen=True, slots=True)
class Letter:
    """kept_in: the topic or file, place: where in it.  topic, partition, offset: of the message that was rejected."""

    kept_in: str
    place: str
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes

    @property
    def id(self) -> str:
        return content_id("letter", self.topic, self.partition, self.offset, hashlib.sha256(self.value).hexdigest())

    @property
    def first_bytes(self) -> str:
        """
        >>> Letter("t.dlq", "0", "not_json", "", "t", 0, 1, None, bytes([255, 123])).first_bytes
        '\\\\xff{'
        """
        return self.value[:SHOWN_BYTES].decode("utf-8", "backslashreplace")


class Letters(Protocol):
    """One place that keeps dead letters."""

    def replayed(self) -> set[str]:
        """The ids of those that were replayed."""

    def letters(self) -> Iterator[Letter]:
        """All, the oldest first; some perhaps twice."""

    def remember(self, letters: Sequence[Letter]) -> None:
        """They were replayed. Returns when that is safe."""


def each_once(letters: Iterable[Letter]) -> Iterator[Letter]:
    seen: set[str] = set()
    for letter in letters:
        if letter.id not in seen:
            seen.add(letter.id)
            yield letter


class FileLetters:
    """The letters of a file of JSON lines (stream.sinks.jsonlines). Raises InputError if there is no such file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._receipts = Path(f"{path}.replayed")
        if not self._path.is_file():
            raise InputError(f"there is no file {path} with dead letters")

    def replayed(self) -> set[str]:
        return set(self._receipts.read_text().split()) if self._receipts.is_file() else set()

    def letters(self) -> Iterator[Letter]:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield self._letter(json.loads(line), number)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    extra = {"file": str(self._path), "line": number, "error": repr(error)}
                    log.warning("not a dead letter", extra=extra)

    def remember(self, letters: Sequence[Letter]) -> None:
        try:
            with self._receipts.open("a") as file:
                file.writelines(f"{letter.id}\n" for letter in letters)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DependencyError(f"cannot write {self._receipts}: {error.strerror or error}") from error

    def _letter(self, document: dict[str, Any], line: int) -> Letter:
        """A file's input has no partition number: then its topic is the input's name, and nothing it is sent to."""
        topic, _, number = document["partition"].rpartition("-")
        has_number = bool(topic) and number.isdigit()
        return Letter(
            str(self._path),
            f"{line}",
            document["reason"],
            document["detail"],
            topic if has_number else document["partition"],
            int(number) if has_number else 0,
            int(document["offset"]),
            _bytes(document, "key"),
            _bytes(document, "value") or b"",
        )


def _bytes(document: dict[str, Any], name: str) -> bytes | None:
    if f"{name}_base64" in document:
        return base64.b64decode(document[f"{name}_base64"], validate=True)
    return document[name].encode() if name in document else None
