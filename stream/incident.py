"""One incident of a system, what root-cause analysis said of it, and the record that both become.

Only values and pure functions: :mod:`stream.incidents` opens, changes and resolves them. Times are ns, until a record
shows them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from detectors.findings import Ranking, Trigger
from stream.paging import Page
from stream.records import IncidentRecord, Time, content_id, ranking_fields
from stream.settings import IncidentSettings


class Fired(msgspec.Struct):
    """The first trigger of an incident."""

    ts: int
    statistic: float
    threshold: float


class Incident(msgspec.Struct):
    """An incident. Times are ns, rows count from the system's first."""

    opened: int
    opened_by: str
    updated: int
    last_active: int  # row of the newest verdict or trigger
    score: float = 0.0
    verdicts: int = 0
    trigger: Fired | None = None
    resolved: int | None = None
    note: str = ""
    page: Page = msgspec.field(default_factory=Page)


class Episode(msgspec.Struct):
    """What root-cause analysis said last: the fields of an incident record, its times still in ns."""

    opened: int
    onset: int
    fields: dict[str, Any]
    is_over: bool = False


def incident_id(system: str, incident: Incident) -> str:
    """The identity of an incident: its system and the time it opened."""
    return content_id("incident", system, incident.opened)


def fired_by(trigger: Trigger) -> Fired:
    return Fired(int(trigger.time), float(trigger.statistic), float(trigger.threshold))


def episode_of(ranking: Ranking, settings: IncidentSettings) -> Episode:
    fields = ranking_fields(ranking, causes=settings.max_causes, edges=settings.max_edges)
    return Episode(int(ranking.opened), int(ranking.onset), fields, bool(ranking.ended))


def severity_of(score: float, settings: IncidentSettings) -> str:
    """Nobody is woken by a change of state that put no row over the line: that is information."""
    if score >= settings.critical_score:
        return "critical"
    return "warning" if score > 1.0 else "info"


def shown_severity(incident: Incident, settings: IncidentSettings) -> str:
    """The severity that people see: what the budget of pages holds back is information."""
    return "info" if incident.page.is_held else severity_of(incident.score, settings)


def shown(incident: Incident, settings: IncidentSettings) -> tuple[str, int | None]:
    """What makes a person look again when it changes: the severity, and since when it pages."""
    return shown_severity(incident, settings), incident.page.since


def incident_record(
    incident: Incident,
    episode: Episode | None,
    status: str,
    *,
    system: str,
    settings: IncidentSettings,
    config_hash: str,
    format_time: Callable[[int], Time],
    is_canary: bool = False,
) -> IncidentRecord:
    """The incident as it was last updated, with the causes of the episode. format_time: ns to the time as shown."""
    fired, page = incident.trigger, incident.page
    causes = {
        **(episode.fields if episode else {}),
        "note": _note(incident, episode, settings, "suppressed as canary" if is_canary else ""),
    }
    return IncidentRecord(
        id=incident_id(system, incident),
        system=system,
        opened_at=format_time(incident.opened),
        updated_at=format_time(incident.updated),
        resolved_at=None if incident.resolved is None else format_time(incident.resolved),
        onset_at=format_time(episode.onset) if episode else None,
        status=status,
        severity=shown_severity(incident, settings),
        opened_by=incident.opened_by,
        score=incident.score,
        verdicts=incident.verdicts,
        trigger=None if fired is None else {**msgspec.to_builtins(fired), "ts": format_time(fired.ts)},
        paged_at=None if page.since is None else format_time(page.since),
        suppressed=page.is_suppressed,
        held=page.is_held,
        config_hash=config_hash,
        **causes,
    )


def _note(incident: Incident, episode: Episode | None, settings: IncidentSettings, canary: str) -> str:
    """What the episode, the incident, the budget of pages and a canary have to say."""
    of_causes = episode.fields.get("note", "") if episode else ""
    held = f"held by the budget of {settings.pages_per_day:g} pages a day" if incident.page.is_held else ""
    return "; ".join(part for part in (of_causes, incident.note, held, canary) if part)
