"""Systems that leave memory for the snapshot store come back as if they had never left, whatever dies in between."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from fakes import (
    SECOND,
    Broker,
    Crasher,
    CrashError,
    FakeClock,
    FakeMonitor,
    ListRejects,
    ListSink,
    ListSource,
    StopAfter,
    row,
)

from stream.errors import DependencyError, StateError
from stream.eviction import Evicted, Recency
from stream.observer import Observer
from stream.pipeline import Pipeline, SystemState
from stream.runner import Runner
from stream.settings import RunnerSettings, SnapshotSettings
from stream.snapshot import Snapshots
from stream.sources.protocol import Batch, Readings

AFTER_S = 10.0


def part(offset: int, time_s: float, name: str, value: float, *, system: str, partition: str) -> Readings:
    """A long message."""
    times, values = np.array([int(time_s * SECOND)]), np.array([[value]])
    return Readings(system, partition, (name,), times, values, np.array([offset]), complete=False)


def course(partition: str) -> list[Any]:
    """Three systems that take turns of six rows, three times, and once of eleven; a fourth one that is always there.

    One stops in the middle of an incident, and one with a row half gathered, but for the last time.
    """
    items: list[Any] = []
    for turn in range(12):
        name, is_last = f"{partition}{turn % 3}", turn > 8
        for number in range(11 if is_last else 6):
            at = 12 * turn + number
            items.append(row(len(items), at, {"a": 1.0, "b": number}, system=f"{partition}x", partition=partition))
            value = 150.0 if name.endswith("1") and number == 4 and not is_last else 1.0 + number % 3
            if name.endswith("2"):
                for cell in ("a", "b") if number < 5 or is_last else ("a",):
                    items.append(part(len(items), at, cell, value, system=name, partition=partition))
            else:
                items.append(row(len(items), at, {"a": value, "b": 1.0}, system=name, partition=partition))
    return items


def fleet() -> Broker:
    return Broker({partition: course(partition) for partition in ("p", "q")})


def snapshots(folder: Path, between: Callable[[str], None] = lambda step: None) -> Snapshots:
    return Snapshots(SnapshotSettings(directory=str(folder)), config_hash="c", between=between)


def make(
    broker: Broker,
    folder: Path,
    recency: Recency | None,
    *,
    crash: Callable[[str], None] = lambda point: None,
    every_s: float = 0.0,
    **options: Any,
) -> Runner:
    """A fresh process over what outlives processes."""
    return Runner(
        options.pop("source", None) or ListSource(broker, at_once=4, crash=crash),
        Pipeline(FakeMonitor, recency=recency),
        [ListSink(broker, crash=crash)],
        ListRejects(broker, crash=crash),
        snapshots=options.pop("snapshots", None) or snapshots(folder, crash),
        settings=RunnerSettings(),
        every_s=every_s,
        clock=options.pop("clock", None) or FakeClock(),
        **options,
    )


def final(folder: Path) -> dict[str, str]:
    """A hash of each system's state in the newest snapshots, in memory or not."""
    store, found = snapshots(folder), {}
    for partition in ("p", "q"):
        snapshot = store.load(partition)
        assert snapshot is not None
        states = {**snapshot.systems, **store.fetch(partition, tuple(snapshot.evicted))}
        assert states.keys() == snapshot.systems.keys() | snapshot.evicted.keys()
        found |= {f"{partition}/{name}": digest(state) for name, state in states.items()}
    return found


def digest(state: SystemState) -> str:
    arrays = [(name, array.dtype.str, array.tobytes()) for name, array in sorted(state.arrays.items())]
    return hashlib.sha256(repr((state.plain, arrays)).encode()).hexdigest()


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here processes die and the machine does not."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Broker, dict[str, str]]:
    """What a run finds and learns that evicts nobody."""
    broker, folder = fleet(), tmp_path_factory.mktemp("state")
    make(broker, folder, None).run()
    return broker, final(folder)


WAYS = {"idle": lambda: Recency(AFTER_S), "too many": lambda: Recency(0.0, 3), "both": lambda: Recency(AFTER_S, 1)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_findings_and_state_are_those_of_a_run_that_evicts_nobody(tmp_path, undisturbed, way, every_s):
    whole, state = undisturbed
    broker = fleet()
    runner = make(broker, tmp_path, WAYS[way](), every_s=every_s)
    runner.run()
    assert final(tmp_path) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)
    assert len(runner.pipeline) == 8
    if every_s == 0:
        assert runner.pipeline.in_memory < 8
        assert runner.pipeline.evictions > runner.pipeline.restores > 4


@pytest.mark.parametrize("is_last", ["p1", "p2"])
def test_the_end_of_the_input_finds_the_unfinished_though_they_are_not_in_memory(tmp_path, is_last):
    """An open incident, and a row that is half gathered."""
    items = [item for item in course("p")[:82] if item.system in ("px", is_last)]
    found = []
    for number, recency in enumerate((None, Recency(1.0))):
        broker = Broker({"p": [*items, *(row(len(items) + i, 100 + i, {"a": 1.0}, system="px") for i in range(8))]})
        runner = make(broker, tmp_path / f"{number}", recency)
        runner.run()
        found.append((fakes.last_of_each(broker.findings), fakes.state_of(runner.pipeline)[f"p/{is_last}"]))
    assert runner.pipeline.restores >= 1
    assert found[0] == found[1]


