"""A reading that comes after its row revises the verdict, exactly, and is learned by nobody."""

import itertools
from typing import Any

import fakes
import numpy as np
import pytest
from fakes import SECOND, Broker, FakeMonitor
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from detectors.monitor import Monitor
from detectors.settings import MonitorSettings
from stream.metrics import Metrics
from stream.pipeline import Outcome, Pipeline
from stream.records import FindingRecord, VerdictRecord, content_id
from stream.settings import AlignSettings
from stream.sources.protocol import Readings

NAMES = ("a.x", "a.y", "b.x", "b.y")


def readings(times: Any, values: Any, names: tuple[str, ...] = ("a", "b"), **options: Any) -> Readings:
    numbers = np.array(values, dtype=float).reshape(len(times), len(names))
    when = np.array(times, dtype=np.int64) * SECOND
    return Readings("shop", "p", names, when, numbers, options.pop("offsets", when // SECOND), **options)


def part(time: int, name: str, value: float) -> Readings:
    """A long message."""
    return readings([time], [value], (name,), complete=False, offsets=np.array([1000 + time]))


def pipeline(within: float = 1e6, rows: int = 8, make: Any = FakeMonitor) -> Pipeline:
    return Pipeline(
        make, align=AlignSettings(revise_within=within, revise_rows=rows), format_time=lambda ns: ns / SECOND
    )


def told(records: list[FindingRecord]) -> list[VerdictRecord]:
    return [record for record in records if isinstance(record, VerdictRecord)]


def gap(count: int, *missing: int, value: float = 1.0) -> list[list[float]]:
    """Rows of a and b; b is not there in some."""
    return [[value, np.nan if row in missing else 1.0] for row in range(count)]


def test_a_late_reading_makes_a_verdict():
    shop = pipeline()
    assert told(shop.process([readings(range(6), gap(6, 4))]).records) == []
    outcome = shop.process([part(4, "b", 25.0)])
    (record,) = outcome.records
    assert (record.ts, record.score, record.severity) == (4, 2.5, "critical")
    assert (record.status, record.revised, record.incident_id) == ("revised", True, None)
    assert record.id == content_id("verdict", "shop", 4 * SECOND, "revision", 1)
    assert record.revises == content_id("verdict", "shop", 4 * SECOND)
    assert record.source == {"partition": "p", "offset": 1004}
    assert (outcome.revised, outcome.rejects, shop.open_incidents) == (1, [], 0)


class Sober(FakeMonitor):
    """A row is over the line where a exceeds 10 and b is not there to excuse it."""

    def step(self, block: Any) -> Any:
        values = block.values.copy()
        values[np.isfinite(values[:, 1]), 0] = 1.0
        return super().step(type(block)(block.times, values))


def test_a_late_reading_unmakes_a_verdict_and_that_is_told_once():
    shop = pipeline(make=Sober)
    (first,) = told(shop.process([readings(range(6), [*gap(5, 4, value=20.0), [1.0, np.nan]])]).records)
    (second,) = told(shop.process([part(4, "b", 1.0)]).records)
    assert (first.score, second.score) == (2.0, 0.1)
    assert (second.revises, second.revised, second.votes) == (first.id, True, [])
    assert shop.process([part(5, "b", 1.0)]).records == []  # quiet before, and quiet now


def test_each_revision_of_a_row_has_its_own_id():
    shop = pipeline()
    shop.process([readings(range(3), [[1, 1], [np.nan, np.nan], [1, 1]])])
    first, second = (told(shop.process([part(1, name, value)]).records)[0] for name, value in (("a", 20), ("b", 30)))
    assert [first.score, second.score] == [2.0, 3.0]
    assert first.id != second.id and first.revises == second.revises


def test_the_first_reading_wins_and_what_says_nothing_new_is_a_duplicate_or_late():
    shop = pipeline()
    shop.process([readings(range(3), gap(3, 1))])
    for time, name, reason in ((1, "a", "late"), (2, "b", "duplicate")):
        outcome = shop.process([part(time, name, 99.0)])
        assert ([reject.reason for reject in outcome.rejects], outcome.records) == ([reason], [])
    (record,) = told(shop.process([part(1, "b", 20.0)]).records)
    assert [reject.reason for reject in shop.process([part(1, "b", 30.0)]).rejects] == ["late"]
    assert {c["variable"]: c["actual"] for c in record.contributions} == {"a": 1.0, "b": 20.0}


def test_a_whole_row_that_comes_again_fills_the_gaps_of_the_first():
    shop = pipeline()
    shop.process([readings(range(3), gap(3, 1, 2))])
    outcome = shop.process([readings([1, 2], [[99, 20, 5], [99, 30, 5]], ("a", "b", "c"))])
    assert [(record.ts, record.score) for record in told(outcome.records)] == [(1, 2.0), (2, 3.0)]
    assert [reject.reason for reject in outcome.rejects] == ["unknown_variable"] * 2
    assert b'"values":{"c":5.0}' in outcome.rejects[0].value


@pytest.mark.parametrize(("within", "rows"), [(3.0, 100), (100.0, 3)])
def test_beyond_the_bound_it_is_late_and_kept_as_a_dead_letter(within, rows):
    shop = pipeline(within, rows)
    shop.process([readings(range(20), gap(20, 15, 17))])
    kept, gone = shop.process([part(17, "b", 20.0)]), shop.process([part(15, "b", 20.0)])
    assert (kept.revised, kept.rejects) == (1, [])
    assert (gone.revised, gone.records, [reject.reason for reject in gone.rejects]) == (0, [], ["late"])


def test_a_time_without_a_row_is_late():
    shop = pipeline()
    shop.process([readings([0, 10, 20], gap(3))])
    assert [reject.reason for reject in shop.process([part(15, "b", 20.0)]).rejects] == ["late"]


def test_it_is_off_by_default():
    shop = Pipeline(FakeMonitor)
    shop.process([readings(range(3), gap(3, 1))])
    outcome = shop.process([part(1, "b", 20.0)])
    assert (outcome.revised, [reject.reason for reject in outcome.rejects]) == (0, ["late"])


def test_no_row_is_learned_again():
    late, without = pipeline(), pipeline()
    for shop in (late, without):
        shop.process([readings(range(30), gap(30, 25))])
    late.process([part(25, "b", 20.0)])
    for shop in (late, without):
        shop.process([readings(range(30, 40), gap(10))])
    chains = [shop.state("p")["shop"].arrays["monitor/chain"].tobytes() for shop in (late, without)]
    assert chains[0] == chains[1]


events = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["row", "a", "b", "whole"]), st.sampled_from([1.0, 12.0, 30.0])),
    max_size=60,
)


