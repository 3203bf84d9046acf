"""A file, plain or gzip, or standard input, as complete numbered lines; never more than a chunk of it in memory."""

import os
import select
import sys
import zlib
from collections.abc import Generator
from dataclasses import dataclass, field

from stream.errors import InputError

READ_BYTES = 1 << 16  # from the file at once
INFLATE_BYTES = 1 << 19  # from gzip at once
KEPT_BYTES = 4096  # of a line that is too long
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class OddLine:
    """A line that is not handed out: too long, or cut off where the input ended in the middle."""

    number: int
    reason: str
    detail: str
    beginning: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Complete lines without their ends. An odd line leaves an empty one at its place, so that numbers hold."""

    first: int  # number of the first line, from 0
    lines: list[bytes] = field(default_factory=list)
    odd: list[OddLine] = field(default_factory=list)
    end: bool = False


class Lines:
    """Reads lines in one thread. Raises InputError if the file cannot be opened.

    A damaged end (a truncated gzip) is an InputError too, but only after all complete lines before it were given.
    """

    def __init__(self, path: str, *, max_line: int) -> None:
        self._path = path
        self._max_line = max_line
        self._number = 0
        self._rest = b""  # the beginning of a line whose end was not read yet
        self._skipped = 0  # bytes of a too long line that were passed over
        self._read_bytes = 0
        self._error: InputError | None = None
        try:
            self._fd = os.dup(sys.stdin.fileno()) if path == "-" else os.open(path, os.O_RDONLY)
            self._total = os.fstat(self._fd).st_size or None
            self._pieces = _unpacked(self._raw(), path)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None

    @property
    def progress(self) -> tuple[int, int | None]:
        """Bytes read, and bytes in all if that is known."""
        return self._read_bytes, self._total

    def read(self, timeout_s: float) -> Chunk:
        """The next lines; none if nothing came within timeout_s. Raises InputError."""
        if self._error is not None:
            raise self._error
        if not self._ready(timeout_s):
            return Chunk(self._number)
        try:
            piece = next(self._pieces, None)
        except InputError as error:
            self._error = error
            return self._cut_off()
        return self._last() if piece is None else self._split(piece)

    def close(self) -> None:
        self._pieces.close()
        os.close(self._fd)

    def _ready(self, timeout_s: float) -> bool:
        return bool(select.select([self._fd], [], [], timeout_s)[0])

    def _raw(self) -> Generator[bytes]:
        while True:
            try:
                piece = os.read(self._fd, READ_BYTES)
            except OSError as error:
                raise InputError(f"cannot read {self._path}: {error.strerror}") from None
            if not piece:
                return
            self._read_bytes += len(piece)
            yield piece

    def _split(self, piece: bytes) -> Chunk:
        first = self._number
        odd: list[OddLine] = []
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if self._skipped and lines:
            lines[0], odd = self._finish_long(lines[0])
        for place, line in enumerate(lines):
            if len(line) > self._max_line:
                odd.append(self._too_long(first + place, len(line), line))
                lines[place] = b""
        self._number += len(lines)
        self._bound_rest()
        return Chunk(first, [line[:-1] if line.endswith(b"\r") else line for line in lines], odd)

    def _bound_rest(self) -> None:
        """Of a line that is too long already, keep its beginning and count the rest."""
        if len(self._rest) > self._max_line or self._skipped:
            self._skipped += max(0, len(self._rest) - KEPT_BYTES)
            self._rest = self._rest[:KEPT_BYTES]

    def _finish_long(self, line: bytes) -> tuple[bytes, list[OddLine]]:
        size, self._skipped = self._skipped + len(line), 0
        return b"", [self._too_long(self._number, size, line)]

    def _too_long(self, number: int, size: int, line: bytes) -> OddLine:
        detail = f"line {number + 1} has {size} bytes, at most {self._max_line} are read; its beginning is kept"
        return OddLine(number, "too_long", detail, line[:KEPT_BYTES])

    def _last(self) -> Chunk:
        """The input ended; a last line without a newline is complete."""
        rest = self._split(b"\n") if self._rest else Chunk(self._number)
        return Chunk(rest.first, rest.lines, rest.odd, end=True)

    def _cut_off(self) -> Chunk:
        detail = f"the input ends within line {self._number + 1}"
        odd = [OddLine(self._number, "cut_off", detail, self._rest[:KEPT_BYTES])] if self._rest else []
        return Chunk(self._number, [], odd)


def _unpacked(pieces: Generator[bytes], name: str) -> Generator[bytes]:
    """The bytes, inflated if they are gzip, whatever the file is called."""
    beginning = b""
    for piece in pieces:
        beginning += piece
        if len(beginning) >= len(GZIP):
            break
    together = _chain(beginning, pieces)
    yield from _inflated(together, name) if beginning.startswith(GZIP) else together


def _chain(first: bytes, others: Generator[bytes]) -> Generator[bytes]:
    if first:
        yield first
    yield from others


def _inflated(pieces: Generator[bytes], name: str) -> Generator[bytes]:
    """Members of a gzip file one after another. Raises InputError where it is damaged or ends early."""
    member, is_whole = zlib.decompressobj(31), True
    try:
        for piece in pieces:
            rest, is_full = piece, False
            while rest or is_full:
                yield (inflated := member.decompress(rest, INFLATE_BYTES))
                is_whole, is_full = member.eof, len(inflated) == INFLATE_BYTES and not member.eof
                rest = member.unused_data.lstrip(b"\0") if is_whole else member.unconsumed_tail
                if is_whole:
                    member = zlib.decompressobj(31)
    except zlib.error as error:
        raise InputError(f"{name}: damaged gzip data ({error}); everything before was read") from None
    if not is_whole:
        raise InputError(f"{name}: the gzip data end early; everything before was read")
