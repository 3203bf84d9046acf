"""What one message says: its system, its rows, or why it is rejected. Three shapes are understood (JSON, UTF-8):

    wide    {"system": "shop", "ts": 1661140260000, "values": {"cart.cpu": 0.7, "cart.mem": null}}
    long    {"system": "shop", "ts": "2022-08-22T03:51:00Z", "entity": "cart", "name": "cpu", "value": 0.7}
    table   {"system": "shop", "names": ["cart.cpu", "cart.mem"], "ts": [1661140260000, 1661140320000],
             "rows": [[0.7, null], [0.8, 12]]}

A table sends the names once for as many rows as it has, each with its ts, and is read or rejected as a whole.

`ts` is RFC 3339 text or epoch milliseconds; null is a missing value; `entity` prefixes the names. A message without
`system` belongs to the system that its key names.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import msgspec
import numpy as np

from detectors.block import FloatArray
from stream.event_time import LIMIT_NS, NS_PER, TimeStyle, Unit, from_number, from_text
from stream.table_message import table_of

Ts: TypeAlias = int | float | str


class Message(msgspec.Struct):
    """What may stand in a message; other keys are passed over."""

    ts: Ts | list[Ts]
    system: str | None = None
    values: dict[str, float | None] | None = None
    names: list[str] | None = None
    rows: list[list[float | None]] | None = None
    name: str | None = None
    value: float | msgspec.UnsetType | None = msgspec.UNSET
    entity: str | None = None


class Raw(NamedTuple):
    """A message as it came: its place, its key and its bytes, and when that was, in ns, if it is known."""

    offset: int
    key: bytes | None
    value: bytes
    arrived: int | None = None


class Messages(NamedTuple):
    """M messages as columns. arrived: None where nobody knows it of any."""

    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    arrived: Sequence[int | None] | None = None

    @classmethod
    def of(cls, raws: Iterable[Raw]) -> Self:
        columns = list(zip(*raws, strict=True))
        return cls(*columns) if columns else cls((), (), ())


class RejectedError(Exception):
    """A message that cannot become a reading; reason is one of stream.decode.REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Told(NamedTuple):
    """What a message says. rows: the values of each of its rows; is_complete: they are whole rows of the system."""

    system: str
    times: list[int]
    names: tuple[str, ...]
    rows: list[list[float | None]] | FloatArray
    is_complete: bool


class MessageReader:
    """Reads one message after another.

    system: the name for messages that name none in themselves or in their key; None rejects those.
    unit: of a numeric ts.  max_bytes: longer messages are rejected unread.
    """

    def __init__(self, *, system: str | None, unit: Unit, max_bytes: int) -> None:
        self._system = system
        self._unit = unit
        self._max_bytes = max_bytes
        self._decoder = msgspec.json.Decoder(Message)

    def read(self, key: bytes | None, value: bytes) -> Told:
        """Raises RejectedError."""
        return self._table(key, value) or self._message(key, value)

    def _table(self, key: bytes | None, value: bytes) -> Told | None:
        found = table_of(value) if len(value) <= self._max_bytes else None
        if found is None:
            return None
        table, rows = found
        system = table.system or self.system_of(key)
        prefix = f"{table.entity}." if table.entity else ""
        names = tuple(prefix + name for name in table.names)
        return Told(system, self._times(table.ts), names, rows, True) if system else None

    def _message(self, key: bytes | None, value: bytes) -> Told:
        message = self._parse(value)
        system = message.system or self.system_of(key)
        if not system:
            raise RejectedError("no_system", "neither the message nor its key names a system")
        times = [self._time(ts) for ts in _times_of(message)]
        names, rows, is_complete = _cells(message)
        if len(rows) != len(times):  # it has values and rows
            raise RejectedError("columns", f"{len(times)} ts need as many rows, got {len(rows)}")
        return Told(system, times, names, rows, is_complete)

    def system_of(self, key: bytes | None) -> str | None:
        """The system of a message that names none."""
        return (key or b"").decode("utf-8", "replace") or self._system

    def style_of(self, value: bytes) -> TimeStyle | None:
        """How the message writes its time; None if it does not tell."""
        try:
            ts = _times_of(self._parse(value))[0]
            return TimeStyle.of(ts) if isinstance(ts, str) else TimeStyle(self._unit)
        except (RejectedError, ValueError):
            return None

    def _parse(self, value: bytes) -> Message:
        if len(value) > self._max_bytes:
            raise RejectedError("too_long", f"a message must have at most {self._max_bytes} bytes, got {len(value)}")
        try:
            return self._decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _reason(value, error) from None

    def _times(self, many: Sequence[Ts]) -> list[int]:
        ns_per = NS_PER[self._unit]
        most = LIMIT_NS // ns_per
        whole = [ts for ts in many if isinstance(ts, int) and -most <= ts <= most]
        return [ts * ns_per for ts in whole] if len(whole) == len(many) else [self._time(ts) for ts in many]

    def _time(self, ts: Ts) -> int:
        try:
            return from_text(ts) if isinstance(ts, str) else from_number(ts, self._unit)
        except (ValueError, OverflowError):
            wanted = f"RFC 3339 or a number in {self._unit}"
            raise RejectedError("bad_ts", f"ts must be {wanted}, got {_short(ts)}") from None