def test_whatever_step_it_dies_at_each_row_is_learned_once_and_no_finding_is_lost(tmp_path, undisturbed):
    whole, state = undisturbed
    crasher = Crasher()
    make(fleet(), tmp_path / "points", Recency(AFTER_S), crash=crasher).run()
    for at in range(0, len(crasher.points), 11):
        broker, folder = fleet(), tmp_path / f"{at}"
        with pytest.raises(CrashError):
            make(broker, folder, Recency(AFTER_S), crash=Crasher(at)).run()
        make(broker, folder, Recency(AFTER_S)).run()
        assert final(folder) == state, crasher.points[at]
        assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings), crasher.points[at]


def test_the_next_process_takes_over_who_is_not_in_memory_without_loading_them(tmp_path, undisturbed):
    whole, state = undisturbed
    broker = fleet()
    first = make(broker, tmp_path, Recency(AFTER_S), observers=[StopAfter(12)])
    first.run()
    known, here, open_ones = len(first.pipeline), first.pipeline.in_memory, first.pipeline.open_incidents
    assert here < known
    second = make(broker, tmp_path, Recency(AFTER_S), observers=[StopAfter(1)])
    second.run()
    assert (len(second.pipeline), second.pipeline.in_memory) == (known, here)
    assert second.pipeline.restores == 0
    assert second.pipeline.open_incidents == open_ones
    make(broker, tmp_path, None).run()  # and one that evicts nobody brings them back when their rows come
    assert final(tmp_path) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_an_open_incident_stands_though_its_system_is_not_in_memory(tmp_path):
    items = [row(0, 0, {"a": 1.0}), row(1, 1, {"a": 150.0}), row(2, 60, {"a": 1.0}, system="other")]
    broker = Broker({"p": items})
    runner = make(broker, tmp_path, Recency(AFTER_S), source=ListSource(broker, ends=False), observers=[StopAfter(3)])
    runner.run()
    pipeline = runner.pipeline
    assert (len(pipeline), pipeline.in_memory) == (2, 1)
    assert (pipeline.open_incidents, pipeline.paging_incidents) == (1, 1)
    (standing,) = pipeline.standing()
    told = [record for record in broker.findings if record.id == standing.id]
    assert (standing.opened_at, standing.score) == (told[-1].opened_at, told[-1].score)
    pipeline.drop("p")
    assert (len(pipeline), pipeline.standing()) == (0, [])


def away_at_first(store: Snapshots, times: int) -> list[DependencyError]:
    """Let it not be there when it is first asked for systems; gives the failures that are still to come."""
    fetch, failures = store.fetch, [DependencyError("away")] * times

    def sometimes(partition: str, names: Any) -> Any:
        if failures:
            raise failures.pop()
        return fetch(partition, names)

    store.fetch = sometimes
    return failures


def test_while_the_store_is_away_the_batch_waits_for_its_systems(tmp_path, undisturbed):
    whole, state = undisturbed
    broker, clock, store = fleet(), FakeClock(), snapshots(tmp_path)
    runner = make(broker, tmp_path, Recency(AFTER_S), snapshots=store, clock=clock)
    failures = away_at_first(store, 3)
    runner.run()
    assert not failures and sum(clock.slept) == pytest.approx(1 + 2 + 4)
    assert final(tmp_path) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


class Moving(ListSource):
    """While it is paused, a partition goes at the first read, and comes back at the second."""

    def __init__(self, broker: Broker, partition: str) -> None:
        super().__init__(broker, at_once=4)
        self._left = [Batch(revoked=(partition,)), Batch(assigned=(partition,))]

    def read(self, timeout_s: float) -> Batch:
        if self.is_paused and self._left:
            batch = self._left.pop(0)
            for partition in batch.revoked:
                self._next.pop(partition, None)
            return batch
        return super().read(timeout_s)


@pytest.mark.parametrize("partition", ["p", "q"])
def test_a_partition_that_goes_and_comes_while_the_store_is_away_is_read_again_once(tmp_path, undisturbed, partition):
    whole, state = undisturbed
    broker, store = fleet(), snapshots(tmp_path)
    source = Moving(broker, partition)
    runner = make(broker, tmp_path, Recency(AFTER_S), snapshots=store, source=source)
    failures = away_at_first(store, 3)
    runner.run()
    assert not failures and not source._left
    assert final(tmp_path) == state
    assert fakes.last_of_each(broker.findings) == fakes.last_of_each(whole.findings)


