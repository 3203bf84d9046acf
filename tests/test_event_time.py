"""Times come back as they were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.event_time import TimeStyle, from_text, to_text

NUMBERS = ["0", "0.5", "106.927", "1661140260", "1661140260.25", "1661140260123", "-3", "1661140260123456789"]
TEXTS = ["2021-10-28T00:01:00", "2021-10-28 00:01:00", "2021-10-28T00:01:00Z", "2021-10-28T00:01:00.25+00:00"]


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS])
def test_a_time_is_formatted_as_it_was_written(text):
    style = TimeStyle.of(text)
    assert str(style.format(style.parse(text))) == text


@pytest.mark.parametrize(
    ("text", "unit"), [("12", "s"), ("1e10", "s"), ("1661140260000", "ms"), ("1661140260000000", "us")]
)
def test_the_size_of_a_number_tells_its_unit(text, unit):
    assert TimeStyle.of(text).unit == unit


def test_a_told_unit_wins():
    assert TimeStyle.of("5", "ms").parse("5") == 5_000_000


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "2021-13-01", "1e400", "9" * 5000])
def test_what_is_no_time_is_a_value_error(text):
    with pytest.raises(ValueError):
        TimeStyle.of(text).parse(text)


def test_a_zone_is_heeded():
    assert from_text("2021-10-28T02:00:00+02:00") == from_text("2021-10-28T00:00:00Z")


@given(st.integers(-(10**18), 4 * 10**18))
def test_text_keeps_microseconds(ns):
    ns -= ns % 1000
    assert from_text(to_text(ns)) == ns
