"""Maintenance windows: when a system's incidents are recorded and page nobody. The rows' own time decides."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from stream.event_time import NS_PER, from_text

DAILY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """Either once, from start to end (RFC 3339; without a zone UTC), or every day. Beginnings are inside, ends are not.

    daily: HH:MM-HH:MM by the clocks of the zone; one that ends before it begins passes midnight.
    zone: a name of the time zone database.  systems: those that it holds for; none named: all.
    """

    start: str = ""
    end: str = ""
    daily: str = ""
    zone: str = "UTC"
    systems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.daily and (self.start or self.end):
            raise ValueError("daily and start, end exclude each other")
        if self.daily:
            _of_day(self.daily)
            _zone(self.zone)
        elif _time("end", self.end) <= _time("start", self.start):
            raise ValueError(f"end must be after start, got {self.start} to {self.end}")

    def covers(self, system: str, time: int) -> bool:
        """Whether a moment (ns) of a system lies inside.

        >>> night = MaintenanceWindow(daily="23:30-01:00")
        >>> [night.covers("shop", minutes * 60 * 10**9) for minutes in (59, 60, 1409, 1410)]
        [True, False, False, True]
        """
        if self.systems and system not in self.systems:
            return False
        if not self.daily:
            return from_text(self.start) <= time < from_text(self.end)
        begins, ends = _of_day(self.daily)
        moment = _minute(time, _zone(self.zone))
        return begins <= moment < ends if begins < ends else moment >= begins or moment < ends


def _minute(time: int, zone: tzinfo) -> int:
    """Of the day, in the zone."""
    local = datetime.fromtimestamp(time // NS_PER["s"], zone)
    return 60 * local.hour + local.minute


def _of_day(daily: str) -> tuple[int, int]:
    """The first minute inside, and the first after it."""
    match = DAILY.fullmatch(daily)
    if match is None or daily[:5] == daily[6:]:
        raise ValueError(f"daily must be two different times such as 02:00-03:30, got {daily!r}")
    first, first_minute, last, last_minute = map(int, match.groups())
    return 60 * first + first_minute, 60 * last + last_minute


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"zone must be a time zone of this machine such as Europe/Berlin, got {name!r}") from None


def _time(option: str, text: str) -> int:
    try:
        return from_text(text)
    except ValueError:
        raise ValueError(f"{option} must be a time such as 2026-12-24T22:00:00Z, or give daily, got {text!r}") from None
