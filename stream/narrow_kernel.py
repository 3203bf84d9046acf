"""The loops of :mod:`stream.narrow` and :mod:`stream.packing`: floats as whole numbers over a power of ten, whole
numbers as few bits, and rows that are alike."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.block import BoolArray, IntArray

MOST_PLACES = 9
EXACT = float(1 << 51)  # larger numbers have no fraction to be rounded
MISSING = np.iinfo(np.int64).min  # among whole numbers: NaN
MINUS = MISSING + 1  # minus zero
POWERS = 10.0 ** np.arange(MOST_PLACES + 1)
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads the bits of a word


@njit(cache=True, nogil=True, error_model="numpy")
def decimals(
    values: NDArray[Any],
    bits: NDArray[Any],
    nan: int,
    powers: NDArray[np.float64],
    places: IntArray,
    codes: IntArray,
) -> None:
    """Of floats (N, C): places (C,), the fewest from those given on at which all of a column are whole numbers, or one
    more than there are powers; and those numbers: codes (N, C).

    bits: the values' own, and nan: of a NaN; others, for there are many, are not MISSING.
    """
    room = np.empty(1, values.dtype)  # rounds to the type of the values
    more = True
    while more:  # again where a later row needed more places than an earlier one
        more = False
        before = places.copy()
        for t in range(values.shape[0]):
            for c in range(values.shape[1]):
                place = places[c]
                while place < powers.shape[0]:
                    codes[t, c] = _code(values[t, c], powers[place], room)
                    if codes[t, c] != MISSING or bits[t, c] == nan:
                        break
                    place += 1
                    more = True
                places[c] = place
        more = more and bool(((places != before) & (places < powers.shape[0])).any())


@njit(cache=True, nogil=True, error_model="numpy")
def _code(value: Any, power: float, room: NDArray[Any]) -> int:
    """The whole number that gives the value when divided by the power; MISSING if there is none, and for NaN."""
    number = np.rint(np.float64(value) * power)
    if not abs(number) < EXACT:
        return MISSING
    if number == 0.0:
        return 0 if value == 0.0 and not np.signbit(value) else MINUS if value == 0.0 else MISSING
    room[0] = number / power
    return int(number) if room[0] == value else MISSING


@njit(cache=True, nogil=True, error_model="numpy")
def from_decimals(codes: IntArray, powers: NDArray[np.float64], places: IntArray, values: NDArray[Any]) -> None:
    """The inverse of :func:`decimals`, for the columns that have places."""
    for t in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            if places[c] >= powers.shape[0]:
                continue
            if codes[t, c] == MISSING:
                values[t, c] = np.nan
            elif codes[t, c] == MINUS:
                values[t, c] = -0.0
            else:
                values[t, c] = codes[t, c] / powers[places[c]]


@njit(cache=True, nogil=True, error_model="numpy")
def extent(codes: IntArray, least: IntArray, largest: IntArray, special: BoolArray) -> None:
    """The least and the largest of the whole numbers of each column (C,), and which columns have special ones."""
    least[:], largest[:] = -MISSING - 1, MINUS
    for t in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            code = codes[t, c]
            if code <= MINUS:
                special[c] = True
            else:
                least[c], largest[c] = min(least[c], code), max(largest[c], code)


@njit(cache=True, nogil=True, error_model="numpy")
def pack(codes: IntArray, widths: IntArray, bases: IntArray, whole: BoolArray, out: NDArray[np.uint64]) -> None:
    """The low bits of codes (N, C), so many of each column, row by row. Whole numbers (C,) count from their base, and
    the two special ones are 0 and 1; the rest are bits as they are."""
    for t in range(codes.shape[0]):
        word, filled, at = np.uint64(0), 0, 0
        for c in range(codes.shape[1]):
            width, code = widths[c], codes[t, c]
            if width == 0:
                continue
            if whole[c]:
                code = code - MISSING if code <= MINUS else code - bases[c]
            bits = np.uint64(code) & (~np.uint64(0) >> np.uint64(64 - width))
            word |= bits << np.uint64(filled)
            filled += width
            if filled >= 64:
                out[t, at] = word
                at, filled = at + 1, filled - 64
                word = bits >> np.uint64(width - filled) if filled > 0 else np.uint64(0)
        if filled > 0:
            out[t, at] = word


@njit(cache=True, nogil=True, error_model="numpy")
def unpack(kept: NDArray[np.uint64], widths: IntArray, bases: IntArray, whole: BoolArray, codes: IntArray) -> None:
    """The inverse of :func:`pack`."""
    for t in range(codes.shape[0]):
        filled = 0
        for c in range(codes.shape[1]):
            width, code = widths[c], bases[c]
            if width > 0:
                at, used = filled // 64, filled % 64
                bits = kept[t, at] >> np.uint64(used)
                if used + width > 64:
                    bits |= kept[t, at + 1] << np.uint64(64 - used)
                code = np.int64(bits & (~np.uint64(0) >> np.uint64(64 - width)))
                if whole[c]:
                    code = MISSING + code if 0 <= code < 2 else code + bases[c]
                filled += width
            codes[t, c] = code


@njit(cache=True, nogil=True, error_model="numpy")
def first_alike(words: NDArray[np.uint64]) -> IntArray:
    """(N,) where the first row stands that is as this one, bit for bit, of rows (N, D)."""
    room = 2
    while room < 2 * words.shape[0]:
        room *= 2
    table = np.full(room, -1)  # of rows that are as none before, by their hash, or the next free place
    first = np.empty(words.shape[0], np.int64)
    for t in range(words.shape[0]):
        place = _hash(words[t]) & np.uint64(room - 1)
        while table[place] >= 0 and not _alike(words[t], words[table[place]]):
            place = (place + np.uint64(1)) & np.uint64(room - 1)
        if table[place] < 0:
            table[place] = t
        first[t] = table[place]
    return first


@njit(cache=True, nogil=True, error_model="numpy")
def _hash(row: NDArray[np.uint64]) -> np.uint64:
    number, factor = np.uint64(0), SPREAD
    for word in row:
        number += (word ^ (word >> np.uint64(32))) * factor
        factor += np.uint64(2) * SPREAD
    return number ^ (number >> np.uint64(32))


@njit(cache=True, nogil=True, error_model="numpy")
def _alike(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> bool:
    d = 0
    while d < a.shape[0] and a[d] == b[d]:
        d += 1
    return bool(d == a.shape[0])
