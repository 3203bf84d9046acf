"""Incidents of one system: opened by the first verdict or trigger, resolved once it is quiet. Silences pass through.

Causes that are still being worked out then revise the resolved incident, until they are settled or another one opens.
What opens again within the cooldown is the same incident. :mod:`stream.paging` decides which of them page,
:mod:`stream.incident` how one becomes a record and :mod:`stream.block_events` what counts first.

A deterministic state machine in the system's rows: however they are cut into blocks, the same records come out.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from detectors.block import IntArray
from detectors.findings import Findings, Ranking, Silence, Trigger, Verdict
from stream.block_events import Newest, block_events
from stream.event_time import NS_PER
from stream.incident import Episode, Incident, episode_of, fired_by, incident_id, incident_record, severity_of, shown
from stream.paging import Page, Paging
from stream.records import (
    FindingRecord,
    IncidentRecord,
    Time,
    VerdictRecord,
    revised_record,
    silence_record,
    trigger_record,
    verdict_record,
)
from stream.settings import IncidentSettings


class _Saved(msgspec.Struct):
    row: int
    last: int | None
    tick: int | None
    incident: Incident | None
    episode: Episode | None
    resolved: Incident | None
    pages: list[int]


class Incidents:
    """Follows the findings of one system row by row. format_time: ns to the time as records show it.

    is_canary: its incidents never page.
    """

    def __init__(
        self,
        system: str,
        settings: IncidentSettings,
        *,
        partition: str = "",
        config_hash: str = "",
        format_time: Callable[[int], Time],
        is_canary: bool = False,
    ) -> None:
        self.is_canary = is_canary
        self._system = system
        self._partition = partition
        self._format = format_time
        self._row = 0  # rows followed so far
        self._newest = Newest()
        self._incident: Incident | None = None
        self._episode: Episode | None = None
        self._resolved: Incident | None = None  # the last one, while its cooldown may still run
        self._paging = Paging(system, settings, is_canary=is_canary)
        self.use(settings, config_hash)

    def use(self, settings: IncidentSettings, config_hash: str) -> None:
        """Other settings from the next row on. What stands open stays open, and what was a page stays one."""
        self._settings = self._paging.settings = settings
        self._config_hash = config_hash
        self._as_record = partial(
            incident_record,
            system=self._system,
            settings=settings,
            config_hash=config_hash,
            format_time=self._format,
            is_canary=self.is_canary,
        )

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
        for place, event in block_events(findings, self._newest, self._settings.max_gap_ticks):
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
        self._newest = self._newest.after(findings.times)
        self._row += len(findings.times)
        return records

    def finish(self) -> list[FindingRecord]:
        """The input ended: where an open incident stands."""
        incident, now = self._open_one(), self._newest.time
        return [] if incident is None or now is None else [self._record(incident, "update", now)]

    def standing(self) -> IncidentRecord | None:
        """An open incident as it was last told; changes nothing."""
        incident = self._open_one()
        return None if incident is None else self._record(incident, "update", incident.updated)

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
            before = incident.updated if self._newest.time is None else self._newest.time
            incident.resolved = int(times[place]) if place >= 0 else before
            records.append(self._record(incident, "resolved", incident.resolved, note=note))
            self._resolved = copy.deepcopy(incident) if self._settings.cooldown else None
        self._forget_what_is_over()

    def _open(self, by: str, time: int, place: int) -> Incident:
        self._forget_what_is_over()
        self._incident = self._same_again(int(time)) or Incident(int(time), by, int(time), self._row + place)
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
            was = shown(incident, self._settings)
            incident.score = max(incident.score, float(verdict.score))
            incident.verdicts += 1
            self._go_on(incident, place, verdict.time, is_opening=bool(change))
            change = change or ("update" if shown(incident, self._settings) != was else "")
        record = self._verdict_record(
            verdict,
            offset,
            incident_id=None if incident is None else incident_id(self._system, incident),
            shadow={} if shadow is None else {"autoencoder": shadow},
        )
        return [self._record(incident, change, verdict.time), record] if incident and change else [record]

    def revised(self, verdict: Verdict, offset: int, number: int) -> VerdictRecord:
        """The record of a verdict on a row that was followed before. It moves no incident: people were told in time."""
        return revised_record(self._verdict_record(verdict, offset), verdict.time, number)

    def _verdict_record(self, verdict: Verdict, offset: int, **fields: Any) -> VerdictRecord:
        return verdict_record(
            verdict,
            system=self._system,
            ts=self._format(verdict.time),
            severity=severity_of(verdict.score, self._settings),
            config_hash=self._config_hash,
            source={"partition": self._partition, "offset": offset},
            **fields,
        )

    def _trigger(self, trigger: Trigger, place: int) -> list[FindingRecord]:
        incident, change = self._open_one(), ""
        if incident is None and "trigger" in self._settings.opened_by:
            incident, change = self._open("trigger", trigger.time, place), "open"
        if incident is not None:
            was = incident.trigger, shown(incident, self._settings)
            if incident.trigger is None:
                incident.trigger = fired_by(trigger)
            self._go_on(incident, place, trigger.time, is_opening=bool(change))
            change = change or ("update" if (incident.trigger, shown(incident, self._settings)) != was else "")
        belongs = None if incident is None else incident_id(self._system, incident)
        record = trigger_record(trigger, system=self._system, ts=self._format(trigger.time), incident_id=belongs)
        return [self._record(incident, change, trigger.time), record] if incident and change else [record]

    def _go_on(self, incident: Incident, place: int, time: int, *, is_opening: bool) -> None:
        """A verdict or trigger: it is not quiet, and perhaps a page now."""
        incident.last_active = self._row + place
        severity = severity_of(incident.score, self._settings)
        opened, now = incident.opened, int(time)
        self._paging.consider(incident.page, severity=severity, opened=opened, now=now, is_opening=is_opening)

    def _ranking(self, ranking: Ranking) -> list[FindingRecord]:
        is_another = self._episode is not None and self._episode.opened != ranking.opened
        self._episode = episode_of(ranking, self._settings)
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
        return self._as_record(incident, self._episode, status)

    def state(self) -> dict[str, Any]:
        """What JSON can hold."""
        incidents = self._incident, self._episode, self._resolved
        saved = _Saved(self._row, self._newest.time, self._newest.tick, *incidents, self._paging.recent)
        return msgspec.to_builtins(saved)  # type: ignore[no-any-return]

    def load_state(self, state: dict[str, Any]) -> None:
        saved = msgspec.convert(state, _Saved)
        self._row, self._newest = saved.row, Newest(saved.last, saved.tick)
        self._incident, self._episode, self._resolved = saved.incident, saved.episode, saved.resolved
        self._paging.recent = saved.pages
