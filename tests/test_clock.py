"""A wall clock that is set wrong: ours, or a producer's. Nothing is lost, it is told, and it passes."""

import logging

import fakes
import pytest
from alert_servers import Receiver
from fakes import SECOND, Broker, FakeClock, FakeMonitor, ListRejects, ListSink, ListSource, row

from stream.clock import LatestClock
from stream.event_time import from_text
from stream.observer import Observer
from stream.pipeline import Pipeline
from stream.records import IncidentRecord
from stream.runner import Runner
from stream.settings import AlertmanagerSettings
from stream.sinks.alertmanager import Alertmanager

BEGIN = FakeClock().now
HOUR = 3600.0


class SetClock(FakeClock):
    """Its wall clock can be set, by seconds from what is right."""

    wrong_by = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.wrong_by * SECOND)


class Jumps(Observer):
    """Sets the clock before some turns; a second passes with each. seen: what the runner said of it."""

    def __init__(self, clock: SetClock, at: dict[int, float]) -> None:
        self._clock, self._at, self._turns = clock, at, 0
        self.seen: list[float] = []

    def on_turn(self, runner: Runner) -> None:
        self._turns += 1
        self._clock.sleep(1.0)
        self._clock.wrong_by = self._at.get(self._turns, self._clock.wrong_by)

    def on_clock_jump(self, seconds: float) -> None:
        self.seen.append(seconds)


def run(times: list[float], at: dict[int, float]) -> tuple[Broker, dict[str, str], list[float]]:
    """One row a turn: what was found and rejected, the state, the jumps."""
    items = [row(place, time, {"a": 20.0 if place in (4, 9) else 1.0}) for place, time in enumerate(times)]
    broker, clock = Broker({"p": items}), SetClock()
    jumps, source, pipeline = Jumps(clock, at), ListSource(broker, at_once=1), Pipeline(FakeMonitor)
    sinks = [ListSink(broker)]
    Runner(source, pipeline, sinks, ListRejects(broker), clock=clock, observers=[jumps], is_live=True).run()
    return broker, fakes.state_of(pipeline), jumps.seen


def ids(broker: Broker) -> list[str]:
    return [finding.id for finding in broker.findings]


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_jump_of_our_own_clock_loses_no_row_and_is_told_when_it_comes_and_goes(by, caplog):
    times = [BEGIN + number for number in range(14)]
    right, state, none = run(times, {})
    with caplog.at_level(logging.WARNING):
        broker, after, seen = run(times, {3: by, 7: 0.0})
    assert not none
    assert seen == [pytest.approx(by), pytest.approx(-by)]
    assert [record.__dict__["by_s"] for record in caplog.records if "clock jumped" in record.message] == [by, -by]
    assert broker.rejects == []
    assert after == state
    assert ids(broker) == ids(right)


@pytest.mark.parametrize(("by", "reason"), [(HOUR, "future"), (-HOUR, "past")])
def test_rows_of_a_producer_with_a_wrong_clock_are_kept_as_dead_letters_until_it_is_right(by, reason):
    times = [BEGIN + number + (by if 5 <= number < 8 else 0.0) for number in range(14)]
    broker, state, _ = run(times, {})
    assert [(reject.reason, reject.offset) for reject in broker.rejects] == [(reason, 5), (reason, 6), (reason, 7)]
    good = [row(n, t, {"a": 20.0 if n in (4, 9) else 1.0}) for n, t in enumerate(times) if n not in (5, 6, 7)]
    pipeline = Pipeline(FakeMonitor)
    Runner(ListSource(Broker({"p": good})), pipeline, [], ListRejects(Broker({}))).run()
    assert state == fakes.state_of(pipeline)


def test_the_latest_time_follows_forwards_and_goes_on_when_the_clock_is_set_back():
    clock = SetClock()
    latest = LatestClock(clock)
    begin = latest.now_ns()
    for by, expected in ((-HOUR, 0.0), (0.0, 0.0), (HOUR, HOUR), (0.0, HOUR)):
        clock.wrong_by = by
        assert latest.now_ns() - begin == pytest.approx(expected * SECOND)
    clock.sleep(5.0)
    assert latest.now_ns() - begin == pytest.approx((HOUR + 5) * SECOND)


def test_an_alert_goes_on_firing_when_our_clock_is_set_back():
    clock = SetClock()
    with Receiver() as receiver:
        sink = Alertmanager(AlertmanagerSettings(urls=(receiver.url,)), clock=clock)
        clock.wrong_by = -HOUR
        sink.write([incident(clock)])
        sink.flush()
        (alert,) = receiver.documents("/api/v2/alerts")[-1]
    assert from_text(alert["endsAt"]) > clock.now * SECOND > from_text(alert["startsAt"])


def incident(clock: FakeClock) -> IncidentRecord:
    when = clock.now - 10
    return IncidentRecord(
        id="i1",
        system="shop",
        opened_at=when,
        updated_at=when,
        status="open",
        severity="warning",
        opened_by="verdict",
        score=1.5,
        verdicts=1,
        paged_at=when,
    )
