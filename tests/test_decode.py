"""Messages become readings, or rejects that say why."""

import json
import random

import numpy as np
import pytest

from stream.decode import REASONS, Decoder, Raw, encode_row


def decode(*messages: bytes, key: bytes | None = b"shop", **options):
    return Decoder(**options).decode("p", [Raw(place, key, message) for place, message in enumerate(messages)])


def test_a_wide_message_is_a_whole_row():
    readings, rejects = decode(b'{"system": "shop", "ts": 1500, "values": {"cart.cpu": 0.5, "cart.mem": 7}}')
    assert not rejects
    (row,) = readings
    assert (row.system, row.partition, row.names, row.complete) == ("shop", "p", ("cart.cpu", "cart.mem"), True)
    assert row.times.tolist() == [1_500_000_000]
    assert row.values.tolist() == [[0.5, 7.0]]


def test_a_long_message_is_a_part_of_a_row_and_its_entity_prefixes_the_name():
    ((part,), _) = decode(
        b'{"system": "shop", "ts": "1970-01-01T00:00:02Z", "entity": "cart", "name": "cpu", "value": 1}'
    )
    assert (part.names, part.complete, part.times.tolist()) == (("cart.cpu",), False, [2_000_000_000])


def test_a_table_is_the_same_as_its_rows_one_by_one():
    table = b'{"system":"shop", "entity":"cart", "names":["cpu","mem"], "ts":[1500,1501], "rows":[[0.5,7],[null,8]]}'
    single = (b'{"system": "shop", "ts": 1500, "values": {"cart.cpu": 0.5, "cart.mem": 7}}',)
    single += (b'{"system": "shop", "ts": 1501, "values": {"cart.cpu": null, "cart.mem": 8}}',)
    ((whole,), _), ((rows,), _) = decode(table), decode(*single)
    assert (whole.system, whole.names, whole.complete) == (rows.system, rows.names, rows.complete)
    np.testing.assert_array_equal(whole.times, rows.times)
    np.testing.assert_array_equal(whole.values, rows.values)
    assert whole.offsets.tolist() == [0, 0]


def test_a_table_with_one_bad_cell_is_kept_whole_as_a_reject():
    table = b'{"names": ["a"], "ts": [1, 2], "rows": [[1], ["x"]]}'
    readings, (reject,) = decode(table)
    assert (readings, reject.reason, reject.value) == ([], "not_a_number", table)


def test_a_message_with_values_and_rows_is_a_reject():
    message = b'{"values": {"a": 1}, "names": ["a"], "ts": [1, 2], "rows": [[1], [2]]}'
    readings, (reject,) = decode(message)
    assert (readings, reject.reason, reject.value) == ([], "columns", message)


def test_null_is_a_missing_value():
    ((row,), rejects) = decode(b'{"ts": 1, "values": {"a": null, "b": 2}}')
    assert not rejects
    assert np.isnan(row.values[0, 0])
    assert row.values[0, 1] == 2


def test_a_message_without_a_system_belongs_to_its_key():
    ((row,), _) = decode(b'{"ts": 1, "values": {"a": 1}}', key=b"ship")
    assert row.system == "ship"


def test_messages_of_one_system_are_one_block_even_if_systems_alternate():
    messages = [json.dumps({"system": f"s{i % 2}", "ts": i, "values": {"a": i}}).encode() for i in range(6)]
    readings, _ = decode(*messages)
    assert [(r.system, r.offsets.tolist()) for r in readings] == [("s0", [0, 2, 4]), ("s1", [1, 3, 5])]


