"""Which systems leave memory for the snapshot store, and what stays of them.

A system leaves when the newest row of its partition has gone on for long, in event time, since it had a row; or when it
is the least recently used of too many. Both are judged by event time and the order of the rows alone (not by how old
its rows are: a clock that is behind is not idle). A system that left comes back from the store with its next reading,
bit for bit, so that nothing but memory depends on who leaves and when.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

import msgspec

from stream.event_time import NS_PER
from stream.records import IncidentRecord

Key: TypeAlias = tuple[str, str]  # partition, system


class Evicted(msgspec.Struct, frozen=True):
    """What is known of a system that only the snapshot store holds.

    last: ns, of its newest row or reading. is_unfinished: the end of the input has something to say of it: a row is
    being gathered, or an incident is open. incident: the open one, as it was last told.
    """

    last: int
    is_unfinished: bool = False
    incident: IncidentRecord | None = None


class Recency:
    """The systems in memory by when they had their last row.

    evict_after_s: without rows, by event time; 0: for ever. most: systems that stay; 0: all.
    """

    def __init__(self, evict_after_s: float = 0.0, most: int = 0) -> None:
        self._after = int(evict_after_s * NS_PER["s"])
        self._most = most
        self._newest: dict[str, int] = {}  # partition -> its newest row of any system
        self._last: dict[Key, int] = {}  # what that was at each system's last row; the least recently used first

    def saw(self, key: Key, time: int) -> None:
        """A reading of the system came; its newest row is of that time."""
        self._put(key, self._advance(key[0], time))

    def loaded(self, key: Key, time: int) -> None:
        """The system came from a snapshot, with its newest row of that time."""
        self._advance(key[0], time)
        self._put(key, time)

    def _advance(self, partition: str, time: int) -> int:
        self._newest[partition] = max(time, self._newest.get(partition, time))
        return self._newest[partition]

    def _put(self, key: Key, time: int) -> None:
        self._last.pop(key, None)
        self._last[key] = time

    def forget(self, key: Key) -> None:
        self._last.pop(key, None)

    def drop(self, partition: str) -> None:
        """Its systems are forgotten."""
        self._newest.pop(partition, None)

    @property
    def is_crowded(self) -> bool:
        """A quarter more are in memory than should be."""
        return self._most > 0 and 4 * len(self._last) > 5 * self._most

    def leaving(self) -> dict[str, list[str]]:
        """Partition -> the systems that should leave memory, the least recently used first."""
        found: dict[str, list[str]] = {}
        idle = dict.fromkeys(self._idle()) if self._after else {}
        over = len(self._last) - len(idle) - self._most if self._most else 0
        others = (key for key in self._last if key not in idle)
        for partition, name in [*idle, *islice(others, max(0, over))]:
            found.setdefault(partition, []).append(name)
        return found

    def _idle(self) -> Iterator[Key]:
        return (key for key, time in self._last.items() if self._newest[key[0]] - time > self._after)
