"""Numbers in as few bits as give them back bit for bit: how a snapshot keeps the large arrays of a state.

Readings are mostly decimals of few places, counts, or single precision in double. So each column of an array is
written as whole numbers of few bits, wherever every value is such a number over a power of ten, to the last bit; as
singles where all are; else as it is. Readings that use all of a double's digits stay as large as they are.

ALP (Afroozeh, Kuffo and Boncz 2023) does so for databases; columns, NaN and bases that stay are ours.

A matrix (N, C) is written as   bases (C,) int64, places (C,) int8, widths in bits (C,) int8, filled up to a whole word,
then row by row the columns' bits side by side, each row filled up to a whole word
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.narrow_kernel import (
    MOST_PLACES,
    POWERS,
    decimals,
    extent,
    from_decimals,
    pack,
    unpack,
)

Array: TypeAlias = NDArray[Any]

WORD = 8
FEW_ROWS = 16  # of a matrix: its columns are not told apart
KINDS = ("<f8", "<f4", "<i8")
SAMPLED_ROWS = 64
SINGLE_PLACES = 5  # of single precision, at most: more are soon all of its digits
WORTH_SAMPLING = 1 << 15  # bytes
SINGLE, AS_IT_IS = 100, 127  # in the place of places
TOO_FAR = float(1 << 55)  # apart: whole numbers that are kept as they are


def is_wide(shape: tuple[int, ...]) -> bool:
    """A matrix wider than tall: time runs along the longer side, and a row in time should lie in one place."""
    return len(shape) == 2 and shape[1] > shape[0]


def columns_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of an array of this shape."""
    first, rest = shape[0], int(np.prod(shape[1:], dtype=np.int64))
    rows, columns = (rest, first) if is_wide(shape) else (first, rest)
    return (rows, columns) if rows >= FEW_ROWS else (rows * columns, 1)


def in_columns(array: Array) -> Array:
    """An array of one dimension or more as a matrix of its rows and columns."""
    rows, columns = columns_of(array.shape)
    return np.ascontiguousarray(array.T if is_wide(array.shape) and columns > 1 else array).reshape(rows, columns)


