"""What leaves tocsin: verdicts, triggers and incidents as JSON documents (msgspec structs), with ids that are hashes of
what they identify, so that a repeat is recognised downstream."""

import hashlib
from typing import Any, TypeAlias

import msgspec

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
    incident_id: str | None = None
    config_hash: str = ""
    source: dict[str, Any] = {}


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
    status: str  # open | update | resolved
    severity: str
    opened_by: str  # verdict | trigger
    score: float  # the highest verdict score so far
    verdicts: int  # rows judged anomalous so far
    trigger: dict[str, Any] | None = None
    causes: list[dict[str, Any]] = []
    baseline_causes: list[dict[str, Any]] = []
    graph: dict[str, Any] = {}
    converged: bool = False
    confidence: float | None = None
    note: str = ""
    config_hash: str = ""


FindingRecord: TypeAlias = VerdictRecord | TriggerRecord | IncidentRecord
