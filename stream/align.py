"""Readings to rows on the system's own clock: one row a time, times strictly increasing, variables fixed.

A wide message or a CSV line is a whole row. Long messages are gathered by their time: a row is complete when all its
variables are there or a newer time arrives. What cannot become part of a row is rejected with its reason.
"""

from dataclasses import dataclass, field
from operator import lt
from typing import Any

import numpy as np

from detectors.block import Block, BoolArray, FloatArray, IntArray
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
    late: list["Late"] = field(default_factory=list)

    def __getitem__(self, piece: slice) -> "Aligned":
        """Some of the rows alone."""
        return Aligned(Block(self.rows.times[piece], self.rows.values[piece]), self.offsets[piece])


@dataclass(frozen=True, slots=True)
class Late:
    """A reading that came after its row, but not so late that the row cannot be revised.

    newest: time of the newest row then. after: how many of the rows handed out with it were complete before it came.
    """

    readings: Readings
    place: int
    newest: int
    after: int

    @property
    def time(self) -> int:
        return int(self.readings.times[self.place])

    @property
    def offset(self) -> int:
        return int(self.readings.offsets[self.place])

    def reject(self, max_behind: float) -> Reject:
        """max_behind: seconds behind the newest row from which on it is no lateness."""
        return _behind(self.readings, self.place, self.newest, max_behind)

    def cells(self, variables: tuple[str, ...], missing: BoolArray) -> tuple[dict[int, float], list[Reject]]:
        """By column, what it knows of the variables that are missing (D,); and what of it is no variable."""
        row = dict(zip(self.readings.names, self.readings.values[self.place].tolist(), strict=True))
        found = {j: row[name] for j, name in enumerate(variables) if missing[j] and not np.isnan(row.get(name, np.nan))}
        unknown = tuple(name for name in row if name not in set(variables))
        return found, [_unknown(_named(self.readings, unknown), self.place)] if unknown else []


