"""Whatever is sent, nothing ends the process, nothing gets into what a system has learned, and nothing goes missing.

`python tests/bench/fuzz.py --records 1000000` does the first of these tests with a million.
"""

from dataclasses import replace

import numpy as np
import pytest
from bad_records import BEGIN_S, Fuzz
from fuzzing import CONSUMER, SYSTEMS, fuzz
from keeper import Keeper
from process import Process
from stage import ROWS, rows_of, write_config

from stream.assembly import make_pipeline
from stream.config import Config
from stream.decode import REASONS, Decoder, Raw
from stream.pipeline import Pipeline
from stream.settings import AlignSettings

RECORDS = 20_000
CALM, SPOILT = 400, 50  # rows


@pytest.mark.kafka
def test_bad_records_are_counted_and_kept_byte_for_byte_and_leave_no_trace_in_what_is_learned(create_topics, tmp_path):
    setting, keeper = write_config(create_topics(), tmp_path, consumer=CONSUMER, every="1s"), Keeper()
    with (tmp_path / "run.log").open("wb") as log:
        process = Process(setting.path, setting.listen, keeper, log=log)
    try:
        result = fuzz(setting, process, tmp_path, records=RECORDS, seed=1)
    finally:
        keeper.close()
    assert result.faults == []
    assert len(result.families) >= 13
    assert result.reasons.keys() >= {"not_json", "no_ts", "bad_ts", "no_values", "not_a_number", "not_finite", "past"}
    assert result.reasons.keys() >= {"future", "too_long"}
    assert "Traceback" not in (tmp_path / "run.log").read_text()


def test_mutants_that_are_valid_leave_no_infinity_in_what_is_learned_and_the_rows_after_them_are_learned():
    valid = [message for row in zip(*rows_of(SYSTEMS).values(), strict=True) for message in row]
    before, spoilt, after = valid[: 2 * CALM], valid[2 * CALM : 2 * (CALM + SPOILT)], valid[2 * (CALM + SPOILT) :]
    pipeline = make_pipeline(replace(Config(), align=AlignSettings(max_ahead=5.0)))[0]
    assert _process(pipeline, before, now_s=BEGIN_S + CALM) == len(before)
    mutants = [mutant for place, message in enumerate(spoilt) for mutant in Fuzz([message], place).mutants(20)]
    assert _process(pipeline, mutants, now_s=BEGIN_S + CALM + SPOILT) > SPOILT
    assert not _infinite(pipeline)
    assert _process(pipeline, after, now_s=BEGIN_S + ROWS) >= len(after) - 2 * 10  # the first may be late by now
    assert not _infinite(pipeline)


def _process(pipeline: Pipeline, messages: list[bytes], *, now_s: int) -> int:
    """Rows that were learned. Systems with a mutated name are left aside."""
    raw = [Raw(place, b"key", message) for place, message in enumerate(messages)]
    readings, rejects = Decoder().decode("p", raw)
    assert {reject.reason for reject in rejects} <= set(REASONS)
    outcome = pipeline.process([r for r in readings if r.system in SYSTEMS], now=now_s * 10**9)
    assert {reject.reason for reject in outcome.rejects} <= {"late", "past", "duplicate", "future", "unknown_variable"}
    return outcome.rows


def _infinite(pipeline: Pipeline) -> list[str]:
    """Parts of the state that hold an infinity."""
    return [
        f"{name}/{part}"
        for name, state in pipeline.state("p").items()
        for part, array in state.arrays.items()
        if array.dtype.kind == "f" and np.isinf(array).any()
    ]
