"""Which incidents page people: severe enough, long enough, in no maintenance window, within the budget, no canary's.

Sinks that wake somebody (Alertmanager, webhooks) tell of these only; all others tell of every incident. Decided at each
verdict and trigger of an incident, by event time, so that however rows are cut into blocks the same incidents page.
"""

import msgspec

from stream.event_time import NS_PER
from stream.settings import IncidentSettings

SEVERITIES = ("info", "warning", "critical")
DAY_NS = 86_400 * NS_PER["s"]


class Page(msgspec.Struct):
    """How an incident stands with those who are paged."""

    since: int | None = None  # when it first paged
    is_suppressed: bool = False  # by a maintenance window, or as a canary's
    is_held: bool = False  # by the budget


class Paging:
    """The rules of one system, and the times (ns) of the pages that its budget still counts."""

    def __init__(self, system: str, settings: IncidentSettings, *, is_canary: bool = False) -> None:
        self._is_canary = is_canary
        self._system = system
        self.settings = settings
        self.recent: list[int] = []

    def consider(self, page: Page, *, severity: str, opened: int, now: int, is_opening: bool) -> None:
        """At a verdict or trigger of an incident. What was a page stays one; what was not may become one."""
        covered = self._is_canary or any(w.covers(self._system, now) for w in self.settings.maintenance)
        page.is_suppressed = covered and (page.since is None or page.is_suppressed or is_opening)
        if page.since is not None:
            return
        lasted = (now - opened) / NS_PER["s"]
        is_due = lasted >= self.settings.page_after and self._is_severe(severity) and not page.is_suppressed
        page.is_held = is_due and not self._is_within_budget(now)
        if is_due and not page.is_held:
            page.since = now
            self._spend(now)

    def _is_severe(self, severity: str) -> bool:
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.settings.page_from)

    def _is_within_budget(self, now: int) -> bool:
        """At most N pages in any 24 hours, not only on average; one every 1/N days where N is below 1."""
        most = self._most()
        if most is None or len(self.recent) < most:
            return True
        return now - self.recent[-most] >= most / self.settings.pages_per_day * DAY_NS

    def _spend(self, now: int) -> None:
        most = self._most()
        if most is not None:
            self.recent = [*self.recent, now][-most:]

    def _most(self) -> int | None:
        """Pages that the budget looks back at; None: there is none."""
        return max(1, int(self.settings.pages_per_day)) if self.settings.pages_per_day else None
