"""Messages that look like others before them are read many at a time, and say what they say one by one."""

import json
import random
import struct
from collections.abc import Sequence

import numpy as np
import pytest

from stream.decimal_kernel import read_moment, read_number, read_whole
from stream.decode import MANY, Decoder, Raw
from stream.event_time import from_text
from stream.form import form_of
from stream.forms import MOST, PAUSE
from stream.message import RejectedError
from stream.sources.protocol import Readings, Reject
from stream.table_message import table_of


def text_of(written: str) -> np.ndarray:
    return np.frombuffer(written.encode() + b",", dtype=np.uint8)


def number_of(written: str) -> tuple[int, float]:
    return read_number(text_of(written), 0, len(written))


def decimals(seed: int, count: int) -> Sequence[str]:
    """Of all sizes and lengths; and such that lie half way between two doubles, or nearly."""
    rng = random.Random(seed)
    halves = [
        str((rng.getrandbits(53) | 1 << 52) * 2 + 1 + rng.randint(-1, 1)) + "0" * rng.randint(0, 2)
        for _ in range(count)
    ]
    bits = [repr(struct.unpack("d", struct.pack("Q", rng.getrandbits(64)))[0]) for _ in range(count)]
    plain = [repr(rng.gauss(0, 10.0 ** rng.randint(-9, 9))) for _ in range(count)]
    powers = [f"{rng.getrandbits(rng.randint(1, 64))}e{rng.randint(-60, 60)}" for _ in range(count)]
    places = [
        f"{rng.randint(-999, 999)}.{rng.getrandbits(rng.randint(1, 50)):0{rng.randint(1, 17)}d}" for _ in range(count)
    ]
    return [one for one in (*halves, *bits, *plain, *powers, *places) if one not in ("nan", "inf", "-inf")]


def test_a_number_has_the_bits_that_python_gives_it_or_no_answer():
    answered = 0
    for written in decimals(seed=0, count=4_000):
        end, value = number_of(written)
        if end >= 0:
            answered += 1
            assert (end, struct.pack("d", value)) == (len(written), struct.pack("d", float(written))), written
    assert answered > 14_000


@pytest.mark.parametrize("written", ["-0", "-0.0", "1.", ".5", "1e", "1e+", "-", "nul", "01", "x", "1" * 20, "1e99"])
def test_what_is_no_number_or_an_odd_one_gets_no_answer(written):
    assert number_of(written)[0] == -1


def test_null_is_not_a_number_and_leading_zeros_do_not_count_as_digits():
    assert number_of("null")[0] == 4
    assert np.isnan(number_of("null")[1])
    assert number_of("0.00000000000000000000125") == (25, 1.25e-21)


def test_a_moment_is_what_the_slow_reader_makes_of_it_or_has_no_answer():
    rng = random.Random(0)
    answered = 0
    for _ in range(20_000):
        day = f"{rng.randint(1690, 2210)}-{rng.randint(0, 13):02d}-{rng.randint(0, 32):02d}"
        time = f"{rng.randint(0, 24):02d}:{rng.randint(0, 60):02d}:{rng.randint(0, 60):02d}"
        rest = rng.choice(["", ".5", ".123456", ".001", ".", "x", ".1234567"]) + rng.choice(
            ["Z", "", "+00:00", "+01:00"]
        )
        written = f"{day}T{time}{rest}"
        end, ns = read_moment(np.frombuffer(written.encode() + b'"', dtype=np.uint8), 0, len(written) + 1)
        if end >= 0:
            answered += 1
            assert (end, ns) == (len(written), from_text(written))
    assert answered > 5_000


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("1661140260000", 1_661_140_260_000_000_000),
        ("-5", -5_000_000),
        ("0", 0),
        *((odd, None) for odd in ("1.5", "1e3", "", "9223372036855", "007")),
    ],
)
def test_a_whole_time_is_exact_or_has_no_answer(written, ns):
    end, found = read_whole(text_of(written), 0, len(written) + 1, 1_000_000)
    assert (end, found) == ((len(written), ns) if ns is not None else (-1, 0))


def test_a_form_has_holes_where_system_time_and_readings_stand():
    form = form_of(b'{"ts": 1, "system": "shop", "seq": 7, "values": {"a": 1, "b": null}}', ["a", "b"])
    assert form is not None
    assert form.literal.tobytes() == b'{"ts": , "system": "", "seq": 7, "values": {"a": , "b": }}'
    assert (form.names, form.has_system, len(form.kinds)) == (("a", "b"), True, 4)


