"""Rows in, incidents out: the same however the rows are cut, and from any state on."""

import itertools
from typing import Any

import fakes
import numpy as np
import pytest
from fakes import SECOND, FakeMonitor
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import StateError
from stream.pipeline import Pipeline, SystemState
from stream.records import FindingRecord, IncidentRecord, SilenceRecord, TriggerRecord, VerdictRecord
from stream.settings import IncidentSettings
from stream.sinks.kafka import cloud_event
from stream.sources.protocol import Readings

QUIET = 10


def block(values: list[float], first: int = 0, times: list[int] | None = None, partition: str = "p") -> Readings:
    """Rows of the variables a (the values) and b (always 1)."""
    count = len(values)
    when = np.array(times if times is not None else range(first, first + count), dtype=np.int64) * SECOND
    numbers = np.column_stack([np.array(values, dtype=float), np.ones(count)])
    return Readings("shop", partition, ("a", "b"), when, numbers, np.arange(first, first + count))


def found(values: list[float], *, cuts: tuple[int, ...] = (), times: Any = None, **options: Any) -> list[FindingRecord]:
    pipeline = Pipeline(
        FakeMonitor, incidents=IncidentSettings(**{"quiet_rows": QUIET, **options}), format_time=seconds
    )
    records: list[FindingRecord] = []
    edges = [0, *sorted(cuts), len(values)]
    for start, stop in itertools.pairwise(edges):
        part = block(values[start:stop], start, None if times is None else times[start:stop])
        records += pipeline.process([part]).records
    return records


def seconds(ns: int) -> float:
    return ns / SECOND


def incidents(records: list[FindingRecord]) -> list[IncidentRecord]:
    return [record for record in records if isinstance(record, IncidentRecord)]


def told(records: list[FindingRecord]) -> list[tuple[str, Any]]:
    return [(record.status, record.updated_at) for record in incidents(records)]


def test_an_incident_opens_at_the_first_verdict_and_is_resolved_after_quiet_rows():
    records = found([1, 1, 20, 1, 20] + [1] * 12)
    assert told(records) == [("open", 2), ("resolved", 14)]
    last = incidents(records)[-1]
    assert (last.opened_at, last.resolved_at, last.verdicts, last.score, last.opened_by) == (2, 14, 2, 2.0, "verdict")
    assert {r.incident_id for r in records if isinstance(r, VerdictRecord)} == {last.id}


def test_it_opens_before_its_verdict_is_told():
    assert [type(record) for record in found([1, 20])] == [IncidentRecord, VerdictRecord]


def test_a_verdict_in_time_keeps_it_open():
    assert told(found([20] + [1] * 9 + [20] + [1] * 12)) == [("open", 0), ("resolved", 20)]
    assert told(found([20] + [1] * 10 + [20] + [1] * 12))[:2] == [("open", 0), ("resolved", 10)]


def test_a_trigger_brings_causes_which_are_revised_as_they_settle():
    records = found([1, 150] + [1] * 20)
    assert told(records)[:2] == [("open", 1), ("update", 1)]  # the verdict of the same row makes it critical
    assert told(records)[2:] == [("update", 2), ("update", 3), ("update", 5), ("resolved", 11)]
    last = incidents(records)[-1]
    assert last.trigger == {"ts": 1, "statistic": 15.0, "threshold": 10.0}
    assert [cause["entity"] for cause in last.causes] == ["e0", "e1"]
    assert [cause["entity"] for cause in last.baseline_causes] == ["e1", "e0"]
    assert (last.converged, last.confidence, last.onset_at) == (True, 0.5, 1)


def test_causes_that_settle_late_revise_the_resolved_incident_and_do_not_keep_it_open():
    records = found([1, 150] + [1] * 20, quiet_rows=2)
    assert told(records)[2:] == [("update", 2), ("update", 3), ("resolved", 3), ("revised", 5)]
    last = incidents(records)[-1]
    assert (last.resolved_at, last.converged) == (3, True)
    assert len({record.id for record in incidents(records)}) == 1