def out_of_columns(matrix: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of :func:`in_columns`."""
    if is_wide(shape) and matrix.shape[1] > 1:
        return np.ascontiguousarray(matrix.T)
    return matrix.reshape(shape)


def narrowed(matrix: Array) -> bytes | None:
    """The columns of a matrix (N, C) of one of KINDS; None if that would not make it smaller.

    >>> matrix = np.array([[0.25, 7.0], [-1.5, 7.0], [np.nan, 7.0]] * 10)
    >>> len(matrix.tobytes()), len(narrowed(matrix))
    (480, 264)
    >>> widened(narrowed(matrix), matrix.shape, "<f8")[:3].tolist()
    [[0.25, 7.0], [-1.5, 7.0], [nan, 7.0]]
    """
    if not _is_worth_while(matrix):
        return None
    places, codes, bases, widths = _in_numbers(matrix)
    sizes = _sizes(places, matrix.itemsize)
    plain = widths >= sizes
    if (plain & (places != SINGLE)).all():
        return None
    bases[plain], widths[plain] = 0, sizes[plain]
    kept = np.zeros(_room(codes.shape, widths), dtype=np.uint64)
    pack(*_side_by_side(codes, widths, bases, ~plain), kept)
    head = bases.tobytes() + np.concatenate([places, widths]).astype(np.int8).tobytes()
    return head + bytes(-len(head) % WORD) + kept.tobytes()


def widened(content: bytes, shape: tuple[int, int], kind: str) -> Array:
    """The matrix (N, C) of this type that :func:`narrowed` made the content of. ValueError if it made none such."""
    if kind not in KINDS:
        raise ValueError(f"a narrowed array must be of {', '.join(KINDS)}, got {kind}")
    columns, values, codes = shape[1], np.empty(shape, dtype=kind), np.empty(shape, dtype=np.int64)
    bases = np.frombuffer(content, np.int64, columns)
    places, widths = np.frombuffer(content, np.int8, 2 * columns, bases.nbytes).reshape(2, columns).astype(np.int64)
    lines, size = _room(shape, widths)
    kept = np.frombuffer(content, np.uint64, lines * size, 10 * columns + -10 * columns % WORD).reshape(lines, size)
    if (places < 0).any() or ((places > MOST_PLACES) & (places < SINGLE)).any() or (widths > 64).any():
        raise ValueError(f"a narrowed array must have 0 to {MOST_PLACES} places and at most 64 bits")
    by_line, *frame = _side_by_side(codes, widths, bases, widths < _sizes(places, values.itemsize))
    unpack(kept, *frame, by_line)
    _read(codes, places, values)
    return values


def _is_worth_while(matrix: Array) -> bool:
    """Not if already some of the rows show that no column gets smaller: of most arrays they do."""
    if matrix.nbytes < WORTH_SAMPLING:
        return True
    places, _, _, widths = _in_numbers(matrix[:: len(matrix) // SAMPLED_ROWS].copy())
    return bool(((widths < _sizes(places, matrix.itemsize)) | (places == SINGLE)).any())


def _in_numbers(matrix: Array) -> tuple[Array, Array, Array, Array]:
    """Places (C,), numbers (N, C) that stand for the values, and their bases and widths in bits (C,)."""
    places, codes = _whole_numbers(matrix) if matrix.dtype.kind == "i" else _decimals(matrix)
    bases, widths = np.zeros_like(places), np.full_like(places, 64)
    if (places < SINGLE).any():
        bases, widths = _frame(codes)
    places[widths >= 8 * matrix.itemsize] = AS_IT_IS
    _take_singles(matrix, places)
    other = places >= SINGLE
    if other.any():
        codes[:, other] = patterns = _patterns(matrix, places)
        bases[other], widths[other] = _frame(patterns)
    return places, codes, bases, widths


def _read(codes: Array, places: Array, values: Array) -> None:
    """Write the values (N, C) of codes (N, C)."""
    if values.dtype.kind == "i":
        values[:] = codes * 10 ** np.where(places < SINGLE, places, 0)
    else:
        from_decimals(codes, POWERS, places, values)
        for place, width in ((SINGLE, 4), (AS_IT_IS, values.itemsize)):
            chosen = places == place
            if chosen.any():
                values[:, chosen] = codes[:, chosen].astype(f"<i{width}").view(f"<f{width}")


def _frame(codes: Array) -> tuple[Array, Array]:
    """Bases (C,) and widths (C,) in bits that hold codes (N, C). A base is a multiple of a power of two above what the
    column spans, so that it stays while the column moves a little."""
    count = codes.shape[1]
    least, largest, special = np.empty(count, np.int64), np.empty(count, np.int64), np.zeros(count, np.bool_)
    extent(codes, least, largest, special)
    least, largest = np.where(largest < least, 0, least), np.where(largest < least, 0, largest)
    near = largest.astype(np.float64) - least.astype(np.float64) < TOO_FAR
    is_constant = ~special & (least == largest)
    low = np.where(near, least, 0) - 2
    bits = np.frexp((np.where(near, largest, 0) - low).astype(np.float64))[1].astype(np.int64)
    bases, widths = low >> bits << bits, np.where(near, bits + 1, 64)
    return np.where(is_constant, least, bases), np.where(is_constant, 0, widths)


def _decimals(matrix: Array) -> tuple[Array, Array]:
    """Places (C,) and whole numbers (N, C) of float columns."""
    places, codes = np.zeros(matrix.shape[1], dtype=np.int64), np.zeros(matrix.shape, dtype=np.int64)
    nan = int(_bits(np.array(np.nan, dtype=matrix.dtype)))
    some = matrix[:: 1 + len(matrix) // SAMPLED_ROWS].copy()  # where to begin
    powers = POWERS if matrix.itemsize == WORD else POWERS[: SINGLE_PLACES + 1]
    for rows in (some, matrix):
        decimals(rows, _bits(rows), nan, powers, places, codes)
    places[places == len(powers)] = AS_IT_IS
    return places, codes


def _whole_numbers(matrix: Array) -> tuple[Array, Array]:
    """The same of columns of integers, less the zeros that all end in: times are in ns, and mostly of full seconds."""
    places, codes = np.zeros(matrix.shape[1], dtype=np.int64), matrix.copy()
    for place in (9, 6, 3):
        ends = (matrix % 10**place == 0).all(axis=0) & (places == 0)
        places[ends] = place
        codes[:, ends] //= 10**place
    return places, codes


def _take_singles(matrix: Array, places: Array) -> None:
    """Columns of doubles that are all singles become that."""
    left = np.flatnonzero(places == AS_IT_IS)
    if matrix.dtype.str != "<f8" or not len(left):
        return
    values = np.ascontiguousarray(matrix[:, left])
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype(np.float32).astype(np.float64)
    places[left[(_bits(back) == _bits(values)).all(axis=0)]] = SINGLE


def _patterns(matrix: Array, places: Array) -> Array:
    """The bits of the columns that are no decimals, as integers: numbers above zero of a like size differ by little."""
    other = places[places >= SINGLE]
    values = np.ascontiguousarray(matrix[:, places >= SINGLE])
    patterns = _bits(values).astype(np.int64)
    patterns[:, other == SINGLE] = _bits(values[:, other == SINGLE].astype(np.float32))
    return patterns


def _sizes(places: Array, itemsize: int) -> Array:
    """(C,) bits of a column's values as they are; what is smaller counts from a base."""
    return np.where(places == SINGLE, 32, 8 * itemsize)


def _room(shape: tuple[int, ...], widths: Array) -> tuple[int, int]:
    """Lines, and words of a line, for columns (N, C). A line is a row: rows that move within an array are then cut into
    the same pieces; or all of a single column."""
    lines, bits = (shape[0], int(widths.sum())) if len(widths) > 1 else (1, shape[0] * int(widths[0]))
    return lines, -(-bits // 64)


def _side_by_side(codes: Array, *frame: Array) -> tuple[Array, ...]:
    """Codes by line, and what frames each number of a line."""
    if codes.shape[1] > 1:
        return codes, *frame
    return codes.reshape(1, -1), *(np.repeat(one, len(codes)) for one in frame)


def _bits(values: Array) -> Array:
    return values.view(f"<i{values.itemsize}")
