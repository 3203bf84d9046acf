"""What a person reads on a terminal: colours where they are wanted, numbers and times in few characters."""

import math
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

from stream.event_time import NS_PER, TimeStyle

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
EPOCH_FROM_NS = 946_684_800 * NS_PER["s"]  # the year 2000: smaller times count from some start, not from 1970


def wants_colour(stream: TextIO) -> bool:
    """A terminal that was not told otherwise (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Paint:
    """Text in colours, or as it is."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._is_on = wants_colour(stream or sys.stdout)

    def __call__(self, text: str, *styles: str) -> str:
        if not self._is_on or not styles:
            return text
        return f"\033[{';'.join(CODES[style] for style in styles)}m{text}\033[0m"


def number(value: float | None, digits: int = 3) -> str:
    """A number in so many significant digits.

    >>> [number(v) for v in (0.03127, 12, 1234.56, 48_120_000, -2.5e-7, None)]
    ['0.0313', '12', '1,235', '48.1M', '-2.5e-07', '?']
    """
    if value is None or not math.isfinite(value):
        return "?"
    size = abs(value)
    for limit, mark in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if limit <= size < 1e15:
            return f"{value / limit:.{digits}g}{mark}"
    return f"{value:,.0f}" if 1000 <= size < 1e6 else f"{value:.{digits}g}"


def apart(first: float | None, second: float | None) -> int:
    """How many digits it takes to tell two numbers apart, from 3 on.

    >>> apart(26_410_000, 26_390_000), apart(1, 2), apart(1, 1)
    (4, 3, 3)
    """
    return next((d for d in range(3, 9) if number(first, d) != number(second, d)), 3)


def moment(ns: int, style: TimeStyle) -> str:
    """A time for a person: the date and time where it is one, else the number as in the input."""
    if style.unit == "iso" or ns >= EPOCH_FROM_NS:
        text = datetime.fromtimestamp(ns // NS_PER["s"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        return text if ns % NS_PER["s"] == 0 else f"{text}.{ns % NS_PER['s'] // NS_PER['ms']:03d}"
    return f"{style.format(ns)} {style.unit}"


def span(ns: int) -> str:
    """A length of time in its two largest units.

    >>> [span(s * 10**9) for s in (0, 45, 100, 7300, 200_000)]
    ['0 s', '45 s', '1 min 40 s', '2 h 1 min', '2 d 7 h']
    """
    seconds = ns / NS_PER["s"]
    if seconds < 60:
        return f"{seconds:.3g} s"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    place = next(i for i, (length, _) in enumerate(units) if seconds >= length)
    (length, name), (small, small_name) = units[place], units[place + 1]
    whole, rest = divmod(seconds, length)
    return f"{whole:.0f} {name}" + (f" {rest // small:.0f} {small_name}" if rest >= small else "")


def count(number_of: int, noun: str, plural: str = "") -> str:
    """
    >>> count(1, "row"), count(12_000, "row")
    ('1 row', '12,000 rows')
    """
    return f"{number_of:,} {noun if number_of == 1 else plural or noun + 's'}"
