"""Decimal numbers and times in JSON, from their bytes: the same bits as Python's `float`, or no answer.

Up to 2^53 with a power of ten up to 22 both are exact doubles, and so one division or product rounds once (Clinger,
How to read floating point numbers accurately, PLDI 1990). Up to 19 digits the 64 x 128 bits of the mantissa by a power
of five decide (Lemire, Number parsing at a gigabyte per second, SPE 51, 2021). What is longer, or further from 1 than
10^60, gets no answer: the caller asks a slower reader.

Each reader gives where it ended, -1 where there is no answer, and what it read. Cost: 10 to 20 ns a number.
"""

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

FURTHEST = 60  # power of ten
EXACT = 1 << 53  # whole numbers up to it are doubles
MOST_DIGITS = 19
LONGEST_NS = 2**63 - 1
Bytes: TypeAlias = NDArray[np.uint8]
_TENS = 10.0 ** np.arange(23)
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_signed: Any = np.int64  # a name that mypy and numba both take for a function
_LOW = np.uint64(0xFFFFFFFF)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_TOP = np.uint64(1 << 63)


def _fives() -> NDArray[np.uint64]:
    """(2 * FURTHEST + 1, 2) the leading 128 bits of 5^q, high and low, for q from -FURTHEST on."""
    table = [_leading(q) for q in range(-FURTHEST, FURTHEST + 1)]
    return np.array([(bits >> 64, bits & (1 << 64) - 1) for bits in table], dtype=np.uint64)


def _leading(q: int) -> int:
    """As in Lemire's appendix: powers are cut off, reciprocals rounded up."""
    power: int = 5 ** abs(q)
    size = power.bit_length()
    if q >= 0:
        return power << 128 - size if size <= 128 else power >> size - 128
    found = (1 << 2 * size + 128) // power + 1
    return found >> max(0, found.bit_length() - 128)


_FIVES = _fives()


@njit(cache=True, nogil=True, error_model="numpy")
def read_number(text: Bytes, start: int, end: int) -> tuple[int, float]:
    """A JSON number, or null as NaN. The text must have a byte more than `end`, whatever it is."""
    at, one, ten, zero = np.uint64(start), np.uint64(1), np.uint64(10), np.uint64(48)
    is_negative = text[at] == 45  # -
    at += np.uint64(is_negative)
    first = np.uint64(text[at]) - zero
    if first >= ten:
        return (_null(text, start, end) if not is_negative else -1), np.nan
    begin, mantissa, digit = at, np.uint64(0), first
    while digit < ten:
        mantissa = mantissa * ten + digit
        at += one
        digit = np.uint64(text[at]) - zero
    digits, power = at - begin, 0
    if first == np.uint64(0) and digits > one:  # a leading zero stands alone
        return -1, 0.0
    if text[at] == 46:  # .
        at += one
        begin = at
        digit = np.uint64(text[at]) - zero
        while digit < ten:
            mantissa = mantissa * ten + digit
            at += one
            digit = np.uint64(text[at]) - zero
        if at == begin:
            return -1, 0.0
        digits += at - begin
        power = -_signed(at - begin)
    stop = _signed(at)
    if text[at] == 101 or text[at] == 69:  # e E
        stop, exponent = _exponent(text, stop + 1, end)
        power += exponent
    if digits > np.uint64(MOST_DIGITS):
        digits -= _zeros(text, start, end)
    if stop > end or digits > np.uint64(MOST_DIGITS) or (is_negative and mantissa == 0):
        return -1, 0.0
    value = _double(mantissa, power)
    return (stop if value >= 0.0 else -1), (-value if is_negative else value)


@njit(cache=True, nogil=True, error_model="numpy")
def _null(text: Bytes, at: int, end: int) -> int:
    is_null = at + 4 <= end and text[at] == 110 and text[at + 1] == 117 and text[at + 2] == 108 and text[at + 3] == 108
    return at + 4 if is_null else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _zeros(text: Bytes, at: int, end: int) -> np.uint64:
    """Zeros before the first digit that counts."""
    count = np.uint64(0)
    while at < end and (text[at] == 45 or text[at] == 46 or text[at] == 48):
        count += np.uint64(text[at] == 48)
        at += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _exponent(text: Bytes, at: int, end: int) -> tuple[int, int]:
    """Where it ends, and the exponent."""
    is_negative = at < end and text[at] == 45
    at += at < end and (text[at] == 45 or text[at] == 43)
    begin, exponent = at, 0
    while at < end and 48 <= text[at] <= 57 and at - begin < 4:
        exponent = exponent * 10 + (text[at] - 48)
        at += 1
    return (at if at > begin else -1), (-exponent if is_negative else exponent)


