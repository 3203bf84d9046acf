"""The clocks the runner is handed: event time comes from the records, these are for pauses and snapshots."""

import time
from typing import Protocol


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


class LenientClock:
    """The wall clock, or what it would say had nobody set it since the start, if that is later.

    What readings are held against: our own clock set back must not make good ones look as if from the future.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_ns, self._began = clock.now_ns(), clock.monotonic()

    def now_ns(self) -> int:
        return max(self._clock.now_ns(), self._undisturbed_ns())

    @property
    def jump_s(self) -> float:
        """How far the wall clock was set forward since the start; below 0: back. A machine that slept looks so, too."""
        return (self._clock.now_ns() - self._undisturbed_ns()) / 1e9

    def _undisturbed_ns(self) -> int:
        return self._began_ns + int((self._clock.monotonic() - self._began) * 1e9)
