"""Every sink keeps the contract: what was flushed is there, in order; what could not be written comes later."""

import json
import os
from io import FileIO
from pathlib import Path

import fakes
import pytest
from fakes import Broker, ListRejects, ListSink

from stream.errors import ConfigError, DependencyError
from stream.records import TriggerRecord
from stream.settings import JsonLinesSettings, Settings, SinkSettings
from stream.sinks.jsonlines import JsonLines, RejectLines
from stream.sinks.protocol import DeadLetters, Sink
from stream.sinks.registry import DEAD_LETTERS, SINKS, open_dead_letters, open_sinks


def finding(number: int) -> TriggerRecord:
    return TriggerRecord(
        id=str(number), system="s", ts=number, detector="d", statistic=1.0, threshold=1.0, calibrated=True
    )


class SinkContract:
    """registered: the sink it stands for."""

    registered: str

    def open(self): ...

    def kept(self) -> list[str]: ...

    def test_it_is_a_sink(self):
        sink = self.open()
        assert isinstance(sink, Sink)
        assert isinstance(sink, DeadLetters)
        sink.close()

    def test_what_was_flushed_is_kept_in_order(self):
        sink = self.open()
        for number in range(5):
            sink.write(self.things(number))
        sink.flush()
        assert self.kept() == ["0", "1", "2", "3", "4"]
        sink.write(self.things(5))
        sink.flush()
        sink.flush()
        sink.close()
        assert self.kept() == ["0", "1", "2", "3", "4", "5"]

    def test_nothing_written_is_nothing_kept(self):
        sink = self.open()
        sink.write([])
        sink.flush()
        sink.close()
        assert self.kept() == []

    def things(self, number: int):
        return [finding(number)]


class TestJsonLines(SinkContract):
    registered = "jsonlines"

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "findings.jsonl"

    def open(self):
        return JsonLines(str(self.path))

    def kept(self):
        return [json.loads(line)["id"] for line in self.path.read_text().splitlines()]


class TestRejectLines(SinkContract):
    registered = "jsonlines"

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "rejects.jsonl"

    def open(self):
        return RejectLines(str(self.path))

    def kept(self):
        return (
            [str(json.loads(line)["offset"]) for line in self.path.read_text().splitlines()]
            if self.path.exists()
            else []
        )

    def things(self, number: int):
        return [fakes.reject(number)]


class TestList(SinkContract):
    """The fake that other tests trust."""

    registered = "fake"

    @pytest.fixture(autouse=True)
    def broker(self):
        self.broker = Broker({})

    def open(self):
        return ListSink(self.broker)

    def kept(self):
        return [finding.id for finding in self.broker.findings]


def test_every_registered_sink_runs_the_contract_or_has_tests_of_its_own():
    texts = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for name in {*SINKS, *DEAD_LETTERS} - {"none"}:
        assert f'registered = "{name}"' in texts or (Path(__file__).parent / f"test_{name}_sink.py").exists()


def test_sinks_are_opened_by_name(tmp_path):
    settings = Settings(
        sinks=SinkSettings(
            kinds=("jsonlines",), dead_letters="none", jsonlines=JsonLinesSettings(str(tmp_path / "f.jsonl"))
        )
    )
    (sink,) = open_sinks(settings)
    assert isinstance(sink, JsonLines)
    sink.close()
    keeper = open_dead_letters(settings)
    keeper.write([fakes.reject(1)])
    keeper.flush()
    keeper.close()
    with pytest.raises(
        ConfigError, match=r"sinks\.kinds must be one of jsonlines, kafka, alertmanager, webhook, got 'x'"
    ):
        open_sinks(Settings(sinks=SinkSettings(kinds=("x",))))


def test_the_fake_of_dead_letters_keeps_them():
    broker = Broker({})
    keeper = ListRejects(broker)
    keeper.write([fakes.reject(3)])
    assert broker.rejects == []
    keeper.flush()
    assert [reject.offset for reject in broker.rejects] == [3]


def test_a_full_disk_is_a_dependency_that_is_away():
    sink = JsonLines("/dev/full")
    sink.write([finding(1)])
    with pytest.raises(DependencyError, match="cannot write /dev/full: No space left"):
        sink.flush()
    assert DependencyError.retriable
    with pytest.raises(DependencyError):
        sink.close()


def test_what_could_not_be_written_is_written_by_the_next_flush(tmp_path):
    sink = JsonLines("/dev/full")
    for number in range(3):
        sink.write([finding(number)])
    with pytest.raises(DependencyError):
        sink.flush()
    sink._lines._file.close()
    sink._lines._file = FileIO(tmp_path / "f.jsonl", "wb")  # the disk has room again
    sink.write([finding(3)])
    sink.flush()
    sink.close()
    assert [json.loads(line)["id"] for line in (tmp_path / "f.jsonl").read_text().splitlines()] == ["0", "1", "2", "3"]


def test_a_pipe_is_appended_to_as_it_is():
    reading_end, writing_end = os.pipe()
    sink = JsonLines(f"/dev/fd/{writing_end}", append=True)
    sink.write([finding(1)])
    sink.close()
    os.close(writing_end)
    with open(reading_end) as pipe:
        assert json.loads(pipe.read())["id"] == "1"


def test_a_line_that_a_crash_tore_is_cut_off_before_going_on(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text('{"id": "1"}\n{"id": "2", "syst')
    sink = JsonLines(str(path), append=True)
    sink.write([finding(2)])
    sink.flush()
    sink.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["1", "2"]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text('{"id": "1"}\n' + "x" * 200_000)
    JsonLines(str(path), append=True).close()
    assert path.read_text() == '{"id": "1"}\n'
    path.write_text("x" * 200_000)
    JsonLines(str(path), append=True).close()
    assert path.read_text() == ""


def test_rejects_keep_their_bytes_even_where_they_are_no_text(tmp_path):
    keeper = RejectLines(str(tmp_path / "r.jsonl"))
    keeper.write(
        [fakes.Reject("not_json", "d", "p", 1, b"k", b"\xff\x00"), fakes.Reject("late", "d", "p", 2, None, b"{}")]
    )
    keeper.close()
    first, second = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert first == {
        "reason": "not_json",
        "detail": "d",
        "partition": "p",
        "offset": 1,
        "key": "k",
        "value_base64": "/wA=",
    }
    assert second == {"reason": "late", "detail": "d", "partition": "p", "offset": 2, "value": "{}"}


def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path):
    with pytest.raises(ConfigError, match="cannot write"):
        JsonLines(str(tmp_path / "no" / "f.jsonl"))
    with pytest.raises(ConfigError, match="is not a folder that can be written to"):
        RejectLines(str(tmp_path / "no" / "r.jsonl"))