@pytest.mark.parametrize(
    "message",
    [
        b'{"ts": 1, "values": {"a\\u0062": 1}}',  # may be written otherwise, too
        b'{"ts": 1, "values": {"a": 1, "a": 2}}',  # the last one counts
        b'{"ts": 1, "ts": 2, "values": {"a": 1}}',
        b'{"ts": [1], "names": ["a"], "rows": [[1]]}',
        b'{"meta": {"values": {"a": 1}}, "ts": 1}',
    ],
)
def test_what_is_no_plain_row_has_no_form(message):
    assert form_of(message, ["a"]) is None


def wide(rng: random.Random, system: str, ts: object, names: Sequence[str]) -> dict:
    cells = {name: rng.choice([rng.gauss(0, 1), round(rng.gauss(0, 9), 4), rng.randint(-9, 9), None]) for name in names}
    return {"system": system, "ts": ts, "values": cells}


def spoilt(rng: random.Random, message: bytes) -> bytes:
    """Mostly as it was; else with something odd, or something wrong."""
    at, kind = rng.randrange(len(message)), rng.random()
    if kind < 0.6:
        return message
    if kind < 0.7:
        return message[:at] + bytes([rng.randrange(256)]) + message[at + 1 :]
    if kind < 0.75:
        return message[:at]
    swaps = [(b": ", b":"), (b"null", b"NaN"), (b"null", b"1e400"), (b"null", b"0.10000000000000000000000001")]
    swaps += [(b"shop", b"\xff\xfe"), (b"shop", b""), (b"shop", b"sh\\u006fp"), (b"shop", "schön".encode())]
    swaps += [(b"null", b"-0.0"), (b"null", b'"x"'), (b"ts", b"TS"), (b"}}", b'}, "more": 1}'), (b"null", b"01")]
    return message.replace(*rng.choice(swaps))


def row_by_row(readings: Sequence[Readings]) -> dict[str, list[tuple]]:
    """System -> its rows, however they are gathered."""
    found: dict[str, list[tuple]] = {}
    for one in readings:
        arrived = [None] * len(one.times) if one.arrived is None else one.arrived.tolist()
        for t in range(len(one.times)):
            row = (one.names, one.complete, int(one.times[t]), one.values[t].tobytes(), int(one.offsets[t]), arrived[t])
            found.setdefault(one.system, []).append(row)
    return found


def one_by_one(messages: Sequence[Raw], **options) -> tuple[dict[str, list[tuple]], list[Reject]]:
    """The slow twin: a decoder of its own for each message knows no form."""
    readings, rejects = [], []
    for message in messages:
        good, bad = Decoder(**options).decode("p", [message])
        readings += good
        rejects += bad
    return row_by_row(readings), rejects


@pytest.mark.parametrize("seed", range(12))
def test_forms_change_nothing_whatever_the_messages_are(seed):
    rng = random.Random(seed)
    names = {system: [f"e{k % 3}.m{k}" for k in range(rng.randint(1, 5))] for system in ("shop", "ship", "mill")}
    as_text = rng.random() < 0.5
    messages = []
    for offset in range(400):
        system = rng.choice(list(names))
        ts = f"2022-08-22T03:{offset // 60:02d}:{offset % 60:02d}.25Z" if as_text else 1_661_140_260_000 + offset
        told = wide(rng, system, ts, names[system])
        if rng.random() < 0.05:
            told = {"system": system, "ts": ts, "entity": "e0", "name": "m0", "value": 1.5}
        key = rng.choice([system.encode(), system.encode(), None])
        arrived = offset if seed % 2 else None
        messages.append(Raw(offset, key, spoilt(rng, json.dumps(told).encode()), arrived))
    decoder = Decoder(system="nobody", max_bytes=200)
    readings, rejects = [], []
    for first in range(0, len(messages), 37):
        good, bad = decoder.decode("p", messages[first : first + 37])
        readings += good
        rejects += bad
    assert (row_by_row(readings), rejects) == one_by_one(messages, system="nobody", max_bytes=200)
    assert len(rejects) > 20


def told(system: str, ts: int, *values: float | None, **more: object) -> bytes:
    cells = {f"v{number}": value for number, value in enumerate(values)}
    return json.dumps({"system": system, "ts": ts, "values": cells, **more}).encode()


def fails(*_: object) -> None:
    raise AssertionError("read by itself")


def test_what_has_a_known_form_is_not_read_by_itself(monkeypatch):
    decoder = Decoder()
    decoder.decode("p", [Raw(0, key, told(key.decode(), 1, 1.0, 2.0)) for key in (b"a", b"b") * MANY])
    monkeypatch.setattr(decoder._reader, "read", fails)
    messages = [Raw(n, b"ab"[n % 2 :][:1], told("ab"[n % 2], n, n / 7, None)) for n in range(2, 10)]
    readings, rejects = decoder.decode("p", messages)
    assert not rejects
    assert [(one.system, one.offsets.tolist()) for one in readings] == [("a", [2, 4, 6, 8]), ("b", [3, 5, 7, 9])]
    assert readings[0].values[:, 0].tolist() == [2 / 7, 4 / 7, 6 / 7, 8 / 7]