def test_a_damaged_state_of_a_system_that_left_is_told_and_counted(tmp_path):
    broker = fleet()
    make(broker, tmp_path, Recency(AFTER_S), observers=[StopAfter(12)]).run()
    for path in tmp_path.glob("*/evicted/*"):
        path.write_bytes(bytes(path.stat().st_size))
    runner = make(broker, tmp_path, Recency(AFTER_S))
    with pytest.raises(StateError, match="the checksum differs"):
        runner.run()
    assert runner._snapshots.passed_over["damaged"] == 1


def test_one_whose_evicted_system_is_gone_is_passed_over(tmp_path):
    store = snapshots(tmp_path)
    state = SystemState({"a": 1}, {"x": np.arange(3.0)})
    store.save("p", 1, {"shop": state, "ship": state})
    store.save("p", 2, {"shop": state, "ship": state}, leaving={"ship": Evicted(5)})
    assert snapshots(tmp_path).load("p").evicted == {"ship": Evicted(5)}
    for path in tmp_path.glob("*/evicted/*"):
        path.unlink()
    found = snapshots(tmp_path).load("p")
    assert found is not None and found.position == 1


def test_files_of_systems_that_are_back_for_good_are_deleted(tmp_path):
    store = snapshots(tmp_path)
    states = {name: SystemState({"name": name}, {"x": np.arange(3.0)}) for name in ("shop", "ship")}
    store.save("p", 1, states, leaving={"ship": Evicted(5)})
    for position in (2, 3):
        store.save("p", position, {"shop": states["shop"]})
        assert store.fetch("p", ["ship"])["ship"].plain == {"name": "ship"}
    for position in (4, 5, 6):
        store.save("p", position, states)
    assert not list(tmp_path.glob("*/evicted/*"))
    assert snapshots(tmp_path).load("p").systems.keys() == {"shop", "ship"}


def test_a_save_that_fails_leaves_everybody_in_memory(tmp_path):
    broker, store = fleet(), snapshots(tmp_path)
    runner = make(broker, tmp_path, Recency(AFTER_S), snapshots=store, observers=[StopAfter(12)])
    save, failed = store.save, []

    def once(partition: str, position: int, systems: Any, changed: Any, leaving: Any) -> Any:
        if leaving and not failed:
            failed.append((runner.pipeline.in_memory, len(runner.pipeline)))
            raise DependencyError("the disk is full")
        return save(partition, position, systems, changed, leaving)

    store.save = once
    runner.run()
    assert failed[0][0] == failed[0][1]
    assert runner.pipeline.evictions > 0


def test_who_is_idle_is_judged_by_the_newest_row_of_the_partition():
    recency = Recency(10.0)
    for key, time_s in ((("p", "a"), 0), (("p", "b"), 10), (("q", "c"), 100)):
        recency.saw(key, time_s * SECOND)
    assert recency.leaving() == {}
    recency.saw(("p", "b"), 10 * SECOND + 1)
    assert recency.leaving() == {"p": ["a"]}
    recency.saw(("p", "a"), 20 * SECOND)
    assert recency.leaving() == {}


def test_one_whose_clock_is_behind_is_not_idle_while_its_rows_come():
    recency = Recency(10.0)
    for second in range(100):
        recency.saw(("p", "right"), second * SECOND)
        recency.saw(("p", "behind"), (second - 3600) * SECOND)
    assert recency.leaving() == {}
    recency.saw(("p", "right"), 110 * SECOND)
    assert recency.leaving() == {"p": ["behind"]}


def test_what_comes_from_a_snapshot_is_as_idle_as_its_newest_row_says():
    recency = Recency(10.0)
    for name, time_s in (("b", 100), ("a", 0)):
        recency.loaded(("p", name), time_s * SECOND)
    assert recency.leaving() == {"p": ["a"]}
    recency.forget(("p", "a"))
    recency.forget(("p", "b"))
    recency.drop("p")
    recency.saw(("p", "a"), 0)
    assert recency.leaving() == {}


def test_of_too_many_the_least_recently_used_leave():
    recency = Recency(0.0, 2)
    for name in "abcda":
        recency.saw(("p", name), 0)
    assert recency.leaving() == {"p": ["b", "c"]}
    recency.forget(("p", "b"))
    assert recency.leaving() == {"p": ["c"]}


def test_it_is_crowded_from_a_quarter_more_on():
    recency = Recency(0.0, 4)
    for count in range(1, 7):
        recency.saw(("p", str(count)), 0)
        assert recency.is_crowded == (count > 5)
    assert not Recency().is_crowded


def test_without_limits_nobody_leaves():
    recency = Recency()
    for number in range(100):
        recency.saw(("p", str(number)), number * 3600 * SECOND)
    assert recency.leaving() == {}


def test_too_many_systems_do_not_wait_for_the_next_snapshot(tmp_path):
    broker = Broker({"p": [row(i, i, {"a": 1.0}, system=f"s{i}") for i in range(40)]})
    most: list[int] = []

    class Watch(Observer):
        def on_turn(self, runner: Runner) -> None:
            most.append(runner.pipeline.in_memory)

    make(broker, tmp_path, Recency(0.0, 8), every_s=1e9, observers=[Watch()]).run()
    assert max(most) <= 10 + 1
    assert most[-1] <= 10
