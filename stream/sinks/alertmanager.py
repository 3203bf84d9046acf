"""Incidents that page, as alerts of Prometheus's Alertmanager (API v2, POST /api/v2/alerts).

Promise: at least once, to at least one Alertmanager. What was written before a flush that returned has been
acknowledged by one of them. Each is sent everything; one that is away misses what the others get, until the next time
it is sent again: they tell each other of silences and notifications, not of alerts. While all are away flush fails, and
nothing is lost. What Alertmanager refuses for good (400) is counted, told and passed over.

An incident is one alert. Labels are its identity: alertname, system, entity (the first cause, once there is one) and
severity. When one of them changes, the alert under the old labels ends and one under the new begins. Values and causes
are annotations. An alert that fires is sent again every `resend`, rows or none, and ends by itself after four times
that: so ends, too, what a process that died left behind.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from stream.clock import Clock, LatestClock, SystemClock
from stream.errors import DependencyError
from stream.event_time import NS_PER, from_record, to_text
from stream.http_target import HttpTarget, RefusedError
from stream.records import FindingRecord, IncidentRecord
from stream.settings import AlertmanagerSettings, Settings
from stream.sinks.alert_text import description, summary

log = logging.getLogger(__name__)

ALERT_NAME = "TocsinIncident"
API = "/api/v2"
AT_ONCE = 64  # alerts of one request
MOST_WAITING = 1000  # then writing waits for a flush
LASTS = 4  # resends that an alert outlasts
AWAY_S = 15.0  # an Alertmanager that failed is not waited for while another one answers
AGAIN_S = 10.0  # a repetition that failed is due again

Labels = tuple[tuple[str, str], ...]


def build_sink(settings: Settings) -> "Alertmanager":
    return Alertmanager(settings.sinks.alertmanager)


@dataclass(frozen=True, slots=True)
class Alert:
    """ended: in ns; None while it fires."""

    labels: Labels
    record: IncidentRecord
    ended: int | None


@dataclass(slots=True)
class _Replica:
    target: HttpTarget
    away_until: float = 0.0


class Alertmanager:
    """A sink of findings; it takes the incidents that page. Raises DependencyError if none of the urls answers."""

    def __init__(self, settings: AlertmanagerSettings, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._latest = LatestClock(self._clock)
        self._use(settings, _targets(settings, "/alerts"))
        self._waiting: dict[tuple[Labels, bool], Alert] = {}  # not acknowledged yet, oldest first
        self._firing: dict[str, Labels] = {}  # by the incident
        self._due = self._clock.monotonic()
        self.passed_over = 0  # alerts that were refused for good
        self._check(settings)

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Raises ConfigError, and DependencyError if other settings lead to no Alertmanager that answers.

        What fires and what waits stays: it is sent to the new urls, and under new labels when it is due again.
        """
        wanted = settings.sinks.alertmanager
        targets = _targets(wanted, "/alerts")
        if wanted != self._settings:
            self._check(wanted)
        return partial(self._use, wanted, targets)

    def _use(self, settings: AlertmanagerSettings, targets: Sequence[HttpTarget]) -> None:
        self._settings = settings
        self._replicas = [_Replica(target) for target in targets]

    def write(self, findings: Sequence[FindingRecord]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.flush()
        for finding in findings:
            if isinstance(finding, IncidentRecord):
                self._take(finding)

    def flush(self) -> None:
        """Raises DependencyError, with all kept, while no Alertmanager acknowledges."""
        while self._waiting:
            keys = list(self._waiting)[:AT_ONCE]
            self._deliver([self._waiting[key] for key in keys])
            for key in keys:
                del self._waiting[key]

    def is_due(self) -> bool:
        return self._clock.monotonic() >= self._due

    def repeat(self, incidents: Sequence[IncidentRecord]) -> None:
        """Send again what fires: of the open incidents those that page. The others are no longer ours."""
        self._due = self._clock.monotonic() + min(AGAIN_S, self._settings.resend)
        ours = {record.id for record in incidents}
        self._firing = {name: labels for name, labels in self._firing.items() if name in ours}
        self.write(incidents)
        self.flush()
        self._due = self._clock.monotonic() + self._settings.resend

    def close(self) -> None:
        """Nothing is held open. What fires ends by itself unless another process goes on with it."""

    def _take(self, record: IncidentRecord) -> None:
        labels = self._labels(record)
        before = self._firing.get(record.id)
        if not record.pages or record.status == "revised":  # its end was told already
            return
        is_over = record.resolved_at is not None
        if is_over or before not in (None, labels):
            self._wait_for(Alert(before or labels, record, self._ended(record)))
            self._firing.pop(record.id, None)
        if not is_over:
            self._wait_for(Alert(labels, record, None))
            self._firing[record.id] = labels

    def _wait_for(self, alert: Alert) -> None:
        """Only the newest word on an alert, and on its end, need be said; the last to come is the last said."""
        key = alert.labels, alert.ended is None
        self._waiting.pop(key, None)
        self._waiting[key] = alert

    def _labels(self, record: IncidentRecord) -> Labels:
        entity = record.causes[0]["entity"] if record.causes else ""
        ours = {"alertname": ALERT_NAME, "system": record.system, "entity": entity, "severity": record.severity}
        return tuple((name, value) for name, value in {**self._settings.labels, **ours}.items() if value)

    def _ended(self, record: IncidentRecord) -> int:
        """When the incident was resolved, or its labels were replaced."""
        return from_record(record.updated_at if record.resolved_at is None else record.resolved_at)

    def _deliver(self, alerts: Sequence[Alert]) -> None:
        now = self._latest.now_ns()
        try:
            self._post(msgspec.json.encode([self._document(alert, now) for alert in alerts]))
        except RefusedError as error:
            if len(alerts) > 1:  # which one of them?
                for alert in alerts:
                    self._deliver([alert])
                return
            self.passed_over += 1
            log.error("alert passed over", extra={"incident": alerts[0].record.id, "error": str(error)})

    def _post(self, body: bytes) -> None:
        """To each; those that were away lately are waited for only if no other one has it."""
        began, failures, acknowledged = self._clock.monotonic(), [], 0
        for replica in sorted(self._replicas, key=lambda replica: replica.away_until > began):
            if acknowledged and replica.away_until > began:
                continue
            try:
                replica.target.post(body)
                acknowledged += 1
                replica.away_until = 0.0
            except DependencyError as error:
                replica.away_until = self._clock.monotonic() + AWAY_S
                failures.append(str(error))
        _tell("an Alertmanager is away, others have the alerts", failures, len(self._replicas))

    def _check(self, settings: AlertmanagerSettings) -> None:
        failures, targets = [], _targets(settings, "/status")
        for target in targets:
            try:
                target.get()
            except DependencyError as error:
                failures.append(str(error))
        _tell("an Alertmanager is away, others answer", failures, len(targets))

    def _document(self, alert: Alert, now: int) -> dict[str, Any]:
        """An alert lies in the past, whatever clock its rows have: one that starts or ends later would not."""
        record = alert.record
        starts = min(from_record(record.opened_at), now)
        lasts = round(LASTS * self._settings.resend) * NS_PER["s"]
        ends = now + lasts if alert.ended is None else max(starts, min(alert.ended, now))
        return {
            "labels": dict(alert.labels),
            "annotations": self._annotations(record),
            "startsAt": to_text(starts),
            "endsAt": to_text(ends),
            "generatorURL": _filled(self._settings.generator_url, {"id": record.id, "system": record.system}),
        }

    def _annotations(self, record: IncidentRecord) -> dict[str, str]:
        told = {"summary": summary(record), "description": description(record), "incident": record.id}
        runbook = self._settings.runbook_url
        return {**told, "runbook_url": runbook} if runbook else told


def _targets(settings: AlertmanagerSettings, path: str) -> list[HttpTarget]:
    bases = [url.rstrip("/") + API for url in settings.urls]
    return [HttpTarget(base + path, settings.http, option="sinks.alertmanager.urls") for base in bases]


def _tell(text: str, failures: Sequence[str], asked: int) -> None:
    """A warning if some failed; if all did, DependencyError."""
    if len(failures) == asked:
        raise DependencyError("; ".join(failures))
    if failures:
        log.warning(text, extra={"error": "; ".join(failures)})


def _filled(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template
