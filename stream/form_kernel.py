"""Messages that differ from one another in a few places only are read there, and compared everywhere else.

A form is bytes that stand in each message, and between them holes of a kind; see :mod:`stream.form`. Cost: 1 ns a byte,
and that of :mod:`stream.decimal_kernel` for the holes.
"""

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, IntArray
from stream.decimal_kernel import Bytes, read_moment, read_number, read_whole

SYSTEM, WHOLE, MOMENT, NUMBER = range(4)  # what a hole holds: a text, a time as a number or as text, a reading


@njit(cache=True, nogil=True, error_model="numpy")
def read_messages(
    text: Bytes,
    edges: IntArray,
    which: IntArray,
    form: tuple[Bytes, IntArray, IntArray],
    ns_per: int,
    out: tuple[IntArray, FloatArray, IntArray, BoolArray],
) -> None:
    """Message i of K is text[edges[which[i]] : edges[which[i] + 1]]; D of the H holes are readings. One more byte
    must follow the last.

    form: literal bytes; (H + 1,) where in them each piece ends; (H,) the kinds of the holes between the pieces.
    out: (K,) times in ns; (K, D) values; (K, 2) begin and end of the system's name; (K,) whether it is of this form.
    """
    for i in range(len(which)):
        out[3][i] = _read(text, edges[which[i]], edges[which[i] + 1], form, ns_per, i, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _read(
    text: Bytes,
    at: int,
    end: int,
    form: tuple[Bytes, IntArray, IntArray],
    ns_per: int,
    i: int,
    out: tuple[IntArray, FloatArray, IntArray, BoolArray],
) -> bool:
    literal, ends, kinds = form
    times, values, systems, _ = out
    done, column = 0, 0
    for hole in range(len(ends)):
        if at + ends[hole] - done > end:
            return False
        shift = np.uint64(at - done)  # unsigned: half as dear as an index that may count from the end
        for k in range(np.uint64(done), np.uint64(ends[hole])):
            if text[k + shift] != literal[k]:
                return False
        at, done = at + ends[hole] - done, ends[hole]
        if hole == len(kinds):
            return at == end
        if kinds[hole] == NUMBER:
            at, values[i, column] = read_number(text, at, end)
            column += 1
        elif kinds[hole] == WHOLE:
            at, times[i] = read_whole(text, at, end, ns_per)
        elif kinds[hole] == MOMENT:
            at, times[i] = read_moment(text, at, end)
        else:
            systems[i, 0] = at
            at = _text_end(text, at, end)
            systems[i, 1] = at
        if at < 0:
            return False
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _text_end(text: Bytes, at: int, end: int) -> int:
    """Where the quote is that ends a text without escapes; -1 if it has some, or is empty."""
    begin = at
    while at < end and text[at] != 34 and text[at] != 92 and text[at] >= 32:
        at += 1
    return at if begin < at < end and text[at] == 34 else -1


@njit(cache=True, nogil=True, error_model="numpy")
def group(text: Bytes, spans: IntArray, is_good: BoolArray, slots: IntArray, groups: IntArray, firsts: IntArray) -> int:
    """Number the good ones of K texts, spans (K, 2), in the order in which different ones come; gives how many.

    slots: -1, at least 2 K and a power of two of them, for hashes.  groups: (K,) the numbers, -1 where not good.
    firsts: (K,) the first text of each number.
    """
    count = 0
    for i in range(len(spans)):
        groups[i] = -1
        if not is_good[i]:
            continue
        slot = _hash(text, spans[i]) & (len(slots) - 1)
        while slots[slot] >= 0 and not _are_same(text, spans[firsts[slots[slot]]], spans[i]):
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] < 0:
            slots[slot], firsts[count] = count, i
            count += 1
        groups[i] = slots[slot]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _hash(text: Bytes, span: IntArray) -> int:
    """FNV-1a, cut to 31 bits."""
    found = 2_166_136_261
    for at in range(span[0], span[1]):
        found = ((found ^ text[at]) * 16_777_619) & 0x7FFFFFFF
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _are_same(text: Bytes, a: IntArray, b: IntArray) -> bool:
    length = a[1] - a[0]
    same = 0
    while same < length and length == b[1] - b[0] and text[a[0] + same] == text[b[0] + same]:
        same += 1
    return bool(same == length)
