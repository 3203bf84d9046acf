"""Metrics of what the process may use and does use, and one warning when it comes near the end of its memory."""

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from stream.clock import Clock, SystemClock
from stream.limits import Limits, resident_bytes
from stream.observer import Observer, Running

log = logging.getLogger(__name__)

NEARLY_ALL = 0.9  # of the memory limit
LOOK_EVERY_S = 5.0


class Resources(Observer):
    """resident: the bytes in use now, None if nothing tells."""

    def __init__(
        self,
        registry: CollectorRegistry,
        limits: Limits,
        *,
        resident: Callable[[], int | None] = resident_bytes,
        clock: Clock | None = None,
    ) -> None:
        text = "Memory that the process may use: its cgroup's limit, or the machine's memory."
        Gauge("tocsin_memory_limit_bytes", text, registry=registry).set(limits.memory_bytes or float("inf"))
        text = "Cores that the process may use: its cgroup's limit, or the machine's."
        Gauge("tocsin_cpu_limit_cores", text, registry=registry).set(limits.cpu_cores or float("inf"))
        self.used = Gauge("tocsin_memory_resident_bytes", "Memory of the process in RAM.", registry=registry)
        self._limit = limits.memory_bytes
        self._resident = resident
        self._clock = clock or SystemClock()
        self._looked_at = -LOOK_EVERY_S
        self._has_warned = False

    def on_turn(self, runner: Running) -> None:
        if self._clock.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = self._clock.monotonic()
        used = self._resident()
        if used is not None:
            self.used.set(used)
            self._warn(used)

    def _warn(self, used: int) -> None:
        if self._limit is None or self._has_warned or used <= NEARLY_ALL * self._limit:
            return
        self._has_warned = True
        extra = {"resident_bytes": used, "limit_bytes": self._limit, "share": round(used / self._limit, 2)}
        log.warning("memory is nearly used up; at the limit the process is killed", extra=extra)
