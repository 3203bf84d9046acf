"""Lines of CSV to readings: a header `time,name,name...`, then one row of the system a line; an empty cell is missing.

Whole chunks are converted at once (some 2 million cells a second); only where that fails each line is looked at alone.
"""

import csv
import math
from dataclasses import dataclass

import numpy as np

from detectors.block import FloatArray
from stream.decode import RejectedError
from stream.errors import InputError
from stream.event_time import TimeStyle, Unit
from stream.sources.lines import Chunk
from stream.sources.protocol import Readings, Reject

MISSING = frozenset({"", "na", "n/a", "null", "none", "nan", "-nan"})


@dataclass(slots=True)
class Parsed:
    """What a chunk of lines gave; texts are the times as they stood in the input, one for each reading."""

    readings: list[Readings]
    rejects: list[Reject]
    texts: list[str]


class Table:
    """One CSV of one system. Raises InputError for a header that cannot be one.

    unit: of a numeric time; None: by the size of the first one.
    """

    def __init__(self, header: bytes, name: str, *, system: str, unit: Unit | None) -> None:
        self.variables = _variables(header, name)
        self.style: TimeStyle | None = None
        self._name = name
        self._system = system
        self._unit = unit

    def parse(self, chunk: Chunk) -> Parsed:
        """The readings of data lines; a line's number is its offset. Empty lines are passed over."""
        numbers = [chunk.first + place for place, line in enumerate(chunk.lines) if line]
        lines = [line for line in chunk.lines if line]
        try:
            times, texts, values = self._all(lines)
        except (RejectedError, ValueError):
            return self._one_by_one(lines, numbers)
        return Parsed(self._readings(times, values, numbers), [], texts)

    def _all(self, lines: list[bytes]) -> tuple[list[int], list[str], FloatArray]:
        """Times, their texts, and values (T, N). Raises ValueError or RejectedError if any line is odd."""
        count = len(self.variables)
        together = b",".join(lines)
        if b'"' in together or b"_" in together or any(line.count(b",") != count for line in lines):
            raise ValueError("not plain")
        cells = together.split(b",") if lines else []
        texts = [text.decode() for text in cells[:: count + 1]]
        times = [self._time(text) for text in texts]
        cells[:: count + 1] = [b"0"] * len(lines)
        numbers = list(map(float, cells)) if b"" not in cells else [float(cell) if cell else math.nan for cell in cells]
        values = np.array(numbers).reshape(len(lines), count + 1)[:, 1:]
        if np.isinf(values).any():
            raise ValueError("not finite")
        return times, texts, values

    def _one_by_one(self, lines: list[bytes], numbers: list[int]) -> Parsed:
        good: list[tuple[int, str, list[float], int]] = []
        rejects: list[Reject] = []
        for line, number in zip(lines, numbers, strict=True):
            try:
                text, row = self._line(line)
                time = self._time(text)
            except RejectedError as error:
                detail = f"line {number + 2}: {error.detail}"
                rejects.append(Reject(error.reason, detail, self._name, number, None, line))
                continue
            good.append((time, text, row, number))
        values = np.array([row for _, _, row, _ in good], dtype=np.float64).reshape(len(good), len(self.variables))
        readings = self._readings([time for time, _, _, _ in good], values, [number for _, _, _, number in good])
        return Parsed(readings, rejects, [text for _, text, _, _ in good])

    def _line(self, line: bytes) -> tuple[str, list[float]]:
        try:
            cells = next(csv.reader([line.decode()], strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise RejectedError("columns", f"not a line of CSV: {error}") from None
        if len(cells) != len(self.variables) + 1:
            raise RejectedError("columns", f"a line must have {len(self.variables) + 1} cells, got {len(cells)}")
        named = zip(self.variables, cells[1:], strict=True)
        return cells[0], [_cell(name, cell) for name, cell in named]

    def _time(self, text: str) -> int:
        if not text.strip():
            raise RejectedError("no_ts", "the line has no time")
        try:
            if self.style is None:
                self.style = TimeStyle.of(text, self._unit)
            return self.style.parse(text)
        except (ValueError, OverflowError):
            unit = self.style.unit if self.style else self._unit or "iso"
            wanted = "ISO 8601" if unit == "iso" else f"a number in {unit}, as the first one was"
            raise RejectedError("bad_ts", f"time must be {wanted}, got {text[:80]!r}") from None

    def _readings(self, times: list[int], values: FloatArray, numbers: list[int]) -> list[Readings]:
        if not times:
            return []
        arrays = np.array(times, dtype=np.int64), values, np.array(numbers, dtype=np.int64)
        return [Readings(self._system, self._name, self.variables, *arrays)]


def _cell(name: str, cell: str) -> float:
    text = cell.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        number = float(text.replace("_", "?"))  # Python alone reads 1_000 as a number
    except ValueError:
        raise RejectedError("not_a_number", f"{name} must be a number or empty, got {cell[:80]!r}") from None
    if not math.isfinite(number):
        raise RejectedError("not_finite", f"{name} must be finite, got {cell[:80]!r}")
    return number


def _variables(header: bytes, name: str) -> tuple[str, ...]:
    """The names after the time column. Raises InputError."""
    try:
        cells = [cell.strip() for cell in next(csv.reader([header.decode("utf-8-sig")], strict=True))]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise InputError(f"{name}: the first line is no CSV header: {error}") from None
    if len(cells) < 2:
        other = next((sign for sign in ";\t|" if sign in cells[0]), None)
        hint = f"; cells must be separated by commas, these seem to be by {other!r}" if other else ""
        raise InputError(f"{name}: a header needs a time column and at least one variable, got {cells[0][:80]!r}{hint}")
    if all(_is_number(cell) for cell in cells):
        raise InputError(f"{name}: the first line must be a header (time,name,...), got numbers")
    for place, cell in enumerate(cells[1:], start=2):
        if not cell:
            raise InputError(f"{name}: column {place} of the header has no name")
        if cell in cells[: place - 1]:
            first = cells.index(cell) + 1
            raise InputError(f"{name}: the header names {cell!r} twice, in columns {first} and {place}")
    return tuple(cells[1:])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
