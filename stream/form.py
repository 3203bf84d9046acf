"""The form of a producer's messages: what stands in each of them, and where its system, time and readings stand.

A producer writes the same bytes again and again, but for a few numbers. So the first message is read by
:class:`stream.message.MessageReader`; what it looks like is learned, and the next ones are compared with that and read
where they may differ, many at a time and a tenth as dear. A message that is otherwise, be it by a space, goes the first
one's way: what is read, and what is rejected, is the same by both ways, bit for bit.

Only whole rows have a form (wide messages). A message with a backslash has none: it may write the same in other ways.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray
from stream.decimal_kernel import Bytes
from stream.form_kernel import MOMENT, NUMBER, SYSTEM, WHOLE, group, read_messages

TOKEN = re.compile(rb'"[^"]*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
Token = tuple[int, int, bytes]  # begin, end, and the bytes between


@dataclass(frozen=True, slots=True)
class Rows:
    """K messages as rows. spans: (K, 2) where the system's name stands.  is_good: (K,) they are of the form."""

    times: IntArray
    values: FloatArray
    spans: IntArray
    is_good: BoolArray

    def systems(self, text: Bytes) -> tuple[list[bytes], IntArray]:
        """The names of the systems of the good ones, and the number of its name for each of all, -1 for the others."""
        count = len(self.spans)
        slots = np.full(1 << (2 * count).bit_length(), -1)
        groups, firsts = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        found = group(text, self.spans, self.is_good, slots, groups, firsts)
        return [text[begin:end].tobytes() for begin, end in self.spans[firsts[:found]].tolist()], groups


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """names: of the N readings, in the order of the message.  has_system: the message itself names it.

    literal: the bytes that stay.  ends: (H + 1,) of their pieces.  kinds: (H,) of the holes between them.
    """

    names: tuple[str, ...]
    has_system: bool
    literal: Bytes
    ends: IntArray
    kinds: IntArray

    def read(self, text: Bytes, edges: IntArray, which: IntArray, ns_per: int) -> Rows:
        """Those of the messages, one behind another in the text, edges (M + 1,), that are of this form. One more byte
        must follow the last."""
        count = len(which)
        times, values = np.zeros(count, dtype=np.int64), np.empty((count, len(self.names)))
        spans, is_good = np.zeros((count, 2), dtype=np.int64), np.zeros(count, dtype=np.bool_)
        form = self.literal, self.ends, self.kinds
        read_messages(text, edges, which, form, ns_per, (times, values, spans, is_good))
        return Rows(times, values, spans, is_good)


def form_of(message: bytes, names: Sequence[str]) -> Form | None:
    """The form of a wide message that was understood, with these names of its readings; None if it has none."""
    if b"\\" in message:
        return None
    holes = list(_holes(message))
    kinds = [kind for _, _, kind in holes]
    if kinds.count(NUMBER) != len(names) or kinds.count(WHOLE) + kinds.count(MOMENT) != 1 or kinds.count(SYSTEM) > 1:
        return None
    edges = [0, *(edge for begin, end, _ in holes for edge in (begin, end)), len(message)]
    pieces = [message[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    return Form(
        tuple(names),
        SYSTEM in kinds,
        np.frombuffer(b"".join(pieces), dtype=np.uint8),
        np.cumsum([len(piece) for piece in pieces]),
        np.array(kinds),
    )


def _holes(message: bytes) -> Iterator[tuple[int, int, int]]:
    """(begin, end, kind) of what may differ, in order."""
    tokens = [(found.start(), found.end(), found.group()) for found in TOKEN.finditer(message)]
    path: list[bytes] = []  # of keys, down to here
    for place, token in enumerate(tokens):
        what = token[2]
        if what in b"{[":
            path.append(tokens[place - 2][2] if place > 1 and tokens[place - 1][2] == b":" else what)
        elif what in b"}]":
            path.pop()
        elif place > 1 and tokens[place - 1][2] == b":":
            yield from _hole(path[1:], tokens[place - 2][2], token)


def _hole(path: Sequence[bytes], key: bytes, value: Token) -> Iterator[tuple[int, int, int]]:
    begin, end, what = value
    is_text = what.startswith(b'"')
    if path == [b'"values"']:
        yield begin, end, NUMBER
    elif not path and key == b'"system"' and is_text:
        yield begin + 1, end - 1, SYSTEM
    elif not path and key == b'"ts"':
        yield (begin + 1, end - 1, MOMENT) if is_text else (begin, end, WHOLE)