def _times_of(message: Message) -> Sequence[Ts]:
    """One ts for each row of the message."""
    wanted = "a list" if message.rows else "one time"
    if isinstance(message.ts, list) != bool(message.rows):
        raise RejectedError("bad_ts", f"ts must be {wanted} {'beside' if message.rows else 'without'} rows")
    if isinstance(message.ts, list) and len(message.ts) != len(message.rows or ()):
        raise RejectedError("columns", f"{len(message.rows or ())} rows need as many ts, got {len(message.ts)}")
    return message.ts if isinstance(message.ts, list) else [message.ts]


def _cells(message: Message) -> tuple[tuple[str, ...], list[list[float | None]], bool]:
    """The names of a message and the values of each of its rows, and whether they are whole rows."""
    prefix = f"{message.entity}." if message.entity else ""
    if message.values:
        names = tuple(message.values)
        return (tuple(prefix + name for name in names) if prefix else names), [list(message.values.values())], True
    if message.name and message.value is not msgspec.UNSET:
        return (prefix + message.name,), [[message.value]], False
    if message.names and message.rows:
        return tuple(prefix + name for name in _unique(message.names)), _even(message.rows, len(message.names)), True
    wanted = '"values": {name: number}, "name" and "value", or "names" and "rows"'
    raise RejectedError("no_values", f"a message needs {wanted}")


def _unique(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise RejectedError("columns", f"names must be different, got {_short(twice)} twice")
    return names


def _even(rows: list[list[float | None]], count: int) -> list[list[float | None]]:
    for number, row in enumerate(rows):
        if len(row) != count:
            raise RejectedError("columns", f"row {number} must have {count} cells, as many as names, got {len(row)}")
    return rows


def _reason(value: bytes, error: Exception) -> RejectedError:
    """Why the fast decoder refused. Slow, on bad messages only; Python's own JSON also reads NaN and Infinity."""
    try:
        loose = json.loads(value, parse_int=float)
    except (ValueError, RecursionError):
        return RejectedError("not_json", f"the message is not JSON: {error}")
    if not isinstance(loose, dict):
        return RejectedError("not_json", f"a message must be a JSON object, got {_short(loose)}")
    if loose.get("ts") is None:
        return RejectedError("no_ts", "the message has no ts")
    for ts in loose["ts"] if isinstance(loose["ts"], list) else [loose["ts"]]:
        if not isinstance(ts, float | str) or (isinstance(ts, float) and not np.isfinite(ts)):
            return RejectedError("bad_ts", f"ts must be RFC 3339 or a number, got {_short(ts)}")
    if not isinstance(loose.get("values", {}), dict | None):
        return RejectedError("no_values", f"values must be an object, got {_short(loose['values'])}")
    return _odd_value(loose) or RejectedError("not_json", f"the message has an unknown shape: {error}")


def _odd_value(loose: dict[str, Any]) -> RejectedError | None:
    for name, cell in _loose_cells(loose):
        if not isinstance(cell, float | None):
            return RejectedError("not_a_number", f"{name} must be a number or null, got {_short(cell)}")
        if cell is not None and not np.isfinite(cell):
            return RejectedError("not_finite", f"{name} must be finite, got {cell}")
    return None


def _loose_cells(loose: dict[str, Any]) -> Iterable[tuple[Any, Any]]:
    values, names, rows = loose.get("values"), loose.get("names"), loose.get("rows")
    if isinstance(values, dict):
        return values.items()
    if isinstance(names, list) and isinstance(rows, list):
        return (cell for row in rows if isinstance(row, list) for cell in zip(names, row, strict=False))
    return [(loose.get("name"), loose.get("value"))]


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 80 else text[:77] + "..."
