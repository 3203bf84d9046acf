"""A ring keeps the newest rows in order, and as little room as they need."""

import numpy as np
import pytest

from detectors.causes.ring import FIRST_ROWS, SPARE, Ring, has_room, push


@pytest.mark.parametrize("capacity", [1, 5, 63, 64, 65, 200])
def test_it_has_the_last_rows_in_order_at_any_time(capacity: int) -> None:
    ring, rows = Ring(capacity, 2), np.arange(1_400.0).reshape(700, 2)
    for count, row in enumerate(rows, 1):
        ring.extend(row[None])
        assert len(ring) == min(count, capacity)
        np.testing.assert_array_equal(ring.rows(), rows[max(0, count - capacity) : count])


@pytest.mark.parametrize("capacity", [1, 5, 64, 200])
@pytest.mark.parametrize("size", [3, 50, 300])
def test_many_rows_at_once_are_the_same_as_one_by_one(capacity: int, size: int) -> None:
    ring, rows = Ring(capacity, 2), np.arange(1_400.0).reshape(700, 2)
    for start in range(0, 700, size):
        ring.extend(rows[start : start + size])
        np.testing.assert_array_equal(ring.rows(), rows[: start + size][-capacity:])


@pytest.mark.parametrize("capacity", [1, 5, 64, 200])
def test_making_room_loses_no_row_and_pushing_into_it_is_adding(capacity: int) -> None:
    ring, rows, at = Ring(capacity, 2), np.arange(1_400.0).reshape(700, 2), 0
    while at < len(rows):
        before = ring.rows().copy()
        room = ring.make_room(30)
        np.testing.assert_array_equal(ring.rows(), before)
        assert 1 <= room <= 30
        for row in rows[at : at + room]:
            assert has_room(ring.arrays)
            push(ring.arrays, row)
        at = min(at + room, len(rows))
        np.testing.assert_array_equal(ring.rows(), rows[:at][-capacity:])


@pytest.mark.parametrize("loaded", [0, 1, 64, 150, 200])
def test_it_goes_on_from_rows_that_it_was_given(loaded: int) -> None:
    ring, rows = Ring(200, 2), np.arange(1_400.0).reshape(700, 2)
    ring.extend(rows[:1])
    ring.load(rows[:loaded])
    ring.extend(rows[loaded:])
    np.testing.assert_array_equal(ring.rows(), rows[-200:])


def test_its_room_grows_with_the_rows_and_stays_near_what_it_keeps() -> None:
    ring, room = Ring(1_000, 3), []
    for _ in range(5_000):
        ring.extend(np.zeros((1, 3)))
        room.append(len(ring.rows().base))
    assert room[0] == FIRST_ROWS
    assert all(has <= 2 * max(count, FIRST_ROWS) for count, has in enumerate(room, 1))
    assert max(room) == 1_000 + 1_000 // SPARE
