"""Bytes of messages to readings, or to a reject with its reason; and readings back to a message.

Three shapes are understood (JSON, UTF-8):

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
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from detectors.block import FloatArray
from stream.event_time import TimeStyle, Unit, from_number, from_text, to_text
from stream.sources.protocol import Readings, Reject

REASONS = (
    "not_json",  # the bytes are no JSON object
    "no_ts",
    "bad_ts",  # neither RFC 3339 nor a number of the expected unit, or outside the years 1677 to 2262
    "no_system",  # neither in the message nor in its key
    "no_values",  # neither values, nor name and value, nor names and rows
    "not_a_number",  # text, true or a nested thing where a number belongs
    "not_finite",  # NaN or infinity
    "too_long",
    "columns",  # a CSV line or a row of a table with too few or too many cells, or a table with another number of ts
    "cut_off",  # the input ended within this line
    # From stream.align, once a reading is understood:
    "late",  # older than a row that was already processed
    "past",  # so much older that its clock must be wrong
    "duplicate",
    "future",
    "unknown_variable",
)


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


class RejectedError(Exception):
    """A message that cannot become a reading; reason is one of REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class _Run:
    """Messages of one system in a row that name the same variables, still in Python objects."""

    names: tuple[str, ...]
    complete: bool
    times: list[int] = field(default_factory=list)
    values: list[list[float | None]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)


class Decoder:
    """Turns messages of one partition into readings, grouped by system. It keeps nothing between calls.

    system: the name for messages that name none in themselves or in their key; None rejects those.
    unit: of a numeric ts.  max_bytes: longer messages are rejected unread.
    """

    def __init__(self, *, system: str | None = None, unit: Unit = "ms", max_bytes: int = 1 << 20) -> None:
        self._system = system
        self._unit = unit
        self._max_bytes = max_bytes
        self._decoder = msgspec.json.Decoder(Message)

    def decode(self, partition: str, messages: Iterable[Raw]) -> tuple[list[Readings], list[Reject]]:
        """All readings of the messages, system by system in the order of arrival, and all rejects."""
        runs: dict[str, list[_Run]] = {}
        rejects: list[Reject] = []
        for raw in messages:
            try:
                self._add(runs, raw)
            except RejectedError as error:
                rejects.append(Reject(error.reason, error.detail, partition, raw.offset, raw.key, raw.value))
        return [_readings(system, partition, run) for system, rows in runs.items() for run in rows], rejects

    def style_of(self, messages: Iterable[Raw]) -> TimeStyle:
        """How the first good one of the messages writes its time."""
        for raw in messages:
            try:
                message = self._parse(raw.value)
                ts = _times_of(message)[0]
                return TimeStyle.of(ts) if isinstance(ts, str) else TimeStyle(self._unit)
            except (RejectedError, ValueError):
                continue
        return TimeStyle(self._unit)

    def _add(self, runs: dict[str, list[_Run]], raw: Raw) -> None:
        message = self._parse(raw.value)
        system = message.system or (raw.key or b"").decode("utf-8", "replace") or self._system
        if not system:
            raise RejectedError("no_system", "neither the message nor its key names a system")
        times = [self._time(ts) for ts in _times_of(message)]
        names, rows, complete = _cells(message)
        found = runs.setdefault(system, [])
        if not found or found[-1].names != names or found[-1].complete != complete:
            found.append(_Run(names, complete))
        run = found[-1]
        run.times += times
        run.values += rows
        run.offsets += [raw.offset] * len(times)
        if raw.arrived is not None:
            run.arrived += [raw.arrived] * len(times)

    def _parse(self, value: bytes) -> Message:
        if len(value) > self._max_bytes:
            raise RejectedError("too_long", f"a message must have at most {self._max_bytes} bytes, got {len(value)}")
        try:
            return self._decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _reason(value, error) from None

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


def _readings(system: str, partition: str, run: _Run) -> Readings:
    return Readings(
        system,
        partition,
        run.names,
        times=np.array(run.times, dtype=np.int64),
        values=np.array(run.values, dtype=np.float64).reshape(len(run.times), len(run.names)),  # None becomes NaN
        offsets=np.array(run.offsets, dtype=np.int64),
        complete=run.complete,
        arrived=np.array(run.arrived, dtype=np.int64) if len(run.arrived) == len(run.times) else None,
    )


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


def encode_row(system: str, ns: int, names: Sequence[str], row: FloatArray) -> bytes:
    """A wide message of one row (N,); NaN becomes null.

    >>> encode_row("shop", 0, ["cart.cpu"], np.array([0.5]))
    b'{"system":"shop","ts":"1970-01-01T00:00:00Z","values":{"cart.cpu":0.5}}'
    """
    values = dict(zip(names, row.tolist(), strict=True))
    return msgspec.json.encode({"system": system, "ts": to_text(ns), "values": values})


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 80 else text[:77] + "..."
