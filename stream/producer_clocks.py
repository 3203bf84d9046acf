"""Producers whose clocks are wrong, told apart from our own lag: by when their readings arrived, not when we read them.

A producer is a system's entity, or the whole system where messages are whole rows. Its clock is ahead while its newest
reading is refused as from the future; behind while that is much older than the system's newest row, or than its own
arrival. (One that delivers late looks the same.) What is told is each change, once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from detectors.causes.graph import entity_of
from stream.event_time import NS_PER
from stream.sources.protocol import Readings, Reject

Direction: TypeAlias = Literal["ahead", "behind", "right"]
DIRECTIONS: tuple[Direction, ...] = ("ahead", "behind")
MOST = 10_000  # that are remembered: names may be made up


@dataclass(frozen=True, slots=True)
class ClockChange:
    """What a producer's clock is since its newest reading. entity: empty for the whole system. off_s > 0: ahead."""

    system: str
    entity: str
    direction: Direction
    off_s: float


class ProducerClocks:
    """max_behind_s: how old a reading may be when it arrives."""

    def __init__(self, max_behind_s: float) -> None:
        self._limit = int(max_behind_s * NS_PER["s"])
        self._wrong: dict[tuple[str, str, str], Direction] = {}  # partition, system, entity

    def judge(
        self, readings: Readings, rejects: Sequence[Reject], *, newest: int, now: int | None
    ) -> ClockChange | None:
        """What these readings, some of which were rejected, change. newest: time of the system's newest row."""
        off = self._off(readings, rejects, newest, now)
        if off is None:
            return None
        entity = "" if readings.complete else entity_of(readings.names[0])
        key, direction = (readings.partition, readings.system, entity), _direction(off)
        if self._wrong.get(key, "right") == direction or (key not in self._wrong and len(self._wrong) >= MOST):
            return None
        self._wrong.pop(key, None)
        if direction != "right":
            self._wrong[key] = direction
        return ClockChange(readings.system, entity, direction, off / NS_PER["s"])

    def _off(self, readings: Readings, rejects: Sequence[Reject], newest: int, now: int | None) -> int | None:
        """By how much the newest reading's time is off, in ns; 0: it is not; None: it does not say."""
        if not len(readings.times):
            return None
        time, place = int(readings.times[-1]), int(readings.offsets[-1])
        arrived = None if readings.arrived is None else int(readings.arrived[-1])
        reason = next((reject.reason for reject in reversed(rejects) if reject.offset == place), "")
        if reason == "future":
            return time - (arrived or now or time)
        if reason in ("past", "late", "duplicate"):
            return time - newest if reason == "past" else None
        return time - arrived if arrived is not None and arrived - time > self._limit else 0

    def forget(self, partition: str) -> None:
        """It is another process's now."""
        for key in [key for key in self._wrong if key[0] == partition]:
            del self._wrong[key]

    @property
    def wrong(self) -> Counter[str]:
        """How many producers' clocks are ahead, and behind."""
        return Counter(self._wrong.values())


def _direction(off: int) -> Direction:
    return "ahead" if off > 0 else "behind" if off < 0 else "right"