@njit(cache=True, nogil=True, error_model="numpy")
def _double(mantissa: np.uint64, power: int) -> float:
    """The double nearest to mantissa * 10^power; -1 where there is no answer."""
    if mantissa <= np.uint64(EXACT) and -22 <= power <= 22:
        value = float(mantissa)
        return float(value / _TENS[-power] if power < 0 else value * _TENS[power])
    if mantissa == 0 or not -FURTHEST <= power <= FURTHEST:
        return -1.0
    shift = 0
    while not mantissa & _TOP:
        mantissa <<= np.uint64(1)
        shift += 1
    high, low = _product(mantissa, _FIVES[power + FURTHEST, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):  # the second half of the power may carry
        more, _ = _product(mantissa, _FIVES[power + FURTHEST, 1])
        low += more
        high += np.uint64(low < more)
    if low == _ALL and not -27 <= power <= 55:
        return -1.0
    upper = high >> np.uint64(63)
    kept = high >> (upper + np.uint64(9))
    is_half = low <= np.uint64(1) and -4 <= power <= 23 and kept & np.uint64(3) == np.uint64(1)
    if is_half and kept << (upper + np.uint64(9)) == high:  # half way between two doubles: to the even one
        kept &= ~np.uint64(1)
    kept = (kept + (kept & np.uint64(1))) >> np.uint64(1)
    exponent = ((217706 * power) >> 16) + 63 + int(upper) - shift  # of two; 217706 / 2^16 is log2(10)
    return float(np.ldexp(float(kept), exponent - 52))


@njit(cache=True, nogil=True, error_model="numpy")
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low 64 bits."""
    half = np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & _LOW, b >> half, b & _LOW
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & _LOW)
    return a1 * b1 + (middle >> half) + (other >> half), a * b


@njit(cache=True, nogil=True, error_model="numpy")
def read_whole(text: Bytes, at: int, end: int, ns_per: int) -> tuple[int, int]:
    """A whole number of a unit of ns_per nanoseconds, in nanoseconds."""
    is_negative = at < end and text[at] == 45
    at += is_negative
    begin, number = at, 0
    while at < end and 48 <= text[at] <= 57 and at - begin < 19:
        number = number * 10 + (text[at] - 48)
        at += 1
    is_odd = at == begin or at - begin == 19 or (text[begin] == 48 and at - begin > 1)
    if is_odd or number > LONGEST_NS // ns_per or (at < end and text[at] in (46, 101, 69)):
        return -1, 0
    return at, -number * ns_per if is_negative else number * ns_per


@njit(cache=True, nogil=True, error_model="numpy")
def read_moment(text: Bytes, at: int, end: int) -> tuple[int, int]:
    """2022-08-22T03:51:00.25Z, or no zone, or +00:00, up to the closing quote, in nanoseconds."""
    if at + 20 > end or text[at + 4] != 45 or text[at + 7] != 45 or text[at + 10] != 84:
        return -1, 0
    if text[at + 13] != 58 or text[at + 16] != 58:
        return -1, 0
    year, month, day = _two(text, at) * 100 + _two(text, at + 2), _two(text, at + 5), _two(text, at + 8)
    hour, minute, second = _two(text, at + 11), _two(text, at + 14), _two(text, at + 17)
    if not (1700 <= year < 2200 and 1 <= month <= 12 and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return -1, 0
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS[month - 1] + (month == 2 and is_leap):
        return -1, 0
    at, micros = _fraction(text, at + 19, end)
    at = _zone(text, at, end)
    seconds = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
    return at, seconds * 1_000_000_000 + micros * 1_000


@njit(cache=True, nogil=True, error_model="numpy")
def _two(text: Bytes, at: int) -> int:
    """Two digits; far below 0 if they are none."""
    tens, ones = int(text[at]) - 48, int(text[at + 1]) - 48
    return 10 * tens + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -100_000


@njit(cache=True, nogil=True, error_model="numpy")
def _fraction(text: Bytes, at: int, end: int) -> tuple[int, int]:
    """Where up to six digits after a point end, and the microseconds."""
    if text[at] != 46:
        return at, 0
    at += 1
    begin, micros, unit = at, 0, 100_000
    while at < end and 48 <= text[at] <= 57 and unit > 0:
        micros += unit * (text[at] - 48)
        unit //= 10
        at += 1
    return (at if at > begin else -1), micros


@njit(cache=True, nogil=True, error_model="numpy")
def _zone(text: Bytes, at: int, end: int) -> int:
    if at < 0 or at >= end:
        return -1
    if text[at] == 90:  # Z
        at += 1
    elif text[at] == 43:  # +00:00
        if at + 6 > end or text[at + 3] != 58 or _two(text, at + 1) != 0 or _two(text, at + 4) != 0:
            return -1
        at += 6
    return at if at < end and text[at] == 34 else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _days(year: int, month: int, day: int) -> int:
    """Since 1970 (Hinnant, chrono-compatible low-level date algorithms): years begin in March."""
    year -= month <= 2
    era, of_era = year // 400, year % 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
