"""Every source keeps the contract; the file is read in all its shapes."""

import gzip
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from fakes import Broker, ListSource, row
from source_contract import COUNT, SourceContract

from stream.errors import ConfigError, InputError
from stream.settings import FileSettings, Settings, SourceSettings
from stream.sources.file import FileSource
from stream.sources.protocol import Batch, Readings
from stream.sources.registry import SOURCES, open_source


class TestCsvFile(SourceContract):
    registered = "file"

    @pytest.fixture(autouse=True)
    def written(self, tmp_path):
        self.path = tmp_path / "shop.csv"
        self.path.write_text("time,a\n" + "".join(f"{i},{i}\n" for i in range(COUNT)))

    def open(self):
        return FileSource(FileSettings(path=str(self.path)))


class TestGzippedJsonLines(SourceContract):
    registered = "file"

    @pytest.fixture(autouse=True)
    def written(self, tmp_path):
        self.path = tmp_path / "shop.jsonl.gz"
        text = "".join(f'{{"ts": {i}, "values": {{"a": {i}}}}}\n' for i in range(COUNT))
        self.path.write_bytes(gzip.compress(text.encode()))

    def open(self):
        return FileSource(FileSettings(path=str(self.path)))


class TestList(SourceContract):
    """The fake that other tests trust."""

    registered = "fake"

    def open(self):
        return ListSource(Broker({"p": [row(i, i, {"a": i}) for i in range(COUNT)]}))


def test_every_registered_source_runs_the_contract_or_has_tests_of_its_own():
    texts = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for name in SOURCES:
        assert f'registered = "{name}"' in texts or (Path(__file__).parent / f"test_{name}_source.py").exists()


def test_an_unknown_source_is_told_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"source.kind must be one of file, kafka, got 'fiel'"):
        open_source(Settings(source=SourceSettings(kind="fiel")))


def read(path: Path | str, **options: object) -> tuple[list[Readings], list, FileSource]:
    """All that a file gives."""
    source = FileSource(FileSettings(path=str(path), **options))
    readings, rejects = [], []
    batch = Batch()
    while not batch.end:
        batch = source.read(0.1)
        for partition in batch.assigned:
            source.start(partition, None)
        readings += batch.readings
        rejects += batch.rejects
    source.close()
    return readings, rejects, source


def table(readings: list[Readings]) -> np.ndarray:
    return np.concatenate([r.values for r in readings])


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_plain_and_gzip_give_the_same_whatever_they_are_called(tmp_path):
    text = "time,a,b\n" + "".join(f"{i},{i / 3!r},\n" for i in range(3000))
    plain, _, _ = read(write(tmp_path / "x.csv", text))
    packed, _, _ = read(
        write(tmp_path / "x.data", gzip.compress(text[:5000].encode()) + gzip.compress(text[5000:].encode()))
    )
    np.testing.assert_array_equal(table(plain), table(packed))
    assert table(plain)[:, 0].tolist() == [i / 3 for i in range(3000)]


def test_any_cut_of_the_bytes_gives_the_same_lines(tmp_path, monkeypatch):
    path = write(tmp_path / "x.csv", "time,a\r\n" + "".join(f"{i},{i}\r\n" for i in range(100)) + "100,100")
    whole, _, _ = read(path)
    for size in (1, 2, 7, 64):
        monkeypatch.setattr("stream.sources.lines.READ_BYTES", size)
        cut, rejects, _ = read(path)
        assert not rejects
        np.testing.assert_array_equal(table(cut), table(whole))
        assert np.concatenate([r.offsets for r in cut]).tolist() == list(range(101))


def test_the_fast_and_the_slow_way_agree(tmp_path):
    cells = ["1.5", "", "-2e3", "nan", " 7 ", "NA"]
    rows = [[cells[(i + j) % 4] for j in range(4)] for i in range(40)]
    fast, _, _ = read(
        write(tmp_path / "f.csv", "time,a,b,c,d\n" + "".join(f"{i},{','.join(r)}\n" for i, r in enumerate(rows)))
    )
    quoted = "".join(f'{i},"{r[0]}",{",".join(r[1:])}\n' for i, r in enumerate(rows))
    slow, rejects, _ = read(write(tmp_path / "s.csv", "time,a,b,c,d\n" + quoted))
    assert not rejects
    np.testing.assert_array_equal(table(fast), table(slow))


