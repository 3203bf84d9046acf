"""The canary: a system of our own whose anomaly goes into the input and must come out of the sinks.

It shows what no other metric does: that a fault in a watched system would be told now, and after how long. Its rows are
produced into a partition of this process by a thread of its own (stream.canary_thread), for a loop that stands still
must be noticed. Here is what to produce when, what was seen of it, and the metrics; no I/O.

An anomaly is seen when a verdict on it was acknowledged by the sinks; the delay is from the production of its first row
until then. One that cannot even be produced is missed like all others. Only what this process has produced is waited
for, and only while the partition is its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.canary_rows import JUMP_ROWS, row, system_name
from stream.clock import Clock, SystemClock
from stream.event_time import NS_PER, from_record
from stream.observer import Observer, Running
from stream.pipeline import Outcome
from stream.records import VerdictRecord
from stream.settings import CanarySettings

DELAYS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
MOST_AWAITED = 100  # anomalies; those before them are not waited for any more


@dataclass(frozen=True, slots=True)
class CanaryRow:
    """A row to be produced."""

    partition: str
    system: str
    time: int  # ns
    values: tuple[float, ...]


@dataclass(slots=True)
class _Awaited:
    """An anomaly that was produced at a moment of the clock."""

    since: float
    is_missed: bool = False


class Canary(Observer):
    """Told by the runner of what it found, asked by the thread for what to produce; either at any time."""

    def __init__(
        self, settings: CanarySettings, group: str, registry: CollectorRegistry, *, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._group = group
        self._clock = clock or SystemClock()
        self._every = round(settings.every * NS_PER["s"])
        self._period = round(settings.anomaly_every / settings.every)  # in rows
        self._lock = Lock()  # guards all that follows
        self._partition: str | None = None
        self._is_warm = False
        self._slot = 0  # of the last row
        self._jump: int | None = None  # the anomaly that goes on
        self._awaited: dict[int, _Awaited] = {}  # by the anomaly's number
        self._leaving: set[int] = set()  # anomalies of which a verdict is on its way through the sinks
        self._define(registry)

    def _define(self, registry: CollectorRegistry) -> None:
        text = "From the production of a canary's anomaly until the sinks had acknowledged a verdict on it."
        self.delay = Histogram("tocsin_canary_delay_seconds", text, buckets=DELAYS, registry=registry)
        self.anomalies = Counter("tocsin_canary_anomalies", "Anomalies produced.", registry=registry)
        text = "Anomalies whose verdict had not left within canary.deadline."
        self.missed = Counter("tocsin_canary_missed", text, registry=registry)
        text = "When a verdict on an anomaly last left; until the first one, when waiting for it began; 0 before that."
        self.seen = Gauge("tocsin_canary_last_seen_timestamp_seconds", text, registry=registry)
        text = "Time between two anomalies, as configured."
        Gauge("tocsin_canary_interval_seconds", text, registry=registry).set(self._settings.anomaly_every)

    def next_row(self) -> CanaryRow | None:
        """The row of now, once; None if it was made already, or no partition is ours. Looks for missed ones, too."""
        with self._lock:
            self._look_for_missed()
            slot = self._clock.now_ns() // self._every
            if self._partition is None or slot <= self._slot:
                return None
            self._slot = slot
            self._jump = self._jump_at(*divmod(slot, self._period))
            system = system_name(self._settings.system, self._group, self._partition)
            return CanaryRow(self._partition, system, slot * self._every, row(slot, self._jump))

    def _jump_at(self, number: int, place: int) -> int | None:
        """The anomaly of the row at this place of the period. One that could not be seen yet is not made."""
        if place >= JUMP_ROWS or not (self._is_warm or self._jump == number):
            return None
        if self._jump != number:
            self._await(number)
        return number

    def _await(self, jump: int) -> None:
        """From before it is sent: its verdict may leave before the producer hears that the row has arrived."""
        self.anomalies.inc()
        self._awaited[jump] = _Awaited(self._clock.monotonic())
        for old in sorted(self._awaited)[:-MOST_AWAITED]:
            del self._awaited[old]

    def _look_for_missed(self) -> None:
        for awaited in self._awaited.values():
            if not awaited.is_missed and self._clock.monotonic() - awaited.since > self._settings.deadline:
                awaited.is_missed = True
                self.missed.inc()

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        with self._lock:
            for record in outcome.records:
                if isinstance(record, VerdictRecord) and record.system == self._system():
                    slot = from_record(record.ts) // self._every
                    if slot % self._period < JUMP_ROWS:
                        self._leaving.add(slot // self._period)

    def on_flush(self, seconds: float) -> None:
        with self._lock:
            now = self._clock.monotonic()
            for jump in self._leaving & self._awaited.keys():
                self.delay.observe(now - self._awaited.pop(jump).since)
                self.seen.set(self._clock.now_ns() / NS_PER["s"])
            self._leaving.clear()

    def on_turn(self, runner: Running) -> None:
        with self._lock:
            self._settle_on(_first(runner.partitions))
            progress = runner.pipeline.warm_up_of(self._partition or "", self._system())
            self._is_warm = progress is not None and progress.is_over

    def _settle_on(self, partition: str | None) -> None:
        """The canary lives on the first of our partitions, from the next slot on."""
        if partition == self._partition:
            return
        if self._partition is None:
            self.seen.set(self._clock.now_ns() / NS_PER["s"])
        self._partition, self._slot, self._jump = partition, self._clock.now_ns() // self._every, None
        self._awaited.clear()
        self._leaving.clear()

    def _system(self) -> str:
        return system_name(self._settings.system, self._group, self._partition or "")


def _first(partitions: Mapping[str, int | None]) -> str | None:
    """
    >>> _first({"t-10": 1, "t-9": None}), _first({})
    ('t-9', None)
    """
    return min(partitions, key=lambda name: (name.rpartition("-")[0], int(name.rpartition("-")[2])), default=None)
