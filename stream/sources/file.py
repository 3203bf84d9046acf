"""A file (CSV or JSON lines, plain or gzip) or standard input as a source; a line's number is its offset."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stream.decode import Decoder, Raw
from stream.errors import InputError
from stream.event_time import TimeStyle, Unit
from stream.settings import FileSettings, Settings
from stream.sources.lines import Chunk, Lines
from stream.sources.protocol import Batch, Reject
from stream.sources.table import Parsed, Table

JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}


def build(settings: Settings) -> "FileSource":
    return FileSource(settings.source.file)


class FileSource:
    """One partition, named after the file; its end is the end of the stream.

    Raises InputError where the file cannot be read, is empty, or has a header that cannot be one; a damaged end is
    raised after everything before it was given.
    """

    def __init__(self, settings: FileSettings) -> None:
        self.name = "stdin" if settings.path == "-" else Path(settings.path).name
        self._settings = settings
        self._lines = Lines(settings.path, max_line=settings.max_line)
        self._parser: Table | _Messages | None = None
        self._texts: dict[int, str] = {}
        self._before = 0  # lines ahead of the first data line: a CSV's header and empty lines above it
        self._offset: int | None = None  # where to begin, once started
        self._is_assigned = False
        self._is_paused = False

    @property
    def progress(self) -> tuple[int, int | None]:
        """Bytes read, and bytes in all if that is known."""
        return self._lines.progress

    @property
    def style(self) -> TimeStyle:
        """How the file writes times; ISO 8601 until the first one was seen."""
        return (self._parser and self._parser.style) or TimeStyle()

    def format_time(self, ns: int) -> str | int | float:
        """A time in the unit and style of the file."""
        return self.style.format(ns)

    def text_of(self, ns: int) -> str:
        """A time of the newest batch exactly as it stood in the file; an older one in the file's style."""
        return self._texts.get(ns) or str(self.style.format(ns))

    def read(self, timeout_s: float) -> Batch:
        if not self._is_assigned:
            self._is_assigned = True
            return Batch(assigned=(self.name,))
        if self._offset is None or self._is_paused:
            return Batch()
        chunk = self._lines.read(timeout_s)
        if self._parser is None:
            chunk = self._begin(chunk)
        return self._batch(chunk)

    def on_revoke(self, action: Callable[[Sequence[str]], None]) -> None:
        """A file stays ours."""

    def start(self, partition: str, offset: int | None) -> None:
        self._offset = offset or 0

    def commit(self, positions: Mapping[str, int]) -> None:
        """A file remembers no commit; a snapshot's position is all there is."""

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False

    def lag(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self._lines.close()

    def _begin(self, chunk: Chunk) -> Chunk:
        """Choose the format by the first line that is not empty; gives what follows a header."""
        place = next((i for i, line in enumerate(chunk.lines) if line.strip()), None)
        if place is None:
            if chunk.end:
                raise InputError(f"{self.name} is empty: expected a CSV header or JSON lines")
            return chunk
        first = chunk.lines[place]
        unit = None if self._settings.time_unit == "auto" else self._settings.time_unit
        if self._is_json(first):
            self._parser = _Messages(self.name, self._system, unit, self._settings.max_line)
            return chunk
        self._before = chunk.first + place + 1
        self._parser = Table(first, self.name, system=self._system, unit=unit)
        return Chunk(self._before, chunk.lines[place + 1 :], chunk.odd, chunk.end)

    @property
    def _system(self) -> str:
        return self._settings.system or self.name.split(".")[0] or self.name

    def _is_json(self, line: bytes) -> bool:
        if self._settings.format != "auto":
            return self._settings.format == "jsonl"
        return bool(JSON_SUFFIXES & set(Path(self.name).suffixes)) or line.lstrip().startswith((b"{", b"["))

    def _batch(self, chunk: Chunk) -> Batch:
        rejects = [
            Reject(odd.reason, odd.detail, self.name, odd.number - self._before, None, odd.beginning)
            for odd in chunk.odd
            if odd.number - self._before >= (self._offset or 0)
        ]
        chunk = self._after_start(Chunk(chunk.first - self._before, chunk.lines, [], chunk.end))
        parsed = self._parser.parse(chunk) if self._parser else Parsed([], [], [])
        times = [int(time) for readings in parsed.readings for time in readings.times] if parsed.texts else []
        self._texts = dict(zip(times, parsed.texts, strict=True))
        return Batch(
            parsed.readings,
            [*rejects, *parsed.rejects],
            {self.name: chunk.first + len(chunk.lines)} if chunk.lines else {},
            end=chunk.end,
        )

    def _after_start(self, chunk: Chunk) -> Chunk:
        """The lines that were not processed before the snapshot we begin at."""
        done = min(max(0, (self._offset or 0) - chunk.first), len(chunk.lines))
        return Chunk(chunk.first + done, chunk.lines[done:], [], chunk.end) if done else chunk


class _Messages:
    """JSON lines: the messages of :mod:`stream.decode`."""

    def __init__(self, name: str, system: str, unit: Unit | None, max_bytes: int) -> None:
        self.style: TimeStyle | None = TimeStyle(unit) if unit else None
        self._name = name
        self._decoder = Decoder(system=system, unit="ms" if unit in (None, "iso") else unit, max_bytes=max_bytes)

    def parse(self, chunk: Chunk) -> Parsed:
        raws = [Raw(chunk.first + place, None, line) for place, line in enumerate(chunk.lines) if line.strip()]
        readings, rejects = self._decoder.decode(self._name, raws)
        if self.style is None and readings:
            self.style = self._decoder.style_of(raws)
        return Parsed(readings, rejects, [])
