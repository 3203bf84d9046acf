"""Which incidents page: minimum duration, cooldown, maintenance windows and the budget, all by event time."""

from itertools import pairwise
from typing import Any

import fakes
import pytest
from fakes import FakeMonitor
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pipeline import block, incidents, level, seconds

from stream.event_time import from_text
from stream.maintenance import MaintenanceWindow
from stream.paging import DAY_NS, Page, Paging
from stream.pipeline import Pipeline
from stream.records import IncidentRecord
from stream.settings import IncidentSettings

HOUR = 3600


def found(values: list[float], *, cuts: tuple[int, ...] = (), times: Any = None, **options: Any) -> Any:
    pipeline = Pipeline(FakeMonitor, incidents=IncidentSettings(**{"quiet_rows": 3, **options}), format_time=seconds)
    edges = [0, *sorted(cuts), len(values)]
    records = []
    for start, stop in pairwise(edges):
        times_of_part = None if times is None else times[start:stop]
        records += pipeline.process([block(values[start:stop], start, times_of_part)]).records
    return incidents(records)


def last_of_each(records: list[IncidentRecord]) -> list[IncidentRecord]:
    return list(fakes.last_of_each(records).values())


def test_by_default_an_incident_pages_from_its_first_row_over_the_line():
    first = found([1, 15] + [1] * 4)[0]
    assert (first.status, first.paged_at, first.suppressed, first.held, first.pages) == ("open", 1, False, False, True)


def test_a_change_of_state_alone_pages_only_where_information_is_asked_for():
    values = [150.0] + [1] * 8
    options: dict[str, Any] = {"critical_score": 100.0, "opened_by": ("trigger",)}
    assert [r.paged_at for r in found(values, **options, page_from="critical")][-1] is None
    assert found(values, **options, page_from="info")[0].paged_at == 0


def test_it_pages_once_it_has_lasted_long_enough_and_says_so_then():
    records = found([15] * 5 + [1] * 4, page_after=3.0)
    assert [(r.status, r.updated_at, r.paged_at) for r in records] == [
        ("open", 0, None),
        ("update", 3, 3),
        ("resolved", 7, 3),
    ]


def test_a_short_one_never_pages_although_it_is_resolved_later():
    assert {r.paged_at for r in found([15, 15] + [1] * 9, page_after=3.0)} == {None}


def test_what_opens_again_within_the_cooldown_is_the_same_incident():
    values = [15] + [1] * 5 + [25] + [1] * 5
    apart = found(values)
    assert len({r.id for r in apart}) == 2
    records = found(values, cooldown=3.0)
    assert [(r.status, r.severity, r.verdicts, r.resolved_at) for r in records] == [
        ("open", "warning", 1, None),
        ("resolved", "warning", 1, 3),
        ("open", "critical", 2, None),
        ("resolved", "critical", 2, 9),
    ]
    assert len({r.id for r in records}) == 1
    assert {r.paged_at for r in records} == {0}
    assert len({r.id for r in found(values, cooldown=2.0)}) == 2


def test_a_maintenance_window_suppresses_what_happens_inside_it():
    window = MaintenanceWindow(start="1970-01-01T00:00:02Z", end="1970-01-01T00:00:05Z")
    before, inside = [15] + [1] * 9, [1, 1, 15] + [1] * 9
    assert [r.pages for r in last_of_each(found(before, maintenance=(window,)))] == [True]
    assert {(r.suppressed, r.paged_at, r.severity) for r in found(inside, maintenance=(window,))} == {
        (True, None, "warning")
    }


def test_what_outlasts_the_window_pages_after_it():
    window = MaintenanceWindow(start="1970-01-01T00:00:02Z", end="1970-01-01T00:00:05Z")
    records = found([1, 1, 15, 15, 15, 15] + [1] * 9, maintenance=(window,))
    assert [(r.updated_at, r.suppressed, r.paged_at) for r in records[:2]] == [(2, True, None), (5, False, 5)]


def test_what_pages_already_goes_on_in_a_window_but_what_opens_again_there_is_silent():
    window = MaintenanceWindow(start="1970-01-01T00:00:02Z", end="1970-01-01T00:00:20Z")
    assert {r.pages for r in found([15, 15, 15, 15, 25] + [1] * 4, maintenance=(window,))} == {True}
    records = found([15] + [1] * 5 + [15] + [1] * 5, maintenance=(window,), cooldown=100.0)
    assert [(r.status, r.pages) for r in records] == [
        ("open", True),
        ("resolved", True),
        ("open", False),
        ("resolved", False),
    ]


def test_a_window_holds_for_its_systems():
    window = MaintenanceWindow(daily="00:00-12:00", systems=("ship",))
    assert window.covers("ship", 0) and not window.covers("shop", 0)


