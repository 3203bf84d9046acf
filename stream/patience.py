"""Waiting for what is away: a sink, the disk, the cluster. The same call again, with growing pauses.

Life goes on in a pause: the source is asked, so that a membership in a group lives on, sinks that must repeat what
stands open (alerts) do so, and a config may be reloaded. They are handed in as calls. A shutdown bounds the patience.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from stream.clock import Clock
from stream.errors import DependencyError
from stream.observer import Observer
from stream.settings import RunnerSettings

log = logging.getLogger(__name__)
T = TypeVar("T")


class GaveUpError(DependencyError):
    """What was away did not come back in the time that a shutdown leaves."""

    exit_code = 1


class Patience:
    """Insists on a call until it succeeds, or until the drain of a shutdown is over.

    keep_alive: asks the source, paused, for up to so many seconds.  meanwhile: what else goes on.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        clock: Clock,
        observer: Observer,
        *,
        keep_alive: Callable[[float], None],
        meanwhile: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._keep_alive = keep_alive
        self._meanwhile = meanwhile
        self._deadline: float | None = None  # once stopping: when to give up

    @property
    def is_stopping(self) -> bool:
        return self._deadline is not None

    def stop(self) -> None:
        """From now on there are settings.drain seconds. Safe to call from a signal handler, and again."""
        if self._deadline is None:
            self._deadline = self._clock.monotonic() + self._settings.drain

    def insist(self, what: str, action: Callable[[], T]) -> T:
        """Do it, and again with growing pauses while the other end is away.

        Raises GaveUpError once the drain is over, and at once what cannot be waited out.
        """
        pause = self._settings.retry_first
        while True:
            self._observer.on_attempt(what)
            try:
                return action()
            except DependencyError as error:
                if not error.retriable:
                    raise
                self._tell_failure(what, error, pause)
            self._wait(pause, is_reading=what != "read")
            pause = min(2 * pause, self._settings.retry_most)

    def _tell_failure(self, what: str, error: DependencyError, pause: float) -> None:
        self._observer.on_failure(what, error)
        log.warning("dependency away, trying again", extra={"what": what, "error": str(error), "pause_s": pause})
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            raise GaveUpError(f"gave up to {what} while stopping: {error}") from error

    def _wait(self, seconds: float, *, is_reading: bool) -> None:
        """A pause, cut short by a stop. Where the source is well it is kept alive meanwhile."""
        was_stopping = self.is_stopping
        until = self._clock.monotonic() + (min(seconds, self._settings.retry_first) if was_stopping else seconds)
        while (left := until - self._clock.monotonic()) > 0 and self.is_stopping == was_stopping:
            began, slice_s = self._clock.monotonic(), min(left, self._settings.read_timeout)
            if is_reading:
                self._keep_alive(slice_s)
            self._meanwhile()
            self._clock.sleep(max(0.0, slice_s - (self._clock.monotonic() - began)))
