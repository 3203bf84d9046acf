"""A system's state as bytes, and bytes as pieces that recur from one snapshot to the next.

A state of 38 variables is 1 to 2 MB, and half a minute changes a seventh of it: a history that moves on by 30 of 1,440
rows, a ring in which 30 rows were overwritten. So bytes are cut where their content says so, as backup programs do:
behind each word whose product with a constant begins with nine zeros. What moved is then cut as it was where it stood
before, and is found to be known by its hash. (Cut at fixed places, two thirds of the state are new every time.)
"""

import hashlib
import json
from collections.abc import Iterable, Iterator

import numpy as np

from stream.packing import packed, unpacked
from stream.pipeline import SystemState

HASH_BYTES = 16
WORD = 8
LEAST, MOST = 1 << 10, 16 << 10  # bytes of a piece; 4 kB on average
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads the bits of a word
_SHIFT = np.uint64(64 - 9)


def digest(piece: bytes) -> bytes:
    return hashlib.blake2b(piece, digest_size=HASH_BYTES).digest()


def hashes_in(joined: bytes) -> list[bytes]:
    """The hashes that were joined to one string."""
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def cut(content: bytes) -> Iterator[bytes]:
    """The content in pieces of LEAST to MOST bytes; the last one may be shorter.

    >>> content = np.random.default_rng(0).normal(size=20_000).tobytes()
    >>> b"".join(cut(content)) == content
    True
    >>> len(set(cut(content)) & set(cut(content[800:]))) / len(list(cut(content))) > 0.9
    True
    """
    begin = 0
    for end in [*_places(content), len(content)]:
        while end - begin > MOST:
            yield content[begin : begin + MOST]
            begin += MOST
        if end - begin >= LEAST or begin < end == len(content):
            yield content[begin:end]
            begin = end


def split(content: bytes, size: int) -> Iterator[bytes]:
    """The content in pieces of this size: for what will not be compared with what comes later."""
    return (content[begin : begin + size] for begin in range(0, len(content), size))


def _places(content: bytes) -> list[int]:
    """Where the content says that it may be cut. Never behind a zero: there is nothing to tell one from the next."""
    words = np.frombuffer(content, dtype=np.uint64, count=len(content) // WORD)
    chosen = ((words * _MULTIPLIER) >> _SHIFT == 0) & (words != 0)
    places: list[int] = (np.flatnonzero(chosen) * WORD + WORD).tolist()
    return places


def encode(state: SystemState) -> bytes:
    """One string of bytes: what JSON holds and a table of the arrays, then the arrays; each begins at a word."""
    table, parts = packed({name: np.asarray(array) for name, array in state.arrays.items()})
    head = json.dumps({"plain": state.plain, "arrays": table}, allow_nan=False).encode()
    return b"".join(_padded([len(head).to_bytes(WORD, "little"), head, *parts]))


def decode(content: bytes) -> SystemState:
    """Raises ValueError, KeyError or TypeError for what :func:`encode` did not make."""
    begin = WORD + int.from_bytes(content[:WORD], "little")
    head = json.loads(content[WORD:begin])
    return SystemState(head["plain"], dict(unpacked(head["arrays"], content, begin)))


def _padded(parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield part
        yield bytes(-len(part) % WORD)