def test_other_names_begin_another_block_and_the_order_stays():
    readings, _ = decode(b'{"ts":1,"values":{"a":1}}', b'{"ts":2,"values":{"b":1}}', b'{"ts":3,"values":{"a":1}}')
    assert [r.times.tolist() for r in readings] == [[1_000_000], [2_000_000], [3_000_000]]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[]", "not_json"),
        (b"17", "not_json"),
        (b"null", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"values": {"a": 1}}', "no_ts"),
        (b'{"ts": null, "values": {"a": 1}}', "no_ts"),
        (b'{"ts": true, "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": "yesterday", "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": "", "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": 1e300, "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": "9999-01-01T00:00:00Z", "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": NaN, "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": {}, "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": 1}', "no_values"),
        (b'{"ts": 1, "values": {}}', "no_values"),
        (b'{"ts": 1, "values": 5}', "no_values"),
        (b'{"ts": 1, "name": "a"}', "no_values"),
        (b'{"ts": 1, "value": 5}', "no_values"),
        (b'{"ts": 1, "values": {"a": "0.5"}}', "not_a_number"),
        (b'{"ts": 1, "values": {"a": true}}', "not_a_number"),
        (b'{"ts": 1, "values": {"a": [1]}}', "not_a_number"),
        (b'{"ts": 1, "name": "a", "value": "x"}', "not_a_number"),
        (b'{"ts": [1, "x"], "names": ["a"], "rows": [[1], [2]]}', "bad_ts"),
        (b'{"ts": 1, "names": ["a"], "rows": [[1]]}', "bad_ts"),
        (b'{"ts": [1], "values": {"a": 1}}', "bad_ts"),
        (b'{"ts": [], "names": ["a"], "rows": []}', "bad_ts"),
        (b'{"ts": [1], "names": ["a"], "rows": [[1], [2]]}', "columns"),
        (b'{"ts": [1, 2], "names": ["a"], "rows": [[1], [2, 3]]}', "columns"),
        (b'{"ts": [1], "names": ["a", "a"], "rows": [[1, 2]]}', "columns"),
        (b'{"ts": [1], "names": [], "rows": [[]]}', "no_values"),
        (b'{"ts": [1], "names": ["a"], "rows": [["x"]]}', "not_a_number"),
        (b'{"ts": [1], "names": ["a"], "rows": [[NaN]]}', "not_finite"),
        (b'{"ts": 1, "values": {"a": NaN}}', "not_finite"),
        (b'{"ts": 1, "values": {"a": Infinity}}', "not_finite"),
        (b'{"ts": 1, "values": {"a": -1e999}}', "not_finite"),
        (b'{"ts": 1, "values": {"a": ' + b"9" * 400 + b"}}", "not_finite"),
        (b'{"ts": 1, "values": {"a": 1}, "pad": "' + b"x" * 2_000_000 + b'"}', "too_long"),
    ],
)
def test_a_bad_message_is_rejected_with_its_reason_and_bytes_and_its_neighbours_live(message, reason):
    good = b'{"ts": 1, "values": {"a": 1}}'
    readings, rejects = decode(good, message, good)
    assert [(r.reason, r.offset, r.value) for r in rejects] == [(reason, 1, message)]
    assert rejects[0].detail
    assert sum(len(r.times) for r in readings) == 2


def test_a_message_of_no_system_is_rejected():
    _, rejects = decode(b'{"ts": 1, "values": {"a": 1}}', key=None)
    assert [r.reason for r in rejects] == ["no_system"]


def test_noise_never_raises_and_every_reason_is_a_known_one():
    random.seed(7)
    good = b'{"system": "s", "ts": 1661140260000, "values": {"a": 0.5, "b": null}, "entity": "e"}'
    messages = []
    for _ in range(2000):
        noisy = bytearray(good)
        for _ in range(random.randint(1, 4)):
            noisy[random.randrange(len(noisy))] = random.randrange(256)
        messages.append(bytes(noisy))
    readings, rejects = decode(*messages)
    assert {r.reason for r in rejects} <= set(REASONS)
    assert sum(len(r.times) for r in readings) + len(rejects) == 2000


def test_an_encoded_row_decodes_to_itself():
    row = np.array([0.1, np.nan, -3e9])
    message = encode_row("shop", 1_661_140_260_123_456_000, ["a", "b", "c"], row)
    ((back,), _) = decode(message)
    assert back.times.tolist() == [1_661_140_260_123_456_000]
    np.testing.assert_array_equal(back.values[0], row)