def messages(drawn: list[tuple[int, str, float]]) -> list[Readings]:
    """Rows in order with gaps, and readings of old ones among them."""
    found: list[Readings] = []
    newest = 0
    for back, kind, value in drawn:
        if kind == "row" or not found:
            newest += 1
            found.append(readings([newest], [[value, np.nan]]))
        elif kind == "whole":
            found.append(readings([max(1, newest - back)], [[value, 2 * value]]))
        else:
            found.append(part(max(1, newest - back), kind, value))
    return found


def together(parts: list[Readings]) -> list[Readings]:
    """Messages that one decoder call would put into one run."""
    runs: list[list[Readings]] = []
    for one in parts:
        if runs and (runs[-1][0].names, runs[-1][0].complete) == (one.names, one.complete):
            runs[-1].append(one)
        else:
            runs.append([one])
    return [
        Readings(
            "shop",
            "p",
            run[0].names,
            np.concatenate([r.times for r in run]),
            np.concatenate([r.values for r in run]),
            np.concatenate([r.offsets for r in run]),
            run[0].complete,
        )
        for run in runs
    ]


@given(events, st.sets(st.integers(0, 60), max_size=8), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_any_cut_of_the_messages_gives_the_same_records_and_any_state_goes_on(drawn, cuts, rows):
    sequence = messages(drawn)
    one_by_one, shop = pipeline(rows=rows), pipeline(rows=rows)
    expected = Outcome()
    for message in sequence:
        outcome = one_by_one.process([message])
        expected.records += outcome.records
        expected.rejects += outcome.rejects
    found = Outcome()
    edges = [0, *sorted(cut for cut in cuts if cut < len(sequence)), len(sequence)]
    for start, stop in itertools.pairwise(edges):
        outcome = shop.process(together(sequence[start:stop]))
        found.records += outcome.records
        found.rejects += outcome.rejects
        state, shop = shop.state("p"), pipeline(rows=rows)
        shop.load_state("p", state)
    assert found.records == expected.records
    assert sorted(map(repr, found.rejects)) == sorted(map(repr, expected.rejects))
    assert fakes.state_of(shop) == fakes.state_of(one_by_one)


@pytest.mark.parametrize("preset", ["team", "majority"])
def test_the_revised_verdict_is_the_one_it_would_have_been_in_time(preset):
    """Of every detector and rule, with all that it tells."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 4)) * 0.1 + np.sin(np.arange(400)[:, None] / 9)
    rows[385] += 8.0
    holey = rows.copy()
    holey[385, 1] = np.nan

    def make(variables: tuple[str, ...]) -> Monitor:
        return Monitor(variables, MonitorSettings(preset=preset))

    late, punctual = pipeline(make=make, rows=32), pipeline(make=make, rows=32)
    found = late.process([readings(range(400), holey, NAMES)]).records
    found += late.process([part(385, "a.y", rows[385, 1])]).records
    wanted = punctual.process([readings(range(400), rows, NAMES)]).records
    (revised,) = [record for record in told(found) if record.revised]
    (verdict,) = [record for record in told(wanted) if record.ts == 385]
    assert revised.revises == verdict.id
    for name in ("ts", "severity", "score", "votes", "contributions", "polled", "rules", "line", "counterfactual"):
        assert getattr(revised, name) == getattr(verdict, name), name


def test_a_late_part_of_a_row_that_is_still_gathered_is_no_revision():
    shop = pipeline()
    shop.process([readings([0, 1], gap(2))])
    shop.process([part(2, "a", 1.0)])
    outcome = shop.process([part(2, "b", 20.0)])
    assert (outcome.revised, outcome.rows, [record.revised for record in told(outcome.records)]) == (0, 1, [False])


def test_a_broker_that_says_it_twice_hears_the_same_ids():
    """A revision is a finding like others: said again after a crash, it has the same id."""
    ids = []
    for _ in range(2):
        shop, broker = pipeline(), Broker({"p": []})
        broker.findings += shop.process([readings(range(6), gap(6, 4))]).records
        broker.findings += shop.process([part(4, "b", 25.0)]).records
        ids.append([record.id for record in broker.findings])
    assert ids[0] == ids[1]


def test_revisions_are_counted_apart_from_verdicts():
    shop, registry = pipeline(), CollectorRegistry()
    metrics = Metrics(registry, version="0", config_hash="c")
    for message in (readings(range(6), gap(6, 3, 4)), part(4, "b", 25.0), part(3, "b", 1.0)):
        metrics.on_step(shop.process([message]), 0.0)
    names = ("rows", "verdicts", "rows_revised", "verdicts_revised")
    assert [registry.get_sample_value(f"tocsin_{name}_total") for name in names] == [6, 0, 2, 1]
