"""Rows of messages, gathered system by system, and told as readings."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import numpy as np

from detectors.block import FloatArray, IntArray
from stream.message import Messages, Told
from stream.sources.protocol import Readings

UNKNOWN = -(2**63)  # when a message arrived


@dataclass(slots=True)
class _Told:
    """Messages of one system that name the same variables, in Python objects still. places: of each row's message."""

    places: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[list[float | None]] = field(default_factory=list)
    blocks: list[FloatArray] = field(default_factory=list)  # in place of values, where they are arrays already


@dataclass(frozen=True, slots=True)
class _Run:
    """R rows of one system that name the same variables, with the places of their messages in the batch."""

    names: tuple[str, ...]
    complete: bool
    places: IntArray
    times: IntArray
    values: FloatArray

    def __getitem__(self, piece: slice) -> "_Run":
        return _Run(self.names, self.complete, self.places[piece], self.times[piece], self.values[piece])


class Runs:
    """Of the messages of one batch of a partition."""

    def __init__(self, partition: str, messages: Messages) -> None:
        self._partition = partition
        self._offsets = np.array(messages.offsets, dtype=np.int64)
        self._arrived = _arrived(messages)
        self._told: dict[tuple[str, tuple[str, ...], bool, bool], _Told] = {}
        self._runs: list[tuple[str, _Run]] = []

    def add(self, place: int, told: Told) -> None:
        """The message in this place was read by itself."""
        is_block = isinstance(told.rows, np.ndarray)
        run = self._told.setdefault((told.system, told.names, told.is_complete, is_block), _Told())
        run.times += told.times
        if isinstance(told.rows, np.ndarray):
            run.blocks.append(told.rows)
        else:
            run.values += told.rows
        run.places += [place] * len(told.times)

    def add_rows(
        self, system: str, names: tuple[str, ...], places: IntArray, times: IntArray, values: FloatArray
    ) -> None:
        """The messages in these places are these whole rows."""
        self._runs.append((system, _Run(names, True, places, times, values)))

    def readings(self) -> list[Readings]:
        """System by system, in the order of arrival."""
        by_system: dict[str, list[_Run]] = {}
        for system, run in sorted([*self._runs, *self._as_arrays()], key=lambda known: known[1].places[0]):
            by_system.setdefault(system, []).append(run)
        return [self._readings(system, run) for system in by_system for run in _in_order(by_system[system])]

    def _as_arrays(self) -> Iterator[tuple[str, _Run]]:
        """None becomes NaN."""
        for (system, names, complete, is_block), told in self._told.items():
            values = np.concatenate(told.blocks) if is_block else np.array(told.values, dtype=np.float64)
            values = values.reshape(len(told.times), len(names))
            yield system, _Run(names, complete, np.array(told.places), np.array(told.times, dtype=np.int64), values)

    def _readings(self, system: str, run: _Run) -> Readings:
        """When they arrived is told if it is known of all."""
        known = self._arrived[run.places]
        arrived = None if (known == UNKNOWN).any() else known
        offsets = self._offsets[run.places]
        return Readings(system, self._partition, run.names, run.times, run.values, offsets, run.complete, arrived)


def _arrived(messages: Messages) -> IntArray:
    if messages.arrived is None:
        return np.full(len(messages.offsets), UNKNOWN)
    if None not in messages.arrived:
        return np.array(messages.arrived, dtype=np.int64)
    return np.array([UNKNOWN if arrived is None else arrived for arrived in messages.arrived])


def _in_order(runs: list[_Run]) -> Iterable[_Run]:
    """The runs of one system, cut where rows of another one came in between."""
    if len(runs) == 1:
        return runs
    rows = sorted(
        (place, which, row) for which, run in enumerate(runs) for row, place in enumerate(run.places.tolist())
    )
    stretches = (list(stretch) for _, stretch in groupby(rows, key=itemgetter(1)))
    return [runs[rows[0][1]][rows[0][2] : rows[-1][2] + 1] for rows in stretches]
