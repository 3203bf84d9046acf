"""Readings to rows on the system's own clock: one row a time, times strictly increasing, variables fixed.

A wide message or a CSV line is a whole row. Long messages are gathered by their time: a row is complete when all its
variables are there or a newer time arrives. What cannot become part of a row is rejected with its reason.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.block import Block, FloatArray, IntArray
from stream.decode import encode_row
from stream.settings import AlignSettings
from stream.sources.protocol import Readings, Reject

Cells = dict[str, float]
Piece = tuple[IntArray, FloatArray, IntArray]  # times (T,), values (T, D), offsets (T,)


@dataclass(frozen=True, slots=True)
class Aligned:
    """Complete rows (of all variables, in their fixed order) and what was rejected.

    offsets: (T,) position of each row's newest reading in its partition.
    """

    rows: Block
    offsets: IntArray
    rejects: list[Reject] = field(default_factory=list)


class Aligner:
    """The rows of one system. Its variables are those of its first whole row, or of its first ticks of long messages.

    A row that is older than the newest one is `late`, one of the same time a `duplicate`, one further ahead of the
    wall clock than allowed is from the `future` (only where a clock is told), and a name that came after the variables
    were fixed is an `unknown_variable`: the other variables of its row are kept.
    """

    def __init__(self, settings: AlignSettings) -> None:
        self._settings = settings
        self.variables: tuple[str, ...] | None = None
        self._last = -(2**63)  # time of the newest row, handed out or open
        self._offset = 0  # of the newest reading of a row that is gathered
        self._open: Cells | None = None  # the row of time _last while it is gathered
        self._held: list[tuple[int, Cells, int]] = []  # (time, cells, offset) that wait for the variables to be known

    def add(self, readings: Readings, *, now: int | None = None) -> Aligned:
        """The rows that these readings complete. now: wall clock in ns, to reject readings from the future."""
        done: list[Piece] = []
        rejects: list[Reject] = []
        readings = self._not_ahead(readings, now, rejects)
        if readings.complete:
            self._add_rows(readings, done, rejects)
        else:
            for place in range(len(readings.times)):
                self._add_part(readings, place, done, rejects)
        return self._aligned(done, rejects)

    def flush(self) -> Aligned:
        """The last rows when nothing more will come: the open one, and those held for want of variables."""
        done: list[Piece] = []
        self._close(done)
        self._fix(done)
        return self._aligned(done, [])

    def _not_ahead(self, readings: Readings, now: int | None, rejects: list[Reject]) -> Readings:
        if now is None:
            return readings
        ahead = readings.times > now + int(self._settings.max_ahead * 1e9)
        for place in np.flatnonzero(ahead):
            lead = (int(readings.times[place]) - now) / 1e9
            detail = f"{lead:.0f} s ahead of the wall clock, at most {self._settings.max_ahead:.0f} s are accepted"
            rejects.append(_reject("future", detail, readings, place))
        return _chosen(readings, ~ahead) if ahead.any() else readings

    def _add_rows(self, readings: Readings, done: list[Piece], rejects: list[Reject]) -> None:
        newest = np.maximum.accumulate(np.append(self._last, readings.times))[:-1]  # before each row
        is_new = readings.times > newest
        for place in np.flatnonzero(~is_new):
            rejects.append(_behind(readings, place, int(newest[place])))
        if not is_new.any():
            return
        readings = _chosen(readings, is_new)
        self._close(done)
        self._fix(done, also=readings.names)
        done.append((readings.times, self._columns(readings, rejects), readings.offsets))
        self._last = int(readings.times[-1])

    def _columns(self, readings: Readings, rejects: list[Reject]) -> FloatArray:
        """(T, D) the readings in the order of the variables; names that are not among them are rejected."""
        variables = self.variables or ()
        if readings.names == variables:
            return readings.values
        index = {name: place for place, name in enumerate(readings.names)}
        values = np.full((len(readings.times), len(variables)), np.nan)
        for column, name in enumerate(variables):
            if name in index:
                values[:, column] = readings.values[:, index[name]]
        unknown = tuple(name for name in readings.names if name not in set(variables))
        if unknown:
            part = Readings(
                readings.system,
                readings.partition,
                unknown,
                readings.times,
                readings.values[:, [index[name] for name in unknown]],
                readings.offsets,
            )
            rejects.extend(_unknown(part, place) for place in range(len(part.times)))
        return values

    def _add_part(self, readings: Readings, place: int, done: list[Piece], rejects: list[Reject]) -> None:
        time, cells = int(readings.times[place]), dict(zip(readings.names, readings.values[place], strict=True))
        if self.variables is not None and not cells.keys() <= set(self.variables):
            rejects.append(_unknown(readings, place))
        elif time < self._last or (time == self._last and (self._open is None or cells.keys() & self._open.keys())):
            rejects.append(_behind(readings, place, self._last))
        else:
            if time > self._last:
                self._close(done)
                self._last, self._open = time, {}
            self._open = {**(self._open or {}), **cells}
            self._offset = int(readings.offsets[place])
            if self.variables is not None and len(self._open) == len(self.variables):
                self._close(done)

    def _close(self, done: list[Piece]) -> None:
        """The open row is complete. The first ones wait until the variables are known."""
        if self._open is None:
            return
        self._held.append((self._last, self._open, self._offset))
        self._open = None
        if self.variables is not None or len(self._held) >= self._settings.discovery_ticks:
            self._fix(done)

    def _fix(self, done: list[Piece], *, also: tuple[str, ...] = ()) -> None:
        """From now on the variables are known: those seen so far. Gives the rows that waited for that."""
        if self.variables is None:
            names = dict.fromkeys([*(name for _, cells, _ in self._held for name in cells), *also])
            self.variables = tuple(names) or None
        for time, cells, offset in self._held:
            row = [cells.get(name, np.nan) for name in self.variables or ()]
            done.append((np.array([time]), np.array([row]), np.array([offset])))
        self._held = []

    def _aligned(self, done: list[Piece], rejects: list[Reject]) -> Aligned:
        if not done:
            none = np.zeros(0, dtype=np.int64)
            done = [(none, np.zeros((0, len(self.variables or ()))), none)]
        times, values, offsets = done[0] if len(done) == 1 else map(np.concatenate, zip(*done, strict=True))
        return Aligned(Block(times, values), offsets, rejects)

    def state(self) -> dict[str, Any]:
        """What JSON can hold: NaN becomes None."""
        return {
            "variables": self.variables and list(self.variables),
            "last": self._last,
            "offset": self._offset,
            "open": self._open and _plain(self._open),
            "held": [[time, _plain(cells), offset] for time, cells, offset in self._held],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.variables = tuple(state["variables"]) if state["variables"] else None
        self._last, self._offset = state["last"], state["offset"]
        self._open = _cells(state["open"]) if state["open"] else None
        self._held = [(time, _cells(cells), offset) for time, cells, offset in state["held"]]


def _plain(cells: Cells) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in cells.items()}


def _cells(plain: dict[str, float | None]) -> Cells:
    return {name: np.nan if value is None else value for name, value in plain.items()}


def _chosen(readings: Readings, mask: Any) -> Readings:
    return Readings(
        readings.system,
        readings.partition,
        readings.names,
        readings.times[mask],
        readings.values[mask],
        readings.offsets[mask],
        readings.complete,
    )


def _behind(readings: Readings, place: Any, newest: int) -> Reject:
    lag = (newest - int(readings.times[place])) / 1e9
    if lag == 0:
        return _reject("duplicate", "a row of this time was there before", readings, place)
    return _reject("late", f"{lag:g} s older than the newest row", readings, place)


def _unknown(readings: Readings, place: Any) -> Reject:
    detail = (
        f"the system's variables are fixed by its first rows, and {', '.join(readings.names)[:200]} is not among them"
    )
    return _reject("unknown_variable", detail, readings, place)


def _reject(reason: str, detail: str, readings: Readings, place: Any) -> Reject:
    """The original bytes are not at hand; a message that says the same stands for them, unless the source has them."""
    row = readings.values[place]
    message = encode_row(readings.system, int(readings.times[place]), readings.names, row)
    return Reject(reason, detail, readings.partition, int(readings.offsets[place]), readings.system.encode(), message)