def test_a_message_that_names_no_system_belongs_to_its_key_by_form_too(monkeypatch):
    decoder = Decoder()
    decoder.decode("p", [Raw(0, key, b'{"ts":1,"values":{"a":1}}') for key in (b"x", b"y") * MANY])
    monkeypatch.setattr(decoder._reader, "read", fails)
    readings, _ = decoder.decode("p", [Raw(n, b"xy"[n % 2 :][:1], b'{"ts":%d,"values":{"a":1}}' % n) for n in range(8)])
    assert [(one.system, one.times.tolist()[:2]) for one in readings] == [
        ("x", [0, 2_000_000]),
        ("y", [1_000_000, 3_000_000]),
    ]


def test_a_producer_that_writes_otherwise_gets_a_new_form(monkeypatch):
    decoder = Decoder()
    for release in (1, 2):
        decoder.decode("p", [Raw(n, b"a", told("a", n, 1.0, release=release)) for n in range(PAUSE + 2)])
    monkeypatch.setattr(decoder._reader, "read", fails)
    ((one,), _) = decoder.decode("p", [Raw(n, b"a", told("a", n, 3.0, release=2)) for n in range(999, 999 + MANY)])
    assert one.values.tolist() == [[3.0]] * MANY


def test_what_comes_in_between_cuts_a_systems_rows_and_keeps_their_order():
    decoder = Decoder()
    decoder.decode("p", [Raw(0, b"a", told("a", 0, 1.0))] * MANY)
    messages = [told("a", n, 1.0) for n in range(1, MANY + 1)]
    messages[2] = b'{"ts": 3, "name": "v0", "value": 5}'
    readings, _ = decoder.decode("p", [Raw(n, b"a", message) for n, message in enumerate(messages, start=1)])
    assert [(one.offsets.tolist(), one.complete) for one in readings] == [
        ([1, 2], True),
        ([3], False),
        ([4, 5, 6], True),
    ]


def test_keys_that_are_made_up_do_not_fill_the_memory():
    decoder = Decoder()
    for first in range(0, MOST + 500, 500):
        decoder.decode("p", [Raw(n, b"%d" % n, told("a", n, 1.0)) for n in range(first, first + 500)])
    assert 0 < len(decoder._forms._of) <= MOST


def table(**changes: object) -> bytes:
    plain = {"system": "shop", "entity": "cart", "names": ["a", "b"], "ts": [1, 2.5], "rows": [[0.1, None], [-7, 1e-3]]}
    return json.dumps({**plain, **changes}).encode()


def by_the_slow_way(value: bytes) -> tuple:
    reader = Decoder()._reader
    try:
        said = reader._message(b"key", value)
        return (*said[:3], np.array(said.rows, dtype=np.float64).tobytes(), said.is_complete)
    except RejectedError as error:
        return error.reason, error.detail


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"system": None, "entity": None},
        {"ts": ["2022-08-22T03:51:00Z", 7]},
        {"rows": [[1.25, 2], [3, "x"]]},
        {"rows": [[1.25, 2], [3]]},
        {"rows": [[1.25, 2], [3, 4, 5]]},
        {"rows": [[1.25, 2]]},
        {"rows": [[1, 2], [3, 4], [5, 6]]},
        {"rows": [[1.25, [2]], [3, 4]]},
        {"rows": [[-0.0, 10**25], [2**53 + 1, 0.1234567890123456789012]]},
        {"rows": [[1.25, float("nan")], [3, 4]]},
        {"rows": []},
        {"rows": {"a": 1}},
        {"names": ["a", "a"]},
        {"names": []},
        {"ts": 1},
        {"ts": [1, "x"]},
        {"values": {"a": 5}},
        {"values": None},
        {"name": "a", "value": 5},
    ],
)
def test_a_table_says_the_same_by_the_kernel_and_without_it(changes):
    value = table(**changes)
    ((_, *slow), readings_and_rejects) = [None, *by_the_slow_way(value)], Decoder().decode("p", [Raw(0, b"key", value)])
    readings, rejects = readings_and_rejects
    if rejects:
        assert (rejects[0].reason, rejects[0].detail) == tuple(slow)
    else:
        (one,) = readings
        assert (one.system, one.times.tolist(), one.names, one.values.tobytes(), one.complete) == tuple(slow)


def test_plain_tables_are_read_by_the_kernel_blanks_or_none():
    for value in (table(), table().replace(b" ", b""), table().replace(b", ", b" ,\n\t")):
        found = table_of(value)
        assert found is not None
        np.testing.assert_array_equal(found[1], [[0.1, np.nan], [-7.0, 1e-3]])
