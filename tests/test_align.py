"""Readings become rows: times strictly increasing, variables fixed, and what does not fit is rejected."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.align import Aligned, Aligner
from stream.settings import AlignSettings
from stream.sources.protocol import Readings

SECOND = 1_000_000_000


def wide(times, values, names=("a", "b")):
    numbers = np.array(values, dtype=float).reshape(len(times), len(names))
    return Readings("shop", "p", names, np.array(times) * SECOND, numbers, np.arange(len(times)))


def long(time, name, value, offset=0):
    arrays = np.array([time * SECOND]), np.array([[value]], dtype=float), np.array([offset])
    return Readings("shop", "p", (name,), *arrays, complete=False)


def rows(aligned: Aligned):
    return [(int(t) // SECOND, *v) for t, v in zip(aligned.rows.times, aligned.rows.values.tolist(), strict=True)]


def reasons(aligned: Aligned):
    return [reject.reason for reject in aligned.rejects]


def test_whole_rows_pass_through():
    assert rows(Aligner(AlignSettings()).add(wide([1, 2], [[1, 2], [3, 4]]))) == [(1, 1.0, 2.0), (2, 3.0, 4.0)]


def test_late_and_repeated_rows_are_rejected_and_the_others_stay():
    aligned = Aligner(AlignSettings()).add(wide([5, 6, 6, 4, 7], np.arange(10)))
    assert [row[0] for row in rows(aligned)] == [5, 6, 7]
    assert reasons(aligned) == ["duplicate", "late"]
    assert [reject.offset for reject in aligned.rejects] == [2, 3]
    assert json.loads(aligned.rejects[1].value) == {
        "system": "shop",
        "ts": "1970-01-01T00:00:04Z",
        "values": {"a": 6.0, "b": 7.0},
    }


def test_the_first_row_fixes_the_variables_and_their_order():
    aligner = Aligner(AlignSettings())
    aligner.add(wide([1], [[1, 2]]))
    aligned = aligner.add(wide([2], [[8, 9, 7]], names=("b", "c", "a")))
    assert rows(aligned) == [(2, 7.0, 8.0)]
    assert reasons(aligned) == ["unknown_variable"]


def test_a_variable_left_out_is_missing():
    aligner = Aligner(AlignSettings())
    aligner.add(wide([1], [[1, 2]]))
    ((_, a, b),) = rows(aligner.add(wide([2], [[5]], names=("b",))))
    assert np.isnan(a)
    assert b == 5


def test_long_messages_are_gathered_until_the_row_is_whole_or_time_goes_on():
    aligner = Aligner(AlignSettings(discovery_ticks=1))
    assert rows(aligner.add(long(1, "a", 1))) == []
    assert rows(aligner.add(long(1, "b", 2))) == []  # b may not be the last of them
    assert rows(aligner.add(long(2, "b", 4))) == [(1, 1.0, 2.0)]
    assert rows(aligner.add(long(2, "a", 3))) == [(2, 3.0, 4.0)]  # whole: no waiting for the next tick
    assert rows(aligner.add(long(3, "a", 5))) == []
    ((_, a, b),) = rows(aligner.add(long(4, "a", 6)))
    assert a == 5
    assert np.isnan(b)


def test_the_first_ticks_of_long_messages_find_the_variables():
    aligner = Aligner(AlignSettings(discovery_ticks=2))
    for message in (long(1, "a", 1), long(2, "a", 2), long(2, "b", 3)):
        assert rows(aligner.add(message)) == []
    first, second = rows(aligner.add(long(3, "a", 4)))
    assert first[1] == 1
    assert np.isnan(first[2])
    assert second == (2, 2.0, 3.0)
    assert reasons(aligner.add(long(3, "c", 1))) == ["unknown_variable"]


def test_a_late_or_repeated_part_is_rejected():
    aligner = Aligner(AlignSettings(discovery_ticks=1))
    for message in (long(1, "a", 1), long(2, "a", 2)):
        aligner.add(message)
    assert reasons(aligner.add(long(2, "a", 2))) == ["duplicate"]
    assert reasons(aligner.add(long(1, "a", 1))) == ["late"]


def test_the_end_of_the_input_completes_the_open_row():
    aligner = Aligner(AlignSettings())
    aligner.add(long(1, "a", 1))
    aligner.add(long(1, "b", 2))
    assert rows(aligner.flush()) == [(1, 1.0, 2.0)]
    assert rows(aligner.flush()) == []


def test_the_future_is_refused_where_a_clock_is_told():
    aligner = Aligner(AlignSettings(max_ahead=60.0))
    aligned = aligner.add(wide([100, 200, 130], np.arange(6)), now=100 * SECOND)
    assert [row[0] for row in rows(aligned)] == [100, 130]
    assert reasons(aligned) == ["future"]


messages = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("abc"), st.floats(-5, 5)).map(lambda x: long(*x))
    | st.tuples(st.integers(0, 6), st.floats(-5, 5)).map(lambda x: wide([x[0]], [[x[1], 1.0]])),
    max_size=25,
)


@given(messages, st.integers(0, 25))
@settings(max_examples=150, deadline=None)
def test_any_input_gives_increasing_rows_and_a_state_goes_on_where_it_stopped(sequence, cut):
    whole, first = Aligner(AlignSettings()), Aligner(AlignSettings())
    expected = [row for message in sequence for row in rows(whole.add(message))] + rows(whole.flush())
    times = [row[0] for row in expected]
    assert times == sorted(set(times))
    seen = [row for message in sequence[:cut] for row in rows(first.add(message))]
    second = Aligner(AlignSettings())
    second.load_state(json.loads(json.dumps(first.state())))
    seen += [row for message in sequence[cut:] for row in rows(second.add(message))] + rows(second.flush())
    np.testing.assert_equal(seen, expected)
