"""The clocks the runner is handed: event time comes from the records, these are for pauses and snapshots."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)
JUMP_S = 60.0  # more than a clock that is disciplined drifts between two looks


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall clock, nanoseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class LatestClock:
    """The latest time that it may be by all that the wall clock has said: it follows a jump forwards, and not one back.

    For what must not be harmed by a clock that is set wrong for a while: by one that is an hour behind every reading
    would be of the future, and every alert over. Between looks the monotonic clock counts, so it never stands still.

    on_jump: told of each jump, in seconds, beside the log.
    """

    def __init__(self, clock: Clock, on_jump: Callable[[float], None] = lambda seconds: None) -> None:
        self._clock = clock
        self._on_jump = on_jump
        self._ahead = self._latest = self._difference()  # of the wall clock to the monotonic one, ns

    def now_ns(self) -> int:
        ahead = self._difference()
        jump_s = (ahead - self._ahead) / 1e9
        self._ahead, self._latest = ahead, max(ahead, self._latest)
        if abs(jump_s) > JUMP_S:
            log.warning("the wall clock jumped", extra={"by_s": round(jump_s)})
            self._on_jump(jump_s)
        return self._latest + self._monotonic_ns()

    def _difference(self) -> int:
        return self._clock.now_ns() - self._monotonic_ns()

    def _monotonic_ns(self) -> int:
        return int(self._clock.monotonic() * 1e9)
