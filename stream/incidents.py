"""Incidents of one system: opened by the first verdict or trigger, resolved once it is quiet. Silences pass through.

Causes that are still being worked out then revise the resolved incident, until they are settled or another one opens.
What opens again within the cooldown is the same incident. :mod:`stream.paging` decides which of them page.

A deterministic state machine in the system's rows: however they are cut into blocks, the same records come out.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from detectors.block import IntArray
from detectors.findings import Findings, Ranking, Silence, Trigger, Verdict
from stream.event_time import NS_PER
from stream.paging import Page, Paging
from stream.records import (
    FindingRecord,
    IncidentRecord,
    Time,
    content_id,
    ranking_fields,
    silence_record,
    trigger_record,
    verdict_record,
)
from stream.settings import IncidentSettings

Event = Verdict | Trigger | Ranking | Silence


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


class _Saved(msgspec.Struct):
    row: int
    last: int | None
    tick: int | None
    incident: Incident | None
    episode: Episode | None
    resolved: Incident | None
    pages: list[int]


class Incidents:
    """Follows the findings of one system row by row.

    format_time: ns to the time as records show it.
    """

    def __init__(
        self,
        system: str,
        settings: IncidentSettings,
        *,
        partition: str = "",
        config_hash: str = "",
        format_time: Callable[[int], Time],
    ) -> None:
        self._system = system
        self._settings = settings
        self._partition = partition
        self._config_hash = config_hash
        self._format = format_time
        self._row = 0  # rows followed so far
        self._last: int | None = None  # time of the newest row, and its distance to the one before
        self._tick: int | None = None
        self._incident: Incident | None = None
        self._episode: Episode | None = None
        self._resolved: Incident | None = None  # the last one, while its cooldown may still run
        self._paging = Paging(system, settings)

    @property
    def is_open(self) -> bool:
        return self._incident is not None and self._incident.resolved is None

    @property
    def is_paging(self) -> bool:
        page = self._incident.page if self._incident is not None and self.is_open else Page()
        return page.since is not None and not page.is_suppressed

    def _open_one(self) -> Incident | None:
        return self._incident if self.is_open else None

    def follow(
        self, findings: Findings, offsets: IntArray, *, shadow: Mapping[int, float] | None = None
    ) -> list[FindingRecord]:
        """The records of the next rows. offsets: (T,) of the rows; shadow: scores without a vote, by the row's time."""
        records: list[FindingRecord] = []
        opinions = shadow or {}
        for place, event in self._events(findings):
            self._settle(place, findings.times, records)
            if event is None:
                self._resolve(place - 1, findings.times, records, "no rows came for a long time")
            elif isinstance(event, Verdict):
                records.extend(self._verdict(event, place, int(offsets[place]), opinions.get(int(event.time))))
            elif isinstance(event, Trigger):
                records.extend(self._trigger(event, place))
            elif isinstance(event, Silence):
                records.append(silence_record(event, system=self._system, format_time=self._format))
            else:
                records.extend(self._ranking(event))
        self._settle(len(findings.times), findings.times, records)
        self._advance(findings.times)
        return records

    def finish(self) -> list[FindingRecord]:
        """The input ended: where an open incident stands."""
        incident = self._open_one()
        return [] if incident is None or self._last is None else [self._record(incident, "update", self._last)]

    def standing(self) -> IncidentRecord | None:
        """An open incident as it was last told; changes nothing."""
        incident = self._open_one()
        return None if incident is None else self._record(incident, "update", incident.updated)

    def _events(self, findings: Findings) -> list[tuple[int, Event | None]]:
        """(place in the block, what happened there) in order; None is a long silence before the row."""
        found: list[tuple[int, int, Event | None]] = [(place, 0, None) for place in self._silences(findings.times)]
        kinds: tuple[Sequence[Event], ...] = (
            findings.triggers,
            findings.details,
            findings.rankings,
            findings.silences,
        )
        for order, events in enumerate(kinds, start=1):
            for event in events:
                place = int(np.searchsorted(findings.times, event.time))
                found.append((min(place, len(findings.times) - 1), order, event))
        return [(place, event) for place, _, event in sorted(found, key=lambda item: item[:2])]

    def _silences(self, times: IntArray) -> list[int]:
        """Places of rows before which nothing came for many of the system's ticks."""
        known = [] if self._last is None else [self._last]
        if self._last is not None and self._tick is not None:
            known = [self._last - self._tick, self._last]
        gaps = np.diff(np.concatenate([np.array(known, dtype=np.int64), times]))
        is_long = gaps[1:] > self._settings.max_gap_ticks * gaps[:-1]
        return [int(place) + 2 - len(known) for place in np.flatnonzero(is_long)]

    def _advance(self, times: IntArray) -> None:
        known = [time for time in (self._last, *times[-2:].tolist()) if time is not None]
        if len(known) > 1:
            self._tick = known[-1] - known[-2]
        if len(times):
            self._last = known[-1]
        self._row += len(times)

    def _settle(self, place: int, times: IntArray, records: list[FindingRecord]) -> None:
        """Resolve what became quiet before this place."""
        incident = self._open_one()
        if incident is not None:
            awaited = self._settings.quiet_rows if incident.verdicts else self._settings.trigger_quiet_rows
            quiet = incident.last_active + awaited - self._row
            if quiet < place:
                self._resolve(quiet, times, records, "")

    def _resolve(self, place: int, times: IntArray, records: list[FindingRecord], note: str) -> None:
        """Close the incident at a row of this block, or at the last one before it."""
        incident = self._open_one()
        if incident is not None:
            before = incident.updated if self._last is None else self._last
            incident.resolved = int(times[place]) if place >= 0 else before
            records.append(self._record(incident, "resolved", incident.resolved, note=note))
            self._resolved = copy.deepcopy(incident) if self._settings.cooldown else None
        self._forget_what_is_over()

    def _open(self, by: str, time: int, place: int) -> Incident:
        self._forget_what_is_over()
        again = self._same_again(int(time))
        self._incident = again or Incident(int(time), by, int(time), self._row + place)
        return self._incident

    def _same_again(self, time: int) -> Incident | None:
        """The incident that was resolved last, open again, if its cooldown is not over."""
        last, self._resolved = self._resolved, None
        if last is None or last.resolved is None or time - last.resolved > self._settings.cooldown * NS_PER["s"]:
            return None
        last.resolved, last.note = None, ""
        return last

    def _forget_what_is_over(self) -> None:
        """An episode that still runs goes on, under the resolved incident or the next one."""
        if self._episode is not None and self._episode.is_over:
            self._episode = None
        if self._episode is None and not self.is_open:
            self._incident = None

    def _verdict(self, verdict: Verdict, place: int, offset: int, shadow: float | None) -> list[FindingRecord]:
        incident, change = self._open_one(), ""
        if incident is None and "verdict" in self._settings.opened_by:
            incident, change = self._open("verdict", verdict.time, place), "open"
        if incident is not None:
            was = self._shown(incident)
            incident.score = max(incident.score, float(verdict.score))
            incident.verdicts += 1
            self._go_on(incident, place, verdict.time, is_opening=bool(change))
            change = change or ("update" if self._shown(incident) != was else "")
        record = verdict_record(
            verdict,
            system=self._system,
            ts=self._format(verdict.time),
            severity=self._severity(verdict.score),
            incident_id=None if incident is None else incident_id(self._system, incident),
            shadow={} if shadow is None else {"autoencoder": shadow},
            config_hash=self._config_hash,
            source={"partition": self._partition, "offset": offset},
        )
        return [self._record(incident, change, verdict.time), record] if incident and change else [record]

    def _trigger(self, trigger: Trigger, place: int) -> list[FindingRecord]:
        incident, change = self._open_one(), ""
        if incident is None and "trigger" in self._settings.opened_by:
            incident, change = self._open("trigger", trigger.time, place), "open"
        if incident is not None:
            was = incident.trigger, self._shown(incident)
            if incident.trigger is None:
                incident.trigger = Fired(int(trigger.time), float(trigger.statistic), float(trigger.threshold))
            self._go_on(incident, place, trigger.time, is_opening=bool(change))
            change = change or ("update" if (incident.trigger, self._shown(incident)) != was else "")
        belongs = None if incident is None else incident_id(self._system, incident)
        ts = self._format(trigger.time)
        record = trigger_record(trigger, system=self._system, ts=ts, incident_id=belongs)
        return [self._record(incident, change, trigger.time), record] if incident and change else [record]

    def _go_on(self, incident: Incident, place: int, time: int, *, is_opening: bool) -> None:
        """A verdict or trigger: it is not quiet, and perhaps a page now."""
        incident.last_active = self._row + place
        severity = self._severity(incident.score)
        opened, now = incident.opened, int(time)
        self._paging.consider(incident.page, severity=severity, opened=opened, now=now, is_opening=is_opening)

    def _shown(self, incident: Incident) -> tuple[str, int | None]:
        """What makes a person look again when it changes: the severity, and since when it pages."""
        return "info" if incident.page.is_held else self._severity(incident.score), incident.page.since

    def _ranking(self, ranking: Ranking) -> list[FindingRecord]:
        fields = ranking_fields(ranking, causes=self._settings.max_causes, edges=self._settings.max_edges)
        is_another = self._episode is not None and self._episode.opened != ranking.opened
        self._episode = Episode(int(ranking.opened), int(ranking.onset), fields, bool(ranking.ended))
        incident = self._incident
        if incident is None or (incident.resolved is not None and is_another):
            self._incident = None
            return []
        record = self._record(incident, "update" if incident.resolved is None else "revised", ranking.time)
        if incident.resolved is not None:
            self._forget_what_is_over()
        return [record]

    def _record(self, incident: Incident, status: str, now: int, *, note: str = "") -> IncidentRecord:
        incident.updated = int(now)
        incident.note = note or incident.note
        fields = dict(self._episode.fields) if self._episode else {}
        held = f"held by the budget of {self._settings.pages_per_day:g} pages a day" if incident.page.is_held else ""
        fields["note"] = "; ".join(part for part in (fields.get("note", ""), incident.note, held) if part)
        fired, page = incident.trigger, incident.page
        return IncidentRecord(
            id=incident_id(self._system, incident),
            system=self._system,
            opened_at=self._format(incident.opened),
            updated_at=self._format(now),
            resolved_at=None if incident.resolved is None else self._format(incident.resolved),
            onset_at=self._format(self._episode.onset) if self._episode else None,
            status=status,
            severity=self._shown(incident)[0],
            opened_by=incident.opened_by,
            score=incident.score,
            verdicts=incident.verdicts,
            trigger=None if fired is None else {**msgspec.to_builtins(fired), "ts": self._format(fired.ts)},
            paged_at=None if page.since is None else self._format(page.since),
            suppressed=page.is_suppressed,
            held=page.is_held,
            config_hash=self._config_hash,
            **fields,
        )

    def _severity(self, score: float) -> str:
        """Nobody is woken by a change of state that put no row over the line: that is information."""
        if score >= self._settings.critical_score:
            return "critical"
        return "warning" if score > 1.0 else "info"

    def state(self) -> dict[str, Any]:
        """What JSON can hold."""
        incidents = self._incident, self._episode, self._resolved
        saved = _Saved(self._row, self._last, self._tick, *incidents, self._paging.recent)
        return msgspec.to_builtins(saved)  # type: ignore[no-any-return]

    def load_state(self, state: dict[str, Any]) -> None:
        saved = msgspec.convert(state, _Saved)
        self._row, self._last, self._tick = saved.row, saved.last, saved.tick
        self._incident, self._episode, self._resolved = saved.incident, saved.episode, saved.resolved
        self._paging.recent = saved.pages


def incident_id(system: str, incident: Incident) -> str:
    """The identity of an incident: its system and the time it opened."""
    return content_id("incident", system, incident.opened)