def test_what_stands_for_missing_is_missing(tmp_path):
    path = write(tmp_path / "x.csv", "time,a\n1,\n2,NaN\n3,null\n4,N/A\n5, \n6,None\n")
    readings, rejects, _ = read(path)
    assert not rejects
    assert np.isnan(table(readings)).all()


def test_times_are_given_back_exactly_as_they_stood(tmp_path):
    path = write(tmp_path / "x.csv", "time,a\n1.50,1\n2.0,1\n3e0,1\n")
    source = FileSource(FileSettings(path=str(path)))
    source.start(*source.read(0.0).assigned, None)
    source.read(0.1)
    assert [source.text_of(ns) for ns in (1_500_000_000, 2_000_000_000, 3_000_000_000)] == ["1.50", "2.0", "3e0"]
    assert source.text_of(4_000_000_000) == "4"  # of a batch long gone: in the file's style
    source.close()


def test_a_byte_order_mark_and_empty_lines_are_nothing(tmp_path):
    readings, rejects, _ = read(write(tmp_path / "x.csv", "\ufefftime,a\n\n1,1\n\n2,2\n\n"))
    assert not rejects
    assert np.concatenate([r.offsets for r in readings]).tolist() == [1, 3]


def test_the_system_is_named_after_the_file_or_as_told(tmp_path):
    path = write(tmp_path / "shop.2021.csv", "time,a\n1,1\n")
    assert read(path)[0][0].system == "shop"
    assert read(path, system="mine")[0][0].system == "mine"


def test_json_lines_with_numeric_and_text_times(tmp_path):
    path = write(tmp_path / "x.jsonl", '{"ts": "2021-10-28T00:00:00Z", "name": "a", "value": 1}\n')
    (reading,), _, source = read(path)
    assert (reading.system, reading.complete) == ("x", False)
    assert source.format_time(int(reading.times[0])) == "2021-10-28T00:00:00Z"
    path = write(tmp_path / "y.jsonl", '{"ts": 12, "name": "a", "value": 1}\n')
    (reading,), _, source = read(path, time_unit="s")
    assert source.format_time(int(reading.times[0])) == 12


def test_standard_input_flows_as_it_comes(monkeypatch):
    reading_end, writing_end = os.pipe()
    with open(reading_end) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        source = FileSource(FileSettings())
        source.start(*source.read(0.0).assigned, None)
        assert source.read(0.0) == Batch()
        os.write(writing_end, b"time,a\n1,5\n2,")
        assert table(source.read(1.0).readings).tolist() == [[5.0]]
        assert source.read(0.0) == Batch()
        os.write(writing_end, b"6\n")
        assert table(source.read(1.0).readings).tolist() == [[6.0]]
        os.close(writing_end)
        assert source.read(1.0).end
        source.close()


def test_a_file_is_read_in_bounded_pieces(tmp_path):
    path = write(
        tmp_path / "x.csv.gz", gzip.compress(b"time,a\n" + b"1," + b"0" * 3_000_000 + b"\n" + b"2,2\n" * 500_000)
    )
    source = FileSource(FileSettings(path=str(path)))
    source.start(*source.read(0.0).assigned, None)
    most = 0
    while not (batch := source.read(0.1)).end:
        most = max(most, sum(len(r.times) for r in batch.readings))
    assert 0 < most < 200_000
    source.close()


@pytest.mark.parametrize("name", ["nothing.csv", "."])
def test_a_file_that_cannot_be_read_is_told(tmp_path, name):
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / name)


def test_closing_standard_input_leaves_it_open(monkeypatch):
    reading_end, writing_end = os.pipe()
    os.close(writing_end)
    with open(reading_end) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        FileSource(FileSettings()).close()
        assert stdin.read() == ""


def test_a_stream_without_a_file_behind_it_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("time,a\n"))
    with pytest.raises(InputError, match=re.escape("cannot read -")):
        FileSource(FileSettings())
