"""What leaves tocsin: verdicts, triggers, incidents and silences as JSON documents (msgspec structs), with ids that are
hashes of what they identify, so that a repeat is recognised downstream."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from detectors.causes.graph import entity_of
from detectors.findings import Cause, Edge, Ranking, Silence, Trigger, Verdict

SCHEMA_VERSION = 1


def content_id(*parts: object) -> str:
    """A short stable id of what the parts identify: the same parts give the same id in every run and process.

    >>> content_id("shop", 17) == content_id("shop", 17)
    True
    """
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]


Time: TypeAlias = str | int | float  # as the input gave it: RFC 3339 text, or a number in the input's unit


class VerdictRecord(msgspec.Struct, tag_field="kind", tag="verdict", kw_only=True, omit_defaults=False):
    """One row judged anomalous (conventions after OpenSearch's result mapping)."""

    id: str
    schema_version: int = SCHEMA_VERSION
    system: str
    ts: Time
    observed_at: str | None = None  # wall clock; None in a replay, so that a replay repeats byte for byte
    status: str = "open"
    severity: str = "warning"
    score: float
    votes: list[dict[str, Any]]
    contributions: list[dict[str, Any]]
    polled: list[dict[str, Any]]
    rules: dict[str, bool]
    rule: str = "weighted"  # the one that decided
    line: float = 1.0  # what its score was held against, in units of the undamped line
    alerts_per_1000_rows: float = 0.0  # of this system so far
    counterfactual: dict[str, Any] | None = None  # the nearest readings that would have kept the row quiet
    incident_id: str | None = None
    shadow: dict[str, float] = {}  # scores that had no vote: the autoencoder's, where it is known in time
    config_hash: str = ""
    source: dict[str, Any] = {}  # partition and offset of the row, or of the reading that revised it
    revised: bool = False  # the row was scored again, with a late reading; at most 1: no verdict stands any more
    revises: str | None = None  # the id of the verdict on this row when it was new, if there was one


class TriggerRecord(msgspec.Struct, tag_field="kind", tag="trigger", kw_only=True):
    """The system changed state."""

    id: str
    schema_version: int = SCHEMA_VERSION
    system: str
    ts: Time
    detector: str
    statistic: float
    threshold: float
    calibrated: bool
    incident_id: str | None = None


class IncidentRecord(msgspec.Struct, tag_field="kind", tag="incident", kw_only=True):
    """What a person sees; repeated with the same id as it develops, the last one stands."""

    id: str
    schema_version: int = SCHEMA_VERSION
    system: str
    opened_at: Time
    updated_at: Time
    resolved_at: Time | None = None
    onset_at: Time | None = None
    status: str  # open | update | resolved | revised: causes that were settled after it was resolved
    severity: str
    opened_by: str  # verdict | trigger
    score: float  # the highest verdict score so far
    verdicts: int  # rows judged anomalous so far
    trigger: dict[str, Any] | None = None
    causes: list[dict[str, Any]] = []
    baseline_causes: list[dict[str, Any]] = []
    graph: dict[str, Any] = {}
    graph_agreement: float | None = None  # with the graph of the update before, 0 to 1: how far it has settled
    converged: bool = False
    confidence: float | None = None
    answer: str = ""  # the first cause's entity, or "unknown": then the causes are guesses
    note: str = ""
    paged_at: Time | None = None  # since when it pages people (stream.paging); None: not yet, or never
    suppressed: bool = False  # it lies in a maintenance window, or is a canary's
    held: bool = False  # the budget of pages is spent: severity is info
    config_hash: str = ""

    @property
    def pages(self) -> bool:
        """Whether sinks that wake people tell of it."""
        return self.paged_at is not None and not self.suppressed


class SilenceRecord(msgspec.Struct, tag_field="kind", tag="silence", kw_only=True):
    """Variables that were there regularly stay away, or are back."""

    id: str
    schema_version: int = SCHEMA_VERSION
    system: str
    ts: Time
    state: str  # silent | back
    reason: str  # missing | stalled: a counter that is there and does not rise
    entity: str | None  # None: too little of the system is there to judge its rows, or there is enough again
    variable: str | None  # the one, if it is one
    variables: list[str]
    since: Time  # their last reading before, or last rise
    usual_gap_rows: float  # rows that they were usually missing between two readings, or at rest between two rises


FindingRecord: TypeAlias = VerdictRecord | TriggerRecord | IncidentRecord | SilenceRecord


def verdict_record(verdict: Verdict, *, system: str, ts: Time, severity: str, **fields: Any) -> VerdictRecord:
    """fields: those of VerdictRecord that the verdict itself does not know."""
    return VerdictRecord(
        id=content_id("verdict", system, verdict.time),
        system=system,
        ts=ts,
        severity=severity,
        score=float(verdict.score),
        votes=plain(verdict.votes),
        contributions=plain(verdict.contributions),
        polled=plain(verdict.polled),
        rules=plain(verdict.rules),
        rule=verdict.rule,
        line=plain(verdict.line),
        alerts_per_1000_rows=plain(verdict.alerts_per_1000_rows),
        counterfactual=plain(verdict.counterfactual),
        **fields,
    )


def revised_record(record: VerdictRecord, ts_ns: int, number: int) -> VerdictRecord:
    """The record of a row's verdict as that of its revision, counted from 1."""
    again = content_id("verdict", record.system, ts_ns, "revision", number)
    return msgspec.structs.replace(record, id=again, status="revised", revised=True, revises=record.id)


def trigger_record(trigger: Trigger, *, system: str, ts: Time, incident_id: str | None) -> TriggerRecord:
    return TriggerRecord(
        id=content_id("trigger", system, trigger.time, trigger.detector),
        system=system,
        ts=ts,
        detector=trigger.detector,
        statistic=float(trigger.statistic),
        threshold=float(trigger.threshold),
        calibrated=bool(trigger.calibrated),
        incident_id=incident_id,
    )


def silence_record(silence: Silence, *, system: str, format_time: Callable[[int], Time]) -> SilenceRecord:
    names = list(silence.variables)
    return SilenceRecord(
        id=content_id("silence", system, silence.time, silence.entity or "", silence.state, silence.reason),
        system=system,
        ts=format_time(silence.time),
        state=silence.state,
        reason=silence.reason,
        entity=silence.entity,
        variable=names[0] if silence.entity is not None and len(names) == 1 else None,
        variables=names,
        since=format_time(silence.since),
        usual_gap_rows=round(silence.usual_gap_rows, 1),
    )


def ranking_fields(ranking: Ranking, *, causes: int | None = None, edges: int | None = None) -> dict[str, Any]:
    """The fields of an IncidentRecord that a ranking fills. At most so many entities and edges are kept; None: all."""
    kept, baseline = leading(ranking.causes, causes), leading(ranking.baseline_causes, causes)
    return {
        "causes": plain(kept),
        "baseline_causes": plain(baseline),
        "graph_agreement": plain(ranking.graph_agreement),
        "graph": graph_document(_about(ranking.edges, {c.entity for c in (*kept, *baseline)})[:edges]),
        "converged": bool(ranking.converged),
        "confidence": plain(ranking.confidence),
        "answer": ranking.answer,
        "note": ranking.note,
    }


def leading(causes: Sequence[Cause], entities: int | None) -> list[Cause]:
    """The best causes, as many as name so many entities."""
    seen: set[str] = set()
    kept = []
    for cause in causes:
        seen.add(cause.entity)
        if entities is not None and len(seen) > entities:
            break
        kept.append(cause)
    return kept


def graph_document(edges: Sequence[Edge]) -> dict[str, Any]:
    """Nodes and edges of a causal graph."""
    nodes = sorted({name for edge in edges for name in (edge.cause, edge.effect)})
    return {"nodes": nodes, "edges": plain(edges)}


def _about(edges: Sequence[Edge], entities: set[str]) -> list[Edge]:
    """The strongest edges first, those that touch the entities before the others."""
    touches = [any(name in entities or entity_of(name) in entities for name in (e.cause, e.effect)) for e in edges]
    order = sorted(range(len(edges)), key=lambda place: (not touches[place], -abs(edges[place].weight)))
    return [edges[place] for place in order]


def plain(thing: Any) -> Any:
    """Dataclasses, mappings, sequences and numbers as what JSON knows; what is not finite becomes None.

    >>> plain({"a": (np.float64(1.5), float("nan"), np.bool_(True))})
    {'a': [1.5, None, True]}
    """
    if type(thing) in (str, int, bool):  # most of what comes here, and the quickest told
        return thing
    if type(thing) is float:
        return thing if math.isfinite(thing) else None
    if dataclasses.is_dataclass(thing):
        return {field.name: plain(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
    if isinstance(thing, Mapping):
        return {str(name): plain(item) for name, item in thing.items()}
    if isinstance(thing, tuple | list):
        return [plain(item) for item in thing]
    if isinstance(thing, np.generic):
        thing = thing.item()
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing
