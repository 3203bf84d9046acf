"""The arrays of a state as bytes, each in the smallest form that gives it back bit for bit.

rows       rows of doubles that several arrays have are kept once: what polling correlates, what triggers and causes
           take for normal, and what an episode looks at are mostly the same readings
nonzero    where the zeros are, and the other values: of histograms and graphs
columns    numbers in few bits: see :mod:`stream.narrow`
bits       of booleans
as it is   what is small, and what none of these makes smaller

A table names the arrays, in their order: [name, type, shape] of one that is as it is, [name, type, shape, form, bytes]
of any other, and no name for rows that several have. Their bytes follow, each beginning at a word.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from stream.narrow import KINDS, WORD, Array, columns_of, in_columns, is_wide, narrowed, out_of_columns, widened
from stream.narrow_kernel import first_alike

Form: TypeAlias = Literal["rows", "nonzero", "columns", "bits"]
Entry: TypeAlias = list[Any]

SMALL = 4_000  # bytes of an array that stays as it is
LARGE = 1 << 15  # bytes of floats that are looked at column by column
LEAST_SHARED = 0.25  # of the rows of an array that has some in common with others
FEWEST_ZEROS = 0.1  # of an array that is kept without them


def packed(arrays: Mapping[str, Array]) -> tuple[list[Entry], list[bytes]]:
    """The table and the bytes of each entry."""
    shared, places = _share_rows({name: array for name, array in arrays.items() if _has_rows(array)})
    table, parts = [], []
    for rows in shared.values():
        entry, part = _packed(None, rows)
        table.append(entry)
        parts.append(part)
    for name, array in arrays.items():
        entry, part = _packed(name, array, places.get(name))
        table.append(entry)
        parts.append(part)
    return table, parts


def unpacked(table: list[Entry], content: bytes, begin: int) -> Iterator[tuple[str, Array]]:
    """The arrays of a table, whose bytes begin there. Raises ValueError, KeyError or TypeError for what is none."""
    shared: dict[int, Array] = {}
    for name, kind, shape, *how in table:
        begin += -begin % WORD
        if how:
            form, size = how
            array = _read(form, content[begin : begin + size], kind, tuple(shape), shared)
        else:
            array = np.frombuffer(content, np.dtype(kind), math.prod(shape), begin)  # refuses objects
            size = array.nbytes
            array = _as_it_was(array, tuple(shape))
        begin += size
        if name is None:
            shared[array.shape[1]] = array
        else:
            yield name, array


def _packed(name: str | None, array: Array, places: Array | None = None) -> tuple[Entry, bytes]:
    """places: of its rows among the shared ones, if it has such."""
    entry = [name, array.dtype.str, array.shape]
    for form, part in _smaller(array, places):
        if part is not None and len(part) < array.nbytes:
            return [*entry, form, len(part)], part
    return entry, array.tobytes("F" if is_wide(array.shape) else "C")


def _smaller(array: Array, places: Array | None) -> Iterator[tuple[Form, bytes | None]]:
    """Forms that may be smaller, the smallest first."""
    if places is not None:
        yield "rows", _runs(places)
    elif array.dtype == np.bool_:
        yield "bits", np.packbits(array).tobytes()
    elif array.nbytes > SMALL and array.dtype.str in KINDS:
        if array.dtype.kind == "f":
            yield "nonzero", _without_zeros(array)
        if array.dtype.kind == "i" or array.nbytes > LARGE:
            yield "columns", narrowed(in_columns(array))


def _read(form: Form, content: bytes, kind: str, shape: tuple[int, ...], shared: Mapping[int, Array]) -> Array:
    if form == "rows":
        rows = _along(shared[min(shape) if is_wide(shape) else shape[1]], content)
        return out_of_columns(rows, shape)
    if form == "bits":
        return np.unpackbits(np.frombuffer(content, np.uint8), count=math.prod(shape)).astype(np.bool_).reshape(shape)
    if form == "nonzero":
        return _with_zeros(content, kind, shape)
    return out_of_columns(widened(content, columns_of(shape), kind), shape)


def _as_it_was(array: Array, shape: tuple[int, ...]) -> Array:
    return array.reshape(shape, order="F" if is_wide(shape) else "C").copy(order="C")


def _without_zeros(array: Array) -> bytes | None:
    """A bit for each value that is not zero, then those values."""
    values = array.ravel()
    there = values.view(f"<u{array.itemsize}") != 0  # minus zero is no zero
    if np.count_nonzero(there) > (1.0 - FEWEST_ZEROS) * len(values):
        return None
    bits: bytes = np.packbits(there).tobytes()
    return bits + bytes(-len(bits) % WORD) + bytes(values[there].tobytes())


def _with_zeros(content: bytes, kind: str, shape: tuple[int, ...]) -> Array:
    count = math.prod(shape)
    there = np.unpackbits(np.frombuffer(content, np.uint8, -(-count // 8)), count=count).astype(np.bool_)
    values = np.zeros(count, dtype=kind)
    values[there] = np.frombuffer(content, kind, int(np.count_nonzero(there)), -(-count // 64) * WORD)
    return values.reshape(shape)


def _has_rows(array: Array) -> bool:
    return array.dtype.str == "<f8" and array.ndim == 2 and array.nbytes > SMALL and min(array.shape) > 1


def _share_rows(arrays: Mapping[str, Array]) -> tuple[dict[int, Array], dict[str, Array]]:
    """By width, the different rows of the arrays that have rows in common; and by array where each of its rows stands
    among these."""
    by_width: dict[int, dict[str, Array]] = {}
    for name, array in arrays.items():
        matrix = array.T if is_wide(array.shape) else array
        by_width.setdefault(matrix.shape[1], {})[name] = matrix
    shared: dict[int, Array] = {}
    places: dict[str, Array] = {}
    for width, matrices in by_width.items():
        if len(matrices) == 1:
            continue
        rows = np.concatenate([*matrices.values()])
        owners = np.repeat(np.arange(len(matrices)), [len(matrix) for matrix in matrices.values()])
        first = first_alike(rows.view(np.uint64))
        both = np.zeros(len(rows), dtype=np.bool_)
        both[first[owners != owners[first]]] = True  # rows that two arrays have
        alike = np.bincount(owners, both[first]) > LEAST_SHARED * np.bincount(owners)
        if not alike.any():
            continue
        is_kept = np.zeros(len(rows), dtype=np.bool_)
        is_kept[first[alike[owners]]] = True
        shared[width] = rows[is_kept]
        place = np.cumsum(is_kept)[first] - 1
        places |= {name: place[owners == i] for i, name in enumerate(matrices) if alike[i]}
    return shared, places


def _runs(places: Array) -> bytes:
    """Steps from one place to the next, and how many of the same follow one another."""
    steps = np.diff(places, prepend=0)
    begins = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))
    return np.stack([steps[begins], np.diff(begins, append=len(steps))], axis=1).astype("<i4").tobytes()


def _along(rows: Array, content: bytes) -> Array:
    """The rows at those places. ValueError for one that is not there."""
    steps, times = np.frombuffer(content, "<i4").reshape(-1, 2).T.astype(np.int64)
    places = np.cumsum(np.repeat(steps, times))
    if len(places) and not 0 <= places.min() <= places.max() < len(rows):
        raise ValueError(f"rows must be among the {len(rows)} that are shared")
    return rows[places]