def test_a_daily_window_follows_the_clocks_of_its_zone():
    window = MaintenanceWindow(daily="02:00-03:00", zone="Europe/Berlin")
    inside = {time: window.covers("s", from_text(time)) for time in ("2026-01-10T01:30Z", "2026-07-10T00:30Z")}
    outside = {time: window.covers("s", from_text(time)) for time in ("2026-01-10T00:30Z", "2026-07-10T01:30Z")}
    assert all(inside.values()) and not any(outside.values())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "end must be a time such as"),
        ({"start": "2026-01-02"}, "end must be a time such as"),
        ({"start": "2026-01-02", "end": "2026-01-02"}, "end must be after start"),
        ({"daily": "2-3"}, "daily must be two different times such as 02:00-03:30, got '2-3'"),
        ({"daily": "02:00-02:00"}, "daily must be two different times"),
        ({"daily": "02:00-03:00", "zone": "Mars"}, "zone must be a time zone of this machine"),
        ({"daily": "02:00-03:00", "end": "2026-01-02"}, "daily and start, end exclude each other"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        MaintenanceWindow(**options)


def test_beyond_the_budget_an_incident_is_information_and_says_why():
    values = ([15] + [1] * 5) * 3
    records = last_of_each(found(values, pages_per_day=2.0))
    assert [(r.severity, r.held, r.paged_at) for r in records] == [
        ("warning", False, 0),
        ("warning", False, 6),
        ("info", True, None),
    ]
    assert records[-1].note == "held by the budget of 2 pages a day"


def test_an_incident_that_is_held_pages_when_the_budget_allows_it():
    times = [0, 6 * HOUR, 12 * HOUR, 18 * HOUR, 24 * HOUR, 25 * HOUR]
    values = [15, 1, 15, 15, 15, 1]
    records = found(values, times=times, pages_per_day=1.0, quiet_rows=1)
    assert [(r.severity, r.held, r.paged_at) for r in records if r.opened_at == 12 * HOUR][:2] == [
        ("info", True, None),
        ("warning", False, 24 * HOUR),
    ]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
@settings(max_examples=60, deadline=None)
def test_no_day_has_more_pages_than_the_budget(hours, budget):
    paging = Paging("shop", IncidentSettings(pages_per_day=budget))
    now, paged = 0, []
    for gap in hours:
        now += gap * HOUR * 10**9
        page = Page()
        paging.consider(page, severity="critical", opened=now, now=now, is_opening=True)
        paged += [now] if page.since is not None else []
        assert page.is_held == (page.since is None)
    span = DAY_NS if budget >= 1 else int(DAY_NS / budget)
    for start in paged:
        assert sum(start <= time < start + span for time in paged) <= max(1, budget)


RULES: dict[str, Any] = {
    "page_after": 2.0,
    "cooldown": 5.0,
    "pages_per_day": 3.0,
    "maintenance": (MaintenanceWindow(start="1970-01-01T00:00:10Z", end="1970-01-01T00:00:20Z"),),
}


@given(st.lists(level, min_size=1, max_size=60), st.sets(st.integers(0, 60), max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_cut_of_the_rows_pages_the_same(values, cuts):
    assert found(values, cuts=tuple(cut for cut in cuts if cut < len(values)), **RULES) == found(values, **RULES)


@given(st.lists(level, min_size=2, max_size=50), st.data())
@settings(max_examples=100, deadline=None)
def test_a_state_goes_on_with_its_cooldown_and_budget(values, data):
    cut = data.draw(st.integers(1, len(values) - 1))
    options = IncidentSettings(quiet_rows=3, **RULES)
    first, second, whole = (Pipeline(FakeMonitor, incidents=options, format_time=seconds) for _ in range(3))
    records = incidents(first.process([block(values[:cut])]).records)
    second.load_state("p", first.state("p"))
    assert second.standing() == first.standing()
    records += incidents(second.process([block(values[cut:], cut)]).records)
    assert records == incidents(whole.process([block(values)]).records)
    assert fakes.state_of(second) == fakes.state_of(whole)


def test_what_stands_open_can_be_told_again_without_changing_it():
    pipeline = Pipeline(FakeMonitor, format_time=seconds)
    records = incidents(pipeline.process([block([1, 15, 1])]).records)
    state = fakes.state_of(pipeline)
    (standing,) = pipeline.standing()
    assert (standing.id, standing.status, standing.updated_at, standing.pages) == (records[0].id, "update", 1, True)
    assert fakes.state_of(pipeline) == state
    pipeline.process([block([1] * 12, 3)])
    assert pipeline.standing() == []
