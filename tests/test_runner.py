"""The loop keeps its promise wherever it dies: at least once to the sinks, exactly once to the models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
from fakes import (
    Broker,
    Crash,
    Crasher,
    CrashError,
    FakeClock,
    FakeMonitor,
    ListRejects,
    ListSink,
    ListSource,
    StopAfter,
    reject,
    row,
)

from stream.errors import DependencyError, FencedError, StateError
from stream.observer import Observer
from stream.patience import GaveUpError
from stream.pipeline import Pipeline
from stream.runner import Runner
from stream.settings import RunnerSettings, SnapshotSettings
from stream.snapshot import Snapshots
from stream.snapshot_store import Saved, Snapshot
from stream.sources.protocol import Batch


def course(partition: str, system: str) -> list[Any]:
    """26 rows with two anomalies, one of which triggers, and two bad records."""
    items: list[Any] = []
    for number in range(26):
        value = 150.0 if number == 5 else 20.0 if number in (6, 21, 22) else 1.0 + number % 3
        items.append(row(len(items), number, {"a": value, "b": 1.0}, system=system, partition=partition))
        if number in (3, 22):
            items.append(reject(len(items), partition=partition))
    return items


def input_of_two() -> Broker:
    return Broker({"p0": course("p0", "shop"), "p1": course("p1", "ship")})


def make(
    broker: Broker,
    folder: Path,
    *,
    crash: Callable[[str], None] = lambda point: None,
    every_s: float = 0.0,
    **options: Any,
) -> Runner:
    """A fresh process over what outlives processes: the broker and the folder."""
    source = options.pop("source", None) or ListSource(broker, at_once=4, crash=crash)
    snapshots = Snapshots(SnapshotSettings(directory=str(folder)), config_hash="c", between=crash)
    return Runner(
        source,
        Pipeline(FakeMonitor),
        options.pop("sinks", None) or [ListSink(broker, crash=crash)],
        ListRejects(broker, crash=crash),
        snapshots=snapshots,
        settings=RunnerSettings(),
        every_s=every_s,
        clock=options.pop("clock", None) or FakeClock(),
        **options,
    )


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here processes die and the machine does not: what is written is written."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Broker, dict[str, str], list[str]]:
    """What a run without a crash finds, its final state, and the points it passes."""
    broker, crasher = input_of_two(), Crasher()
    runner = make(broker, tmp_path_factory.mktemp("state"), crash=crasher)
    runner.run()
    return broker, fakes.state_of(runner.pipeline), crasher.points


def test_an_undisturbed_run_says_nothing_twice(undisturbed):
    broker, state, points = undisturbed
    assert fakes.repeats(broker.findings) == 0
    assert len(state) == 2
    assert broker.commits == {"p0": 28, "p1": 28}
    assert len(broker.rejects) == 4
    assert {"read", "write", "flush", "flushed", "written", "renamed", "commit"} <= set(points)


@pytest.mark.parametrize("every_s", [0.0, 3.0])
def test_whatever_step_it_dies_at_each_row_is_learned_once_and_no_finding_is_lost(tmp_path, undisturbed, every_s):
    whole, state, points = undisturbed
    for at in range(len(points)):
        broker, folder, crasher = input_of_two(), tmp_path / f"{at}", Crasher(at)
        with pytest.raises(CrashError):
            run_with_time(broker, folder, crasher, every_s)
        runner = run_with_time(broker, folder, lambda point: None, every_s)
        assert fakes.state_of(runner.pipeline) == state, points[at]
        assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings), points[at]
        assert {r.offset for r in broker.rejects} == {r.offset for r in whole.rejects}


def run_with_time(broker: Broker, folder: Path, crash: Callable[[str], None], every_s: float) -> Runner:
    """A second passes with each turn, so that snapshots come after every third."""
    clock = FakeClock()

    class Ticks(Observer):
        def on_turn(self, runner: Runner) -> None:
            clock.sleep(1.0)

    runner = make(broker, folder, crash=crash, every_s=every_s, clock=clock, observers=[Ticks()])
    runner.run()
    if isinstance(crash, Crasher):  # with fewer saves it passed fewer points: die at the end
        raise CrashError("after the end")
    return runner


def test_a_crash_marker_in_the_input_costs_nothing(tmp_path, undisturbed):
    whole, state, _ = undisturbed
    broker = Broker(
        {"p0": [*course("p0", "shop")[:14], Crash(), *course("p0", "shop")[14:]], "p1": course("p1", "ship")}
    )
    with pytest.raises(CrashError):
        make(broker, tmp_path).run()
    runner = make(broker, tmp_path)
    runner.run()
    assert fakes.state_of(runner.pipeline) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_the_snapshots_position_wins_over_the_sources_commit(tmp_path, undisturbed):
    _, state, _ = undisturbed
    broker = input_of_two()
    make(broker, tmp_path).run()
    broker.commits["p0"] = 0
    runner = make(broker, tmp_path)
    runner.run()
    assert fakes.state_of(runner.pipeline) == state


def test_while_a_sink_is_away_reading_pauses_and_the_pauses_grow(tmp_path):
    broker, clock = input_of_two(), FakeClock()
    sink, source = ListSink(broker), ListSource(broker)
    sink.failures = [DependencyError("away")] * 7
    make(broker, tmp_path, source=source, sinks=[sink], clock=clock).run()
    assert sum(clock.slept) == pytest.approx(1 + 2 + 4 + 8 + 16 + 30 + 30)
    assert source.reads_while_paused > 0
    assert not source.is_paused
    assert fakes.repeats(broker.findings) == 0


def test_a_source_that_is_away_is_asked_again(tmp_path, undisturbed):
    whole, _, _ = undisturbed
    broker, clock = input_of_two(), FakeClock()
    source = ListSource(broker)
    source.failures = [DependencyError("away")] * 3
    make(broker, tmp_path, source=source, clock=clock).run()
    assert sum(clock.slept) == pytest.approx(1 + 2 + 4)
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_a_fenced_process_stops_at_once_and_saves_nothing_more(tmp_path):
    broker = input_of_two()
    source = ListSource(broker)
    runner = make(broker, tmp_path, source=source, every_s=1e9)
    source.failures = [FencedError("another process has our place")]
    with pytest.raises(FencedError):
        runner.run()
    assert broker.commits == {}
    assert not list(tmp_path.rglob("MANIFEST.json"))


def test_stop_saves_and_commits_and_the_next_process_goes_on(tmp_path, undisturbed):
    whole, state, _ = undisturbed
    broker = input_of_two()
    make(broker, tmp_path, every_s=1e9, observers=[StopAfter(5)]).run()
    assert broker.commits == {"p0": 16, "p1": 16}
    runner = make(broker, tmp_path)
    runner.run()
    assert fakes.state_of(runner.pipeline) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_stopping_gives_up_on_what_stays_away_within_the_drain(tmp_path):
    broker, clock = input_of_two(), FakeClock()
    source = ListSource(broker)
    sink = ListSink(broker)

    class StopAtFailure(Observer):
        def on_failure(self, what: str, error: DependencyError) -> None:
            runner.stop()

    runner = make(broker, tmp_path, source=source, sinks=[sink], clock=clock, observers=[StopAtFailure()])
    sink.failures = [DependencyError("away")] * 1000
    began = clock.now
    with pytest.raises(GaveUpError, match="gave up to flush while stopping: away"):
        runner.run()
    assert clock.now - began <= RunnerSettings().drain + 1.5
    assert broker.commits == {} or max(broker.commits.values()) <= 12


def test_a_revoked_partition_is_forgotten_unsaved_and_comes_back_at_its_snapshot(tmp_path, undisturbed):
    whole, state, _ = undisturbed
    broker = input_of_two()
    source = MovingSource(broker, {4: Batch(revoked=("p1",)), 8: Batch(assigned=("p1",))})
    runner = make(broker, tmp_path, source=source, every_s=1e9)
    runner.run()
    assert source.seen == ["p1 went", "p1 came"]
    assert fakes.state_of(runner.pipeline) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_a_partition_that_goes_is_saved_first_so_that_its_next_owner_reads_on(tmp_path, undisturbed):
    _, state, _ = undisturbed
    broker = input_of_two()
    source = MovingSource(broker, {4: Batch(revoked=("p1",))}, tells=True)
    make(broker, tmp_path, source=source, every_s=1e9, observers=[StopAfter(4)]).run()
    found = Snapshots(SnapshotSettings(directory=str(tmp_path)), config_hash="c").load("p1")
    assert found is not None
    assert found.position == source.went_at["p1"] == 6
    runner = make(broker, tmp_path)
    runner.run()
    assert fakes.state_of(runner.pipeline) == state


def test_a_partition_that_goes_while_findings_wait_for_a_sink_is_not_saved(tmp_path, undisturbed):
    whole, state, _ = undisturbed
    broker, clock = input_of_two(), FakeClock()
    source = MovingSource(broker, {4: Batch(revoked=("p0", "p1"))}, tells=True)
    sink = ListSink(broker)
    sink.failures = [DependencyError("away")] * 2
    make(broker, tmp_path, source=source, sinks=[sink], clock=clock, every_s=1e9, observers=[StopAfter(3)]).run()
    assert source.seen == ["p0 went", "p1 went"]
    assert not list(tmp_path.rglob("MANIFEST.json"))
    runner = make(broker, tmp_path)
    runner.run()
    assert fakes.state_of(runner.pipeline) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_a_hand_over_that_fails_is_told_and_costs_nothing(tmp_path, undisturbed, caplog):
    _, state, _ = undisturbed
    broker = input_of_two()
    source = MovingSource(broker, {4: Batch(revoked=("p1",))}, tells=True)

    class DiskHasRoom(Observer):
        """The disk takes something again once the partition is gone."""

        def on_turn(self, runner: Runner) -> None:
            if "p1" not in runner.partitions:
                runner._snapshots.save = save

    def fails(*_: object) -> None:
        raise DependencyError("the disk is full")

    runner = make(broker, tmp_path, source=source, every_s=1e9, observers=[StopAfter(4), DiskHasRoom()])
    runner._snapshots.save, save = fails, runner._snapshots.save
    runner.run()
    assert "not handed over" in caplog.text
    again = make(broker, tmp_path)
    again.run()
    assert fakes.state_of(again.pipeline) == state


def test_a_partition_that_goes_and_comes_while_another_is_saved_is_left_as_it_was_restored(tmp_path, undisturbed):
    _, state, _ = undisturbed
    broker, clock = input_of_two(), FakeClock()
    moves: dict[int, Batch] = {}
    source = MovingSource(broker, moves)
    runner = make(broker, tmp_path, source=source, clock=clock, observers=[])
    saved, save = [], runner._snapshots.save

    def away_once(partition: str, *rest: Any) -> Any:
        saved.append(partition)
        if len(saved) == 3:
            moves[source._reads + 1] = Batch(revoked=("p1",))
            moves[source._reads + 2] = Batch(assigned=("p1",))
            raise DependencyError("away")
        return save(partition, *rest)

    runner._snapshots.save = away_once
    runner.run()
    assert source.seen == ["p1 went", "p1 came"]
    assert fakes.state_of(runner.pipeline) == state


def test_a_store_that_is_away_is_asked_again_and_what_went_meanwhile_is_let_go(tmp_path, undisturbed):
    _, state, _ = undisturbed
    broker, clock = input_of_two(), FakeClock()
    source = MovingSource(broker, {2: Batch(revoked=("p1",)), 5: Batch(assigned=("p1",))})
    runner = make(broker, tmp_path, source=source, clock=clock)
    asked, load = [], runner._snapshots.load

    def fails_twice(partition: str) -> Snapshot | None:
        asked.append(partition)
        if len(asked) <= 2:
            raise DependencyError("away")
        return load(partition)

    runner._snapshots.load = fails_twice
    runner.run()
    assert asked == ["p0", "p1", "p1", "p0"]  # p1 went and came while p0 was tried, and is not restored again
    assert source.seen == ["p1 went", "p1 came"]
    assert fakes.state_of(runner.pipeline) == state


def test_saving_takes_no_more_than_its_share_of_the_time(tmp_path):
    broker, clock = input_of_two(), FakeClock()
    saved: list[float] = []

    class Watch(Observer):
        def on_snapshot(self, partition: str, saved_: Saved, seconds: float) -> None:
            saved.append(clock.now)

        def on_turn(self, runner: Runner) -> None:
            clock.sleep(1.0)

    def slow(step: str) -> None:
        if step == "written":
            clock.sleep(0.5)

    make(broker, tmp_path, crash=slow, clock=clock, every_s=2.0, share=0.25, observers=[Watch()]).run()
    rounds = saved[::2]
    assert rounds[1] - rounds[0] >= 4.0  # both partitions took 1 s together


class MovingSource(ListSource):
    """Reports moves at the given reads. tells: asks first what is to be done with what goes."""

    def __init__(self, broker: Broker, moves: dict[int, Batch], *, tells: bool = False) -> None:
        super().__init__(broker)
        self._at = moves
        self._reads = 0
        self._tells = tells
        self.seen: list[str] = []
        self.went_at: dict[str, int] = {}

    def read(self, timeout_s: float) -> Batch:
        self._reads += 1
        batch = self._at.get(self._reads)
        if batch is None:
            return super().read(timeout_s)
        if self._tells:
            self.before_revoke(batch.revoked)
        self.went_at |= {partition: self._next.pop(partition) for partition in batch.revoked if partition in self._next}
        self.seen += [f"{p} went" for p in batch.revoked] + [f"{p} came" for p in batch.assigned]
        return batch


def test_a_partition_taken_away_while_a_sink_is_down_is_not_saved(tmp_path):
    broker, clock = input_of_two(), FakeClock()
    source = MovingSource(broker, {8: Batch(revoked=("p1",))})
    sink = ListSink(broker)
    sink.failures = [DependencyError("away")] * 2
    runner = make(broker, tmp_path, source=source, sinks=[sink], clock=clock, observers=[StopAfter(7)])
    runner.run()
    assert source.seen == ["p1 went"]
    assert set(runner.partitions) == {"p0"}


def test_damaged_state_is_not_quietly_replaced(tmp_path):
    broker = input_of_two()
    make(broker, tmp_path).run()
    for manifest in tmp_path.rglob("MANIFEST.json"):
        manifest.write_text("{")
    with pytest.raises(StateError, match="are damaged"):
        make(broker, tmp_path).run()


def test_it_is_ready_only_once_partitions_are_assigned_and_restored(tmp_path):
    broker, seen = input_of_two(), []

    class Looks(Observer):
        def on_read(self, batch: Batch) -> None:
            seen.append(runner.is_ready)

    runner = make(broker, tmp_path, observers=[Looks()])
    assert not runner.is_ready
    runner.run()
    assert seen and all(seen)
    assert not runner.is_ready


def test_live_verdicts_say_when_they_were_seen_and_replayed_ones_do_not(tmp_path):
    for is_live, expected in ((True, "2023-11-14T22:13:20Z"), (False, None)):
        broker = input_of_two()
        make(broker, tmp_path / str(is_live), is_live=is_live).run()
        seen = {f.observed_at for f in broker.findings if hasattr(f, "observed_at")}
        assert seen == {expected}


def test_what_is_rejected_after_it_was_understood_is_kept_as_it_came():
    late = row(1, 0.0, {"a": 1.0})
    batch = Batch([late], originals={("p", 1): (b"its key", b"its bytes")})
    rejected = Pipeline(FakeMonitor).process([row(0, 5.0, {"a": 1.0}), late]).rejects
    assert [(r.reason, r.key, r.value) for r in map(batch.as_it_came, rejected)] == [("late", b"its key", b"its bytes")]
    assert [r.key for r in map(Batch([late]).as_it_came, rejected)] == [b"shop"]
