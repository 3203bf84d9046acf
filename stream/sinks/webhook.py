"""Incidents that page, one JSON document a POST, signed so that the receiver knows who sent it.

Promise: at least once, in order. Each document that was written before a flush that returned was answered with 2xx;
until then it is kept, and the runner tries again with growing pauses. A repeat has the same `Tocsin-Event`. What the
receiver refuses for good (400, 413, 422) is counted, told and passed over.

    Tocsin-Event: <incident's id>-<hash of the document>
    Tocsin-Timestamp: <seconds since 1970, of this try>
    Tocsin-Signature: v1=<hex of HMAC-SHA256(secret, timestamp + "." + body)>     if there is a secret

The receiver computes the signature over the bytes as they came, compares it in constant time, and refuses timestamps
that are minutes old, so that nobody can send one again: README.md shows the six lines.
"""

import hashlib
import hmac
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from stream.clock import Clock, SystemClock
from stream.event_time import NS_PER
from stream.http_target import HttpTarget, RefusedError
from stream.records import FindingRecord, IncidentRecord, content_id
from stream.settings import Settings, WebhookSettings

log = logging.getLogger(__name__)

MOST_WAITING = 1000  # documents; then writing waits for a flush


def build_sink(settings: Settings) -> "Webhook":
    return Webhook(settings.sinks.webhook)


@dataclass(frozen=True, slots=True)
class _Event:
    id: str
    body: bytes


class Webhook:
    """A sink of findings; it takes the incidents that page, each time they change."""

    def __init__(self, settings: WebhookSettings, *, clock: Clock | None = None) -> None:
        self._use(settings, _target(settings))
        self._clock = clock or SystemClock()
        self._waiting: deque[_Event] = deque()
        self.passed_over = 0  # documents that were refused for good

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Raises ConfigError. What waits goes to the new URL."""
        wanted = settings.sinks.webhook
        return partial(self._use, wanted, _target(wanted))

    def _use(self, settings: WebhookSettings, target: HttpTarget) -> None:
        self._target = target
        self._secret = settings.secret

    def write(self, findings: Sequence[FindingRecord]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.flush()
        for finding in findings:
            if isinstance(finding, IncidentRecord) and finding.pages:
                body = msgspec.json.encode(finding)
                self._waiting.append(_Event(f"{finding.id}-{content_id(body.decode())}", body))

    def flush(self) -> None:
        """Raises DependencyError, with all kept that were not acknowledged."""
        while self._waiting:
            self._deliver(self._waiting[0])
            self._waiting.popleft()

    def close(self) -> None:
        """Nothing is held open."""

    def _deliver(self, event: _Event) -> None:
        timestamp = str(self._clock.now_ns() // NS_PER["s"])
        headers = {"Tocsin-Event": event.id, "Tocsin-Timestamp": timestamp}
        if self._secret:
            headers["Tocsin-Signature"] = signature(self._secret, timestamp, event.body)
        try:
            self._target.post(event.body, headers)
        except RefusedError as error:
            self.passed_over += 1
            log.error("document passed over", extra={"event": event.id, "error": str(error)})


def _target(settings: WebhookSettings) -> HttpTarget:
    return HttpTarget(settings.url, settings.http, option="sinks.webhook.url", is_secret=True)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What the header holds; its receiver computes the same.

    >>> signature("hush", "1700000000", b"{}")
    'v1=763081ea12e3b1f903f958994c023cde07f1224b02a538ad6f959112a2f780ba'
    """
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"
