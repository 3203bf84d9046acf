"""Event time: text and numbers to nanoseconds since 1970 and back, in the unit and style of the input."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["s", "ms", "us", "ns", "iso"]

NS_PER: dict[str, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
LIMIT_NS = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Up to which size of number each unit is the likely one: 1e11 s is the year 5138, 1e11 ms is 1973.
MAGNITUDES: tuple[tuple[float, Unit], ...] = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))


def unit_of(number: float) -> Unit:
    """The likely unit of a numeric time, by its size.

    >>> unit_of(0.5), unit_of(1661140260), unit_of(1661140260000), unit_of(1.66e18)
    ('s', 's', 'ms', 'ns')
    """
    return next((unit for limit, unit in MAGNITUDES if abs(number) < limit), "ns")


def from_number(number: float, unit: str) -> int:
    """Nanoseconds of a number in a unit. The whole part is converted exactly. Raises ValueError outside 1677..2262.

    >>> from_number(106.927, "s"), from_number(1661140260001, "ms")
    (106927000000, 1661140260001000000)
    """
    if not abs(number) < LIMIT_NS:
        raise ValueError(f"a time must be a finite number, got {number}")
    if isinstance(number, int):
        return _within(number * NS_PER[unit], number)
    whole = math.floor(number)
    ns = whole * NS_PER[unit] + round((number - whole) * NS_PER[unit])
    return _within(ns, number)


def from_text(text: str) -> int:
    """Nanoseconds of an ISO 8601 / RFC 3339 time; one without a zone is taken as UTC. Raises ValueError.

    >>> from_text("1970-01-01T00:00:01.5Z"), from_text("1970-01-01 01:00:00+01:00")
    (1500000000, 0)
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - EPOCH
    return _within((since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000, text)


def from_record(time: str | int | float) -> int:
    """Nanoseconds of a time as records show it; a number's unit is the likely one. Raises ValueError.

    >>> from_record("1970-01-01T00:00:01Z"), from_record(1661140260)
    (1000000000, 1661140260000000000)
    """
    return from_text(time) if isinstance(time, str) else from_number(time, unit_of(time))


def to_text(ns: int) -> str:
    """RFC 3339 in UTC, with as many digits as the time has.

    >>> to_text(1_500_000_000), to_text(0)
    ('1970-01-01T00:00:01.5Z', '1970-01-01T00:00:00Z')
    """
    seconds, fraction = divmod(ns, 1_000_000_000)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


def _number(text: str) -> int | float:
    """Whole numbers exactly: nanoseconds have more digits than a float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _within(ns: int, given: object) -> int:
    if abs(ns) > LIMIT_NS:
        raise ValueError(f"a time must lie between the years 1677 and 2262, got {given!r}")
    return ns


@dataclass(frozen=True, slots=True)
class TimeStyle:
    """How an input writes its times. unit "iso" is text, with the separator and the zone's suffix of the first one."""

    unit: Unit = "iso"
    separator: str = "T"
    suffix: str = "Z"

    @classmethod
    def of(cls, text: str, unit: Unit | None = None) -> "TimeStyle":
        """The style of one time; a unit that was told wins over the size of the number. Raises ValueError.

        >>> TimeStyle.of("2021-10-28 00:01:00").format(0), TimeStyle.of("12.5").format(500_000_000)
        ('1970-01-01 00:00:00', 0.5)
        """
        if unit not in (None, "iso"):
            float(text)
            return cls(unit)
        try:
            number = float(text)
        except ValueError:
            return cls._of_iso(text.strip())
        if unit == "iso":
            raise ValueError(f"a time must be ISO 8601 text (--time-unit iso), got {text!r}")
        return cls(unit_of(number))

    @classmethod
    def _of_iso(cls, text: str) -> "TimeStyle":
        from_text(text)
        separator = text[10] if len(text) > 10 else "T"
        zoned = datetime.fromisoformat(text).tzinfo is not None
        return cls("iso", separator, ("Z" if text.endswith(("Z", "z")) else "+00:00") if zoned else "")

    def parse(self, text: str) -> int:
        """Nanoseconds of a time written in this style. Raises ValueError."""
        return from_text(text) if self.unit == "iso" else from_number(_number(text), self.unit)

    def format(self, ns: int) -> str | int | float:
        """The time as the input would write it: text, or a number in its unit (an int where it is whole)."""
        if self.unit == "iso":
            return to_text(ns).replace("T", self.separator, 1)[:-1] + self.suffix
        whole, rest = divmod(ns, NS_PER[self.unit])
        return whole + rest / NS_PER[self.unit] if rest else whole
