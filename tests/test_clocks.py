"""Clocks that are wrong: a producer's, which must not move its system's time, and our own, which must move nothing."""

import logging
from typing import Any

import fakes
import numpy as np
import pytest
from fakes import SECOND, Broker, FakeClock, FakeMonitor, ListRejects, ListSink, ListSource, row
from prometheus_client import CollectorRegistry

from stream.align import Aligner
from stream.metrics import Metrics
from stream.observer import Observer
from stream.pipeline import Outcome, Pipeline
from stream.producer_clocks import MOST, ClockChange, ProducerClocks
from stream.runner import Runner
from stream.settings import AlignSettings
from stream.sources.protocol import Readings

HOUR = 3600
START = 1_700_000_000  # where a FakeClock begins


def part(offset: int, time_s: float, name: str, value: float, arrived_s: float | None = None) -> Readings:
    arrived = None if arrived_s is None else np.array([int(arrived_s * SECOND)])
    times, offsets = np.array([int(time_s * SECOND)]), np.array([offset])
    return Readings("shop", "p", (name,), times, np.array([[value]]), offsets, False, arrived)


def course(wrong_by: int, *, rows: int = 60, wrong: range = range(20, 40), stamped: bool = False) -> list[Readings]:
    """Two producers, a and b, a reading a second each; b's clock is off for a while."""
    found = []
    for second in range(rows):
        at = START + second
        off = wrong_by if second in wrong else 0
        found.append(part(len(found), at, "a.x", float(second % 3), at if stamped else None))
        found.append(part(len(found), at + off, "b.x", 1.0, at if stamped else None))
    return found


class Ticks(Observer):
    """A turn of the loop takes a second. jumps: turn -> by how much our wall clock is set."""

    def __init__(self, clock: "SettableClock", jumps: dict[int, float] | None = None) -> None:
        self._clock, self._jumps, self._turns = clock, jumps or {}, 0

    def on_turn(self, runner: Any) -> None:
        self._turns += 1
        self._clock.sleep(1.0)
        self._clock.set_by += self._jumps.get(self._turns, 0.0)


class SettableClock(FakeClock):
    set_by = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.set_by * SECOND)


def live(items: list[Readings], *, jumps: dict[int, float] | None = None, **options: Any) -> tuple[Broker, Runner]:
    """A live run in which readings are read as they arrive, two a second."""
    broker, clock = Broker({"p": items}), options.pop("clock", None) or SettableClock()
    runner = Runner(
        ListSource(broker, at_once=2),
        Pipeline(FakeMonitor, align=AlignSettings(discovery_ticks=1)),
        [ListSink(broker)],
        ListRejects(broker),
        observers=[Ticks(clock, jumps), *options.pop("observers", [])],
        clock=clock,
        is_live=True,
    )
    runner.run()
    return broker, runner


