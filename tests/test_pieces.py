"""A state as bytes comes back bit for bit, and what moved within it is still made of the same pieces."""

import numpy as np
import pytest

from stream.pieces import LEAST, MOST, cut, decode, digest, encode, hashes_in
from stream.pipeline import SystemState

CHANCE = np.random.default_rng(0)
ARRAYS = {
    "floats": CHANCE.normal(size=(200, 38)),
    "wide": CHANCE.normal(size=(38, 200)).astype(np.float32),
    "cube": CHANCE.integers(0, 9, (3, 4, 5)),
    "odd": np.array([True, False, True]),
    "number": np.array(7),
    "nothing": np.zeros((0, 38)),
    "not there": np.array([np.nan, np.inf, -0.0]),
}


def test_what_is_encoded_comes_back_bit_for_bit():
    found = decode(encode(SystemState({"a": [1, None, "ü"]}, ARRAYS)))
    assert found.plain == {"a": [1, None, "ü"]}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        ours = found.arrays[name]
        assert (ours.dtype, ours.shape, ours.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert ours.flags.writeable and ours.flags.c_contiguous


def test_objects_are_refused_and_never_unpickled():
    content = encode(SystemState({}, {"a": np.zeros(1)}))
    with pytest.raises(ValueError, match="OBJECT"):
        decode(content.replace(b'"<f8"', b'"|O8"'))


@pytest.mark.parametrize("content", [b"", b"short", bytes(100_000), b"\1" * 50_001, CHANCE.bytes(300_003)])
def test_pieces_are_of_bounded_size_and_make_up_the_whole(content):
    pieces = list(cut(content))
    assert b"".join(pieces) == content
    assert all(LEAST <= len(piece) <= MOST for piece in pieces[:-1])
    assert all(0 < len(piece) <= MOST for piece in pieces)


@pytest.mark.parametrize("layout", ["history", "ring"])
def test_new_rows_make_few_new_pieces(layout):
    seen = CHANCE.normal(size=(3_000, 38))

    def pieces(rows: int) -> dict[bytes, int]:
        if layout == "history":
            array = seen[rows - 1_440 : rows]
        else:
            array = np.zeros((38, 1_440))
            array[:, np.arange(rows - 1_440, rows) % 1_440] = seen[rows - 1_440 : rows].T
        return {digest(piece): len(piece) for piece in cut(encode(SystemState({"rows": rows}, {"a": array})))}

    before, after = pieces(2_000), pieces(2_030)
    new = sum(size for name, size in after.items() if name not in before)
    assert new < 0.12 * sum(after.values())


def test_joined_hashes_are_taken_apart():
    names = [digest(b"a"), digest(b"b")]
    assert hashes_in(b"".join(names)) == names
