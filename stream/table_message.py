"""Tables, whose rows a kernel reads: a third of the cost of Python's objects. What is odd in any way is left alone."""

import msgspec
import numpy as np
from numba import njit

from detectors.block import FloatArray
from stream.decimal_kernel import Bytes, read_number


class Table(msgspec.Struct):
    """A message with names and rows. The rest is there to see that it is nothing else."""

    ts: list[int | float | str]
    names: list[str]
    rows: msgspec.Raw
    system: str | None = None
    entity: str | None = None
    values: msgspec.UnsetType = msgspec.UNSET
    name: msgspec.UnsetType = msgspec.UNSET
    value: msgspec.UnsetType = msgspec.UNSET


_DECODER = msgspec.json.Decoder(Table)


def table_of(value: bytes) -> tuple[Table, FloatArray] | None:
    """The table and its rows (T, N), null as NaN; None if it is none, or an odd one, or something is wrong with it."""
    try:
        table = _DECODER.decode(value) if b'"rows"' in value else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if table is None or not table.ts or not table.names or len(set(table.names)) < len(table.names):
        return None
    rows = np.empty((len(table.ts), len(table.names)))
    return (table, rows) if read_rows(np.frombuffer(table.rows, dtype=np.uint8), rows) else None


@njit(cache=True, nogil=True, error_model="numpy")
def read_rows(text: Bytes, out: FloatArray) -> bool:
    """A JSON array of arrays of numbers into out (T, N); False if it is not just that, or a number has no answer."""
    at = _after(text, 0, 91)  # [
    for row in range(out.shape[0]):
        at = _after(text, at, 44) if row else at  # ,
        at = _after(text, at, 91)
        for column in range(out.shape[1]):
            at = _after(text, at, 44) if column else at
            at = _blanks_end(text, at)
            if at < 0:
                return False
            at, out[row, column] = read_number(text, at, len(text) - 1)
        at = _after(text, at, 93)  # ]
    return bool(_after(text, at, 93) == len(text))


@njit(cache=True, nogil=True, error_model="numpy")
def _blanks_end(text: Bytes, at: int) -> int:
    while 0 <= at < len(text) and (text[at] == 32 or text[at] == 9 or text[at] == 10 or text[at] == 13):
        at += 1
    return at if at < len(text) else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _after(text: Bytes, at: int, mark: int) -> int:
    """Behind the mark, which comes next; -1 if it does not."""
    at = _blanks_end(text, at)
    return at + 1 if at >= 0 and text[at] == mark else -1