def test_one_without_a_verdict_is_resolved_sooner_so_that_another_change_is_another_incident():
    for size, ids in ((150.0, 1), (-150.0, 2)):
        records = incidents(found([1, size, *[1] * 6, size, *[1] * 12], trigger_quiet_rows=5))
        assert len({record.id for record in records}) == ids
    assert [(r.opened_at, r.resolved_at, r.severity) for r in records if r.status == "resolved"] == [
        (1, 6, "info"),
        (8, 13, "info"),
    ]


def test_who_may_open_it_is_a_setting():
    assert incidents(found([20, 1, 150], opened_by=("trigger",)))[0].opened_at == 2
    (verdict,) = [r for r in found([20], opened_by=("trigger",)) if isinstance(r, VerdictRecord)]
    assert verdict.incident_id is None
    assert incidents(found([150], opened_by=("verdict",)))[0].opened_by == "verdict"


def test_an_incident_that_opens_during_an_episode_takes_its_causes():
    records = found([1, 150, 1, 20, 1, 1], opened_by=("verdict",), quiet_rows=1)
    assert [(i.opened_at, len(i.causes)) for i in incidents(records) if i.status == "open"] == [(1, 0), (3, 2)]


def test_severity_rises_with_the_score_and_is_told_when_it_does():
    records = incidents(found([15, 15, 25, 25]))
    assert [(r.status, r.severity) for r in records] == [("open", "warning"), ("update", "critical")]


def test_a_long_silence_resolves_what_was_open():
    times = [0, 1, 2, 3, 1000, 1001]
    records = found([1, 1, 20, 1, 1, 1], times=times, max_gap_ticks=100)
    assert told(records) == [("open", 2), ("resolved", 3)]
    assert incidents(records)[-1].note == "no rows came for a long time"
    assert told(found([1, 1, 20, 1, 1, 1], times=[0, 100, 200, 300, 400, 500], max_gap_ticks=100)) == [("open", 200)]


def test_causes_are_cut_by_entities_and_edges_by_number():
    last = incidents(found([1, 150] + [1] * 20, max_causes=1))[-1]
    assert [cause["entity"] for cause in last.causes] == ["e0"]


def test_ids_are_of_what_is_meant_and_hold_in_every_run():
    first, second = found([1, 150, 1, 20]), found([1, 150, 1, 20])
    assert [record.id for record in first] == [record.id for record in second]
    assert len({record.id for record in first if not isinstance(record, IncidentRecord)}) == 3
    assert [r.source for r in first if isinstance(r, VerdictRecord)] == [
        {"partition": "p", "offset": 1},
        {"partition": "p", "offset": 3},
    ]


level = st.sampled_from([1.0, 1.0, 1.0, 2.0, 12.0, 30.0, 150.0, float("nan")])


