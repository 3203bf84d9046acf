"""Arrays that are packed come back bit for bit, and the readings of monitoring become small."""

import numpy as np
import pytest
from reference import slow_first_alike, slow_places

from stream.narrow import MOST_PLACES, in_columns, narrowed, widened
from stream.narrow_kernel import POWERS, decimals, first_alike
from stream.packing import SMALL, packed
from stream.pieces import decode, encode
from stream.pipeline import SystemState

SEED = 3
CHANCE = np.random.default_rng(SEED)
NOISE = CHANCE.normal(size=(2_000, 12))
READINGS = (20.0 + NOISE).round(2)


def with_cells(array: np.ndarray, *values: float) -> np.ndarray:
    """A copy that has these values somewhere in the first column."""
    changed = array.copy()
    changed[: len(values), 0] = values
    return changed


def patterns(*bits: int) -> list[float]:
    """Doubles of these bits."""
    return np.array(bits, dtype=np.uint64).view(np.float64).tolist()


ODD = {
    "noise": NOISE,
    "noise in single precision": NOISE.astype(np.float32),
    "single precision in double": NOISE.astype(np.float32).astype(np.float64),
    "decimals": READINGS,
    "decimals in single precision": READINGS.astype(np.float32),
    "decimals, wide": np.ascontiguousarray(READINGS.T),
    "decimals of all places": np.stack([NOISE[:, 0].round(p) for p in range(12)], axis=1),
    "late decimals": np.concatenate([NOISE.round(0), NOISE.round(5)]),
    "later noise": np.concatenate([NOISE.round(0), NOISE[:1]]),
    "NaN": with_cells(READINGS, np.nan, np.nan),
    "nothing but NaN": np.full((600, 12), np.nan),
    "another NaN": with_cells(READINGS, *patterns(0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001)),
    "minus zero": with_cells(READINGS, -0.0, 0.0, np.nan),
    "minus zero among singles": with_cells(NOISE.astype(np.float32), -0.0, np.nan, np.inf),
    "infinite": with_cells(READINGS, np.inf, -np.inf),
    "huge": with_cells(READINGS, 1.7e308, -1e30, 2.0**53),
    "tiny": with_cells(READINGS, 5e-324, 1e-300),
    "far apart": with_cells(READINGS, 2.0**51 - 1, -(2.0**51) + 1),
    "constant": np.full((900, 12), 21.7),
    "zeros": np.zeros((900, 12)),
    "mostly zeros": np.where(NOISE > 1.0, NOISE, 0.0),
    "zeros of both signs": np.where(NOISE > 1.0, 0.0, -0.0),
    "above zero": np.abs(NOISE).astype(np.float32) + np.float32(0.5),
    "times": (1_700_000_000 + np.arange(3_000)) * 10**9,
    "times in ms": (1_700_000_000_123 + np.arange(3_000)) * 10**6,
    "counts": CHANCE.integers(0, 900, (5, 200)),
    "extreme integers": np.tile([np.iinfo(np.int64).min, 0, np.iinfo(np.int64).max, -7], 300),
    "least integers": np.tile([np.iinfo(np.int64).min, np.iinfo(np.int64).min + 1], 600),
    "booleans": NOISE > 0,
    "short": CHANCE.integers(0, 900, (700, 3)).astype(np.uint16),
    "cube": CHANCE.normal(size=(300, 3, 12)).astype(np.float32).round(2),
    "column": READINGS[:, :1].copy(),
    "row": READINGS[:, 0].reshape(1, -1).copy(),
    "vector": np.tile(READINGS[:, 0], 3),
    "few rows": np.arange(9_000.0).reshape(3, 3_000),
    "number": np.array(7.5),
    "nothing": np.zeros((0, 12)),
    "text": np.array("no data"),
}


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def back(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return decode(encode(SystemState({}, arrays))).arrays


def size(arrays: dict[str, np.ndarray]) -> int:
    return sum(map(len, packed(arrays)[1]))


@pytest.mark.parametrize("kind", ODD)
def test_an_array_comes_back_bit_for_bit_and_as_a_copy(kind: str) -> None:
    (found,) = back({"a": ODD[kind]}).values()
    assert same(found, ODD[kind])
    assert found.flags.writeable and found.flags.c_contiguous


def test_all_of_them_together_come_back_in_their_order() -> None:
    found = back(ODD)
    assert list(found) == list(ODD)
    assert all(same(found[kind], array) for kind, array in ODD.items())


@pytest.mark.parametrize("places", range(MOST_PLACES + 1))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_decimals_of_any_places_and_scale_come_back(places: int, scale: float) -> None:
    matrix = in_columns((scale * NOISE).round(places))
    content = narrowed(matrix)
    assert content is not None and len(content) < 0.85 * matrix.nbytes
    assert same(widened(content, matrix.shape, "<f8"), matrix)


def test_places_are_those_that_the_numbers_are_written_with() -> None:
    matrix = np.stack([(200.0 + 30.0 * NOISE[:, 0]).round(places) for places in range(1, MOST_PLACES + 1)], axis=1)
    places, codes = np.zeros(MOST_PLACES, dtype=np.int64), np.zeros(matrix.shape, dtype=np.int64)
    decimals(matrix, matrix.view(np.int64), 0, POWERS, places, codes)
    assert places.tolist() == [slow_places(column) for column in matrix.T]
    assert (codes / POWERS[places] == matrix).all()


def test_rows_are_found_where_they_first_stand() -> None:
    rows = CHANCE.integers(0, 3, (400, 4)).astype(np.float64) * CHANCE.choice([-1.0, 1.0], (400, 1))
    assert first_alike(rows.view(np.uint64)).tolist() == slow_first_alike(rows)


def test_what_never_moves_takes_no_room_and_two_places_take_two_bytes() -> None:
    assert size({"a": ODD["constant"]}) < 200
    assert size({"a": READINGS}) < 2 * READINGS.size + 500
    assert size({"a": ODD["times"]}) < 2 * 3_000


def test_columns_are_narrowed_each_for_itself() -> None:
    mixed = READINGS.copy()
    mixed[:, 3] = NOISE[:, 3]
    assert size({"a": mixed}) < size({"a": READINGS}) + 7 * len(mixed)


def test_noise_is_left_as_it_is() -> None:
    assert size({"a": NOISE}) == NOISE.nbytes


def test_rows_that_several_have_are_kept_once() -> None:
    history, ring = NOISE[300:1_900], np.roll(NOISE, 700, axis=0).T.copy()
    kept_twice = {"ring": ring, "history": history, "weights": CHANCE.normal(size=(24, 12))}
    found = back(kept_twice)
    assert all(same(found[name], array) for name, array in kept_twice.items())
    assert size(kept_twice) < NOISE.nbytes + 24 * 12 * 8 + 100


def test_rows_that_differ_in_a_bit_are_not_taken_for_the_same() -> None:
    nearly = NOISE.copy()
    nearly[::7, 5] = np.nextafter(nearly[::7, 5], 9.0)
    minus = np.zeros((2_000, 12))
    minus[::3] = -0.0
    arrays = {"a": NOISE, "b": nearly, "c": minus, "d": np.zeros((2_000, 12))}
    assert all(same(found, arrays[name]) for name, found in back(arrays).items())


def test_a_system_that_is_frozen_is_small() -> None:
    frozen = np.tile(NOISE[0], (2_000, 1))
    assert size({"ring": frozen.T.copy(), "history": frozen[:900]}) < 20_000


def test_small_arrays_are_left_as_they_are() -> None:
    small = READINGS[: SMALL // (12 * 8)]
    assert packed({"a": small})[0] == [["a", "<f8", small.shape]]


def test_objects_are_refused_in_every_form() -> None:
    for name in ("decimals", "mostly zeros", "noise", "cube", "constant"):
        content = encode(SystemState({}, {"a": ODD[name]}))
        kind = b'"<f8"' if ODD[name].itemsize == 8 else b'"<f4"'
        with pytest.raises((ValueError, TypeError)):
            decode(content.replace(kind, b'"|O8"'))


def test_what_is_no_state_is_refused_with_a_plain_error() -> None:
    content = encode(SystemState({}, {name: array for name, array in ODD.items() if array.dtype.str == "<f8"}))
    for cut in range(9, len(content), len(content) // 60):
        with pytest.raises((ValueError, KeyError, TypeError)):
            decode(content[:cut])
