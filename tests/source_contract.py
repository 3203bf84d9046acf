"""What every source keeps, to be run over each. A subclass says how to open one that holds COUNT rows of values 0, 1, 2
of the variable `a`, and names the source it stands for in `registered`."""

from abc import ABC, abstractmethod
from typing import ClassVar

from stream.sources.protocol import Batch, Source

COUNT = 50


class SourceContract(ABC):
    registered: ClassVar[str]
    ends: ClassVar[bool] = True

    @abstractmethod
    def open(self) -> Source: ...

    def test_it_is_a_source(self):
        assert isinstance(self.open(), Source)

    def test_nothing_comes_before_a_partition_is_started(self):
        source = self.open()
        assigned = [p for _ in range(3) for batch in [source.read(0.01)] for p in self.empty(batch).assigned]
        assert len(assigned) == 1
        source.close()

    def test_all_rows_come_in_order_with_the_position_after_them(self):
        source = self.open()
        seen = self.read_all(source, None)
        assert [value for _, value in seen] == list(range(COUNT))
        source.close()

    def test_a_start_in_the_middle_gives_exactly_what_follows(self):
        source = self.open()
        seen = self.read_all(source, None)
        source.close()
        for offset, value in seen[::7]:
            again = self.open()
            assert self.read_all(again, offset) == [pair for pair in seen if pair[1] >= value]
            again.close()

    def test_a_pause_delivers_nothing_and_loses_nothing(self):
        source = self.open()
        partition = self.assigned(source)
        source.start(partition, None)
        source.pause()
        for _ in range(3):
            assert not self.empty(source.read(0.01)).end
        source.resume()
        assert len(self.collect(source)) == COUNT
        source.close()

    def test_commit_may_be_repeated_and_lag_is_never_negative(self):
        source = self.open()
        partition = self.assigned(source)
        source.start(partition, None)
        self.collect(source)
        for _ in range(2):
            source.commit({partition: COUNT})
        assert all(lag >= 0 for lag in source.lag().values())
        source.close()

    def empty(self, batch: Batch) -> Batch:
        assert not batch.readings
        assert not batch.positions
        return batch

    def assigned(self, source: Source) -> str:
        for _ in range(1000):
            for partition in source.read(0.01).assigned:
                return partition
        raise AssertionError("no partition was assigned")

    def read_all(self, source: Source, offset: int | None) -> list[tuple[int, float]]:
        source.start(self.assigned(source), offset)
        return self.collect(source)

    def collect(self, source: Source) -> list[tuple[int, float]]:
        """(offset, value) of all rows; a batch's position lies behind all of its rows."""
        seen: list[tuple[int, float]] = []
        for _ in range(1000):
            batch = source.read(0.01)
            for readings in batch.readings:
                seen += zip(readings.offsets.tolist(), readings.values[:, 0].tolist(), strict=True)
                assert batch.positions[readings.partition] > readings.offsets.max()
            if batch.end or (not self.ends and len(seen) == COUNT):
                return seen
        raise AssertionError("the source never came to its end")