@given(st.lists(level, min_size=1, max_size=60), st.sets(st.integers(0, 60), max_size=6), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_any_cut_of_the_rows_gives_the_same_records(values, cuts, quiet):
    whole = found(values, quiet_rows=quiet)
    assert found(values, cuts=tuple(cut for cut in cuts if cut < len(values)), quiet_rows=quiet) == whole


@given(st.lists(level, min_size=2, max_size=40), st.data())
@settings(max_examples=80, deadline=None)
def test_a_state_goes_on_where_it_stopped(values, data):
    cut = data.draw(st.integers(0, len(values)))
    expected = found(values)
    first = Pipeline(FakeMonitor, format_time=seconds)
    records = first.process([block(values[:cut])]).records if cut else []
    second = Pipeline(FakeMonitor, format_time=seconds)
    second.load_state("p", first.state("p"))
    records += second.process([block(values[cut:], cut)]).records
    assert records == expected
    whole = Pipeline(FakeMonitor, format_time=seconds)
    whole.process([block(values)])
    assert fakes.state_of(second) == fakes.state_of(whole)


def test_systems_of_different_partitions_are_apart_and_can_be_dropped():
    pipeline = Pipeline(FakeMonitor)
    pipeline.process([block([1, 20], partition="p0"), block([1, 1], partition="p1")])
    assert (len(pipeline), pipeline.open_incidents, pipeline.partitions()) == (2, 1, {"p0", "p1"})
    pipeline.drop("p0")
    assert (len(pipeline), pipeline.open_incidents, pipeline.partitions()) == (1, 0, {"p1"})


def test_the_end_tells_where_open_incidents_stand():
    pipeline = Pipeline(FakeMonitor, format_time=seconds)
    pipeline.process([block([1, 20, 20])])
    (last,) = pipeline.finish().records
    assert (last.status, last.verdicts, last.updated_at) == ("update", 2, 2)


def test_rejected_readings_are_part_of_the_outcome():
    outcome = Pipeline(FakeMonitor).process([block([1, 2, 3], times=[5, 5, 4])])
    assert [reject.reason for reject in outcome.rejects] == ["duplicate", "late"]
    assert outcome.rows == 1


class EverySecond:
    """A background that scores every second row at once, and the others never."""

    def __init__(self):
        self.waiting: list[tuple[str, int, float]] = []
        self.models: dict[str, int] = {}

    def submit(self, system, times, values, normal):
        self.models[system] = self.models.get(system, 0) + len(times)
        self.waiting += [(system, time, 0.5) for time in times.tolist()[::2]]
        return True

    def results(self):
        taken, self.waiting = self.waiting, []
        return taken

    def state(self, system):
        return {"rows": np.array(self.models.get(system, 0))}

    def load_state(self, system, state):
        self.models[system] = int(state["rows"])

    def forget(self, system):
        self.models.pop(system, None)


def test_a_score_without_a_vote_stands_beside_the_verdict_where_it_is_known():
    outcome = Pipeline(FakeMonitor, background=EverySecond()).process([block([20, 20])])
    assert [r.shadow for r in outcome.records if isinstance(r, VerdictRecord)] == [{"autoencoder": 0.5}, {}]
    assert outcome.shadow == [0.5]


def test_the_backgrounds_models_move_with_their_partition():
    first = Pipeline(FakeMonitor, background=EverySecond(), background_id="x")
    first.process([block([1, 2, 3])])
    for identity, models in (("x", {"p/shop": 3}), ("another", {})):
        background = EverySecond()
        second = Pipeline(FakeMonitor, background=background, background_id=identity)
        second.load_state("p", first.state("p"))
        assert background.models == models
        second.drop("p")
        assert background.models == {}


def test_a_silence_is_a_record_of_its_own_and_moves_no_incident():
    pipeline = Pipeline(FakeMonitor, format_time=seconds)
    reading = block([1, 20, float("nan"), 1])
    reading.values[2, 1] = np.nan
    records = pipeline.process([reading]).records
    assert [record for record in records if not isinstance(record, SilenceRecord)] == found([1, 20, 1, 1])
    fell, back = (record for record in records if isinstance(record, SilenceRecord))
    assert (fell.ts, fell.state, fell.entity, fell.variables) == (2, "silent", None, ["a", "b"])
    assert (back.ts, back.state) == (3, "back") and fell.id != back.id


def test_a_silence_is_a_cloud_event_of_its_system():
    pipeline = Pipeline(FakeMonitor)
    pipeline.process([block([1, 1])])
    reading = block([float("nan")], first=2)
    reading.values[0, 1] = np.nan
    (silence,) = pipeline.process([reading]).records
    headers = dict(cloud_event(silence, b"{}", "/tocsin/test"))
    assert headers["ce_type"] == b"tocsin.silence.v1" and headers["ce_subject"] == b"shop"
    assert headers["ce_id"] == silence.id.encode() and headers["ce_time"] == b"1970-01-01T00:00:02Z"


def test_a_state_that_does_not_fit_is_told():
    pipeline = Pipeline(FakeMonitor)
    with pytest.raises(StateError, match="the state of system shop does not fit this version"):
        pipeline.load_state("p", {"shop": SystemState({"align": {}}, {})})
    assert len(pipeline) == 0


def test_a_trigger_record_says_to_which_incident_it_belongs():
    records = found([1, 150])
    (trigger,) = [record for record in records if isinstance(record, TriggerRecord)]
    assert trigger.incident_id == incidents(records)[0].id