def reasons(broker: Broker) -> dict[str, int]:
    found = [reject.reason for reject in broker.rejects]
    return {reason: found.count(reason) for reason in dict.fromkeys(found)}


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize(("wrong_by", "reason", "direction"), [(HOUR, "future", "ahead"), (-HOUR, "past", "behind")])
def test_one_producer_an_hour_off_costs_the_others_nothing(caplog, wrong_by, reason, direction, stamped):
    caplog.set_level(logging.INFO)
    seen: list[int] = []

    class Watch(Observer):
        def on_step(self, outcome: Outcome, seconds: float) -> None:
            seen.extend(time for step in outcome.steps for time in step.rows.times.tolist())

    broker, runner = live(course(wrong_by, stamped=stamped), observers=[Watch()])
    assert reasons(broker) == {reason: 20}
    assert [time // SECOND - START for time in seen] == list(range(60))
    told = [record for record in caplog.records if "producer's clock" in record.message]
    assert [(r.levelname, r.what, r.clock) for r in told] == [
        ("WARNING", "shop/b", direction),
        ("INFO", "shop/b", "right"),
    ]
    assert abs(int(told[0].off_s) - wrong_by) <= 2
    assert runner.pipeline.wrong_clocks == {}


@pytest.mark.parametrize("by", [HOUR, -HOUR])
@pytest.mark.parametrize("stamped", [True, False])
def test_our_own_clock_set_by_an_hour_changes_nothing_and_is_told(caplog, by, stamped):
    usual, first = live(course(0, stamped=stamped))
    broker, second = live(course(0, stamped=stamped), jumps={10: by, 40: -by})
    assert broker.rejects == usual.rejects == []
    strip = [(record.id, record.ts) for record in broker.findings if hasattr(record, "ts")]
    assert strip == [(record.id, record.ts) for record in usual.findings if hasattr(record, "ts")]
    assert fakes.state_of(second.pipeline) == fakes.state_of(first.pipeline)
    told = [record.by_s for record in caplog.records if "the wall clock jumped" in record.message]
    assert told == [by, -by]


def test_a_whole_system_that_is_behind_is_judged_nevertheless_and_told_apart_from_our_lag():
    """Its rows are an hour old when they arrive; those of another one are only read an hour late."""
    pipeline = Pipeline(FakeMonitor)
    changes = []
    for second in range(5):
        for name, at in (("behind", START - HOUR), ("lagging", START)):
            reading = row(second, at + second, {"a": 1.0}, system=name)
            arrived = Readings(**{**_fields(reading), "arrived": np.array([(START + second) * SECOND])})
            outcome = pipeline.process([arrived], now=(START + HOUR) * SECOND)
            assert (outcome.rows, outcome.rejects) == (1, [])
            changes += outcome.clocks
    assert changes == [ClockChange("behind", "", "behind", -float(HOUR))]
    assert pipeline.wrong_clocks == {"behind": 1}
    pipeline.drop("p")
    assert pipeline.wrong_clocks == {}


def _fields(reading: Readings) -> dict[str, Any]:
    return {name: getattr(reading, name) for name in Readings.__slots__}


def test_the_future_is_judged_by_the_arrival_whenever_it_is_read():
    for now in (0, START * SECOND, (START + 100 * HOUR) * SECOND):
        aligner = Aligner(AlignSettings(discovery_ticks=1))
        good = aligner.add(part(0, START, "a", 1.0, START), now=now)
        bad = aligner.add(part(1, START + HOUR, "a", 1.0, START), now=now)
        assert (good.rejects, [reject.reason for reject in bad.rejects]) == ([], ["future"])
        assert "3600 s ahead of its arrival" in bad.rejects[0].detail
        assert aligner.newest == START * SECOND


def test_past_is_what_no_slow_producer_explains():
    aligner = Aligner(AlignSettings(max_behind=60.0))
    aligner.add(row(0, 1000, {"a": 1.0}))
    found = [aligner.add(row(1, at, {"a": 1.0})).rejects[0].reason for at in (1000, 999, 940, 939, 0)]
    assert found == ["duplicate", "late", "late", "past", "past"]


def test_a_producer_that_is_wrong_is_told_once_however_many_readings_it_sends():
    clocks, told = ProducerClocks(60.0), []
    for second in range(100):
        reading = part(second, START + second - HOUR, "a.x", 1.0, START + second)
        told.append(clocks.judge(reading, [], newest=0, now=None))
    assert [change is not None for change in told] == [True] + [False] * 99


def test_made_up_names_do_not_fill_the_memory():
    clocks = ProducerClocks(60.0)
    for number in range(MOST + 10):
        clocks.judge(part(0, START - HOUR, f"e{number}.x", 1.0, START), [], newest=0, now=None)
    assert clocks.wrong == {"behind": MOST}


def test_wrong_clocks_are_counted():
    registry = CollectorRegistry()
    clock = SettableClock()
    metrics = Metrics(registry, version="0", config_hash="c", clock=clock)
    live(course(HOUR, wrong=range(20, 60)), observers=[metrics], clock=clock, jumps={10: -HOUR})
    assert registry.get_sample_value("tocsin_producers_wrong_clock", {"direction": "ahead"}) == 1
    assert registry.get_sample_value("tocsin_producers_wrong_clock", {"direction": "behind"}) == 0
    assert registry.get_sample_value("tocsin_rejects_total", {"reason": "future"}) == 40
    assert registry.get_sample_value("tocsin_clock_jumps_total") == 1