class Aligner:
    """The rows of one system. Its variables are those of its first whole row, or of its first ticks of long messages.

    The first reading of a variable in a row wins. One that is older than the newest row is `late`, one of the same time
    a `duplicate` (with revise_within only where its row cannot be revised: see :mod:`stream.revisions`), one further
    ahead of its arrival, or else of the wall clock, than allowed is from the `future` (where one is known): it does not
    move the system's time. One further behind the newest row than a slow producer could be is from the `past`. A name
    that came after the variables were fixed is an `unknown_variable`: the other variables of its row are kept.
    """

    def __init__(self, settings: AlignSettings) -> None:
        self._settings = settings
        self.variables: tuple[str, ...] | None = None
        self._last = -(2**63)  # time of the newest row, handed out or open
        self._offset = 0  # of the newest reading of a row that is gathered
        self._open: Cells | None = None  # the row of time _last while it is gathered
        self._held: list[tuple[int, Cells, int]] = []  # (time, cells, offset) that wait for the variables to be known

    @property
    def newest(self) -> int:
        """Time of the newest row, handed out or not, in ns."""
        return self._last

    @property
    def is_gathering(self) -> bool:
        """Readings wait for others of their row, or for the variables to be known."""
        return self._open is not None or bool(self._held)

    def add(self, readings: Readings, *, now: int | None = None) -> Aligned:
        """The rows that these readings complete. now: wall clock in ns, to reject readings from the future."""
        done: list[Piece] = []
        rejects: list[Reject] = []
        late: list[Late] = []
        readings = self._not_ahead(readings, now, rejects)
        if readings.complete:
            self._add_rows(readings, done, rejects, late)
        else:
            for place in range(len(readings.times)):
                self._add_part(readings, place, done, rejects, late)
        return self._aligned(done, rejects, late)

    def flush(self) -> Aligned:
        """The last rows when nothing more will come: the open one, and those held for want of variables."""
        done: list[Piece] = []
        self._close(done)
        self._fix(done)
        return self._aligned(done, [], [])

    def _not_ahead(self, readings: Readings, now: int | None, rejects: list[Reject]) -> Readings:
        """Held against their arrival, which is the same whenever they are read; else against our own clock."""
        clock = now if readings.arrived is None else readings.arrived
        if clock is None:
            return readings
        lead = (readings.times - clock) / 1e9
        ahead = lead > self._settings.max_ahead
        if not ahead.any():
            return readings
        against = "the wall clock" if readings.arrived is None else "its arrival"
        for place in np.flatnonzero(ahead):
            most = f"at most {self._settings.max_ahead:.0f} s are accepted"
            rejects.append(_reject("future", f"{lead[place]:.0f} s ahead of {against}, {most}", readings, place))
        return _chosen(readings, ~ahead)

    def _add_rows(self, readings: Readings, done: list[Piece], rejects: list[Reject], late: list[Late]) -> None:
        if _rise(self._last, readings.times.tolist()):  # as nearly always
            self._close(done)
            self._fix(done, also=readings.names)
            self._take(readings, done, rejects)
            return
        newest = np.maximum.accumulate(np.append(self._last, readings.times))[:-1]  # before each row
        is_new = readings.times > newest
        opened = _count(done)
        if is_new.any():
            self._close(done)
            self._fix(done, also=readings.names)
        begun, handed = _count(done), np.cumsum(is_new)
        for place in np.flatnonzero(~is_new).tolist():
            after = begun + int(handed[place]) if handed[place] else opened
            self._came_late(Late(readings, place, int(newest[place]), after), rejects, late)
        if is_new.any():
            self._take(_chosen(readings, is_new), done, rejects)

    def _take(self, readings: Readings, done: list[Piece], rejects: list[Reject]) -> None:
        """Whole rows, each newer than all before."""
        done.append((readings.times, self._columns(readings, rejects), readings.offsets))
        self._last = int(readings.times[-1])

    def _came_late(self, reading: Late, rejects: list[Reject], late: list[Late]) -> None:
        within = int(self._settings.revise_within * 1e9)
        if within and reading.newest - reading.time <= within:
            late.append(reading)
        else:
            rejects.append(reading.reject(self._settings.max_behind))

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
            part = _named(readings, unknown)
            rejects.extend(_unknown(part, place) for place in range(len(part.times)))
        return values

    def _add_part(
        self, readings: Readings, place: int, done: list[Piece], rejects: list[Reject], late: list[Late]
    ) -> None:
        time, cells = int(readings.times[place]), dict(zip(readings.names, readings.values[place], strict=True))
        if self.variables is not None and not cells.keys() <= set(self.variables):
            rejects.append(_unknown(readings, place))
        elif time < self._last or (time == self._last and (self._open is None or cells.keys() & self._open.keys())):
            self._came_late(Late(readings, place, self._last, _count(done)), rejects, late)
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
        if self.variables is not None and not self._held:
            return
        if self.variables is None:
            names = dict.fromkeys([*(name for _, cells, _ in self._held for name in cells), *also])
            self.variables = tuple(names) or None
        for time, cells, offset in self._held:
            row = [cells.get(name, np.nan) for name in self.variables or ()]
            done.append((np.array([time]), np.array([row]), np.array([offset])))
        self._held = []

    def _aligned(self, done: list[Piece], rejects: list[Reject], late: list[Late]) -> Aligned:
        if not done:
            none = np.zeros(0, dtype=np.int64)
            done = [(none, np.zeros((0, len(self.variables or ()))), none)]
        times, values, offsets = done[0] if len(done) == 1 else map(np.concatenate, zip(*done, strict=True))
        return Aligned(Block(times, values), offsets, rejects, late)

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
        None if readings.arrived is None else readings.arrived[mask],
    )


def _named(readings: Readings, names: tuple[str, ...]) -> Readings:
    """Some of the names of whole rows."""
    columns = [readings.names.index(name) for name in names]
    values = readings.values[:, columns]
    return Readings(readings.system, readings.partition, names, readings.times, values, readings.offsets)


def _rise(last: int, times: list[int]) -> bool:
    """Whether there are some, and each is after the one before."""
    return bool(times) and all(map(lt, [last, *times], times))


def _count(done: list[Piece]) -> int:
    """Rows."""
    return sum(len(times) for times, _, _ in done)


def _behind(readings: Readings, place: Any, newest: int, max_behind: float) -> Reject:
    lag = (newest - int(readings.times[place])) / 1e9
    if lag == 0:
        return _reject("duplicate", "a row of this time was there before", readings, place)
    return _reject("past" if lag > max_behind else "late", f"{lag:g} s older than the newest row", readings, place)


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
