"""Every Prometheus metric of tocsin. One object a process, with the registry handed in; the runner feeds it.

Each failure counter stands beside its attempts, and everything starts at 0, so that a rate is right from the start.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from detectors.findings import Standing
from detectors.online.registry import DETECTORS
from stream.canary_rows import is_canary
from stream.clock import Clock, SystemClock
from stream.decode import REASONS
from stream.errors import DependencyError
from stream.observer import Observer, Running
from stream.pipeline import Outcome
from stream.producer_clocks import DIRECTIONS
from stream.records import IncidentRecord, SilenceRecord, TriggerRecord, VerdictRecord
from stream.snapshot_store import Saved, Snapshot
from stream.sources.protocol import Batch

OPERATIONS = ("read", "restore", "start", "write", "flush", "repeat", "snapshot", "commit")
DURATIONS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SCORES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0)
LOOK_EVERY_S = 1.0
COUNTING = 0.02  # share of the time that may go into counting systems
Count: TypeAlias = Callable[[], int | Mapping[str, int]]  # so many; or so many of each reason


class Metrics(Observer):
    """Counts what the runner tells.

    counts: name (with _total) -> (help, how many so far), of parts that count for themselves.
    canary: what the names of canaries begin with, whose readings, rows and findings are not counted.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        version: str,
        config_hash: str,
        counts: Mapping[str, tuple[str, Count]] | None = None,
        clock: Clock | None = None,
        canary: str = "",
    ) -> None:
        self._clock = clock or SystemClock()
        self._canary = canary
        self._looked_at = -LOOK_EVERY_S
        self._count_at = 0.0
        self._sizes: dict[str, int] = {}  # of each partition's newest snapshot
        self._counted: dict[str, dict[Counter, str]] = {}  # each system's incident that was counted last in each way
        Info("tocsin_build", "The running version.", registry=registry).info({"version": version})
        self._config = Info("tocsin_config", "The running configuration.", registry=registry)
        self.show_config(config_hash)
        self._define_flow(registry)
        self._define_findings(registry)
        self._define_work(registry)
        self.on_reload(True)
        registry.register(_Counts(counts or {}))

    def _define_flow(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.readings = counter("tocsin_readings", "Readings decoded.")
        self.rejects = counter("tocsin_rejects", "Input passed over, by reason.", ["reason"])
        for reason in REASONS:
            self.rejects.labels(reason)
        self.rows = counter("tocsin_rows", "Rows that monitors were stepped through.")
        self.newest = gauge("tocsin_newest_row_timestamp_seconds", "Event time of the newest row of any system.")
        self.lag = gauge("tocsin_lag_messages", "Input known to exist and not read yet.", ["partition"])
        self.partitions = gauge("tocsin_partitions", "Partitions assigned to this process.")
        self.systems = gauge("tocsin_systems", "Systems known to this process.")
        self.in_memory = gauge(
            "tocsin_systems_in_memory", "Systems whose state is in memory, and not in a snapshot only."
        )
        text = "Producers whose time stamps are far from the system's time, or their arrival."
        self.clocks = gauge("tocsin_producers_wrong_clock", text, ["direction"])
        for direction in DIRECTIONS:
            self.clocks.labels(direction)
        self.warming = gauge("tocsin_systems_warming", "Systems that cannot give a verdict yet.")
        text = "Rows seen of rows needed for a verdict, by the system that has seen least; 1 once all are done."
        self.warm_up = gauge("tocsin_warmup_progress_ratio", text)
        text = "Systems in which a detector is still warming, so that its scores are held down."
        self.detectors_warming = gauge("tocsin_detectors_warming", text, ["detector"])
        for name in DETECTORS:
            self.detectors_warming.labels(name)
        self.silent = gauge("tocsin_variables_silent", "Variables that were there regularly, and stay away.")

    def _define_findings(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.verdicts = counter("tocsin_verdicts", "Rows judged anomalous.")
        self.revised_rows = counter("tocsin_rows_revised", "Rows that were scored again, with a late reading.")
        self.revised = counter("tocsin_verdicts_revised", "Verdicts that a late reading made, unmade or changed.")
        self.silences = counter("tocsin_silences", "Entities, or whole systems, that fell silent.")
        self.triggers = counter("tocsin_triggers", "Changes of state that start an analysis.")
        self.opened = counter("tocsin_incidents_opened", "Incidents opened.")
        self.resolved = counter("tocsin_incidents_resolved", "Incidents resolved.")
        self.open = gauge("tocsin_incidents_open", "Incidents that are open.")
        self.paging = gauge("tocsin_incidents_paging", "Incidents that are open and page.")
        self.pages = counter("tocsin_pages", "Incidents that page.")
        self.held = counter("tocsin_pages_held", "Incidents that do not page, for the budget of pages is spent.")
        self.suppressed = counter("tocsin_pages_suppressed", "Incidents in a maintenance window.")
        self.muted = gauge("tocsin_muted_detectors", "Detectors without a vote, for having voted alone.")
        self.late = gauge("tocsin_late_trainings", "Rows in which a variable's LSTM waited for its training, so far.")
        self.line = gauge("tocsin_line_ratio", "Highest line of any system, in units of the undamped one.")
        self.alerts = gauge("tocsin_alert_ratio", "Excursions over the line that began, per row judged.")
        self.shadow = Histogram(
            "tocsin_background_score",
            "Scores of the autoencoder, which has no vote; 1.0 is its line.",
            buckets=SCORES,
            registry=registry,
        )

    def _define_work(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=DURATIONS)
        self.step_seconds = histogram("tocsin_step_duration_seconds", "Stepping one batch through its monitors.")
        self.flush_seconds = histogram("tocsin_flush_duration_seconds", "Flushing all sinks.")
        self.snapshot_seconds = histogram("tocsin_snapshot_duration_seconds", "Writing one snapshot.")
        self.restore_seconds = histogram("tocsin_restore_duration_seconds", "Restoring one partition.")
        self.snapshot_written = counter("tocsin_snapshot_written_bytes", "Written for snapshots.")
        self.snapshot_bytes = gauge("tocsin_snapshot_bytes", "Size of the newest snapshots together.")
        self.snapshot_time = gauge("tocsin_snapshot_timestamp_seconds", "When the newest snapshot was written.")
        text = "Whether the last reading of the config succeeded."
        self.reload_successful = gauge("tocsin_config_last_reload_successful", text)
        text = "When the config was last read with success."
        self.reload_time = gauge("tocsin_config_last_reload_success_timestamp_seconds", text)
        self.attempts = counter("tocsin_dependency_attempts", "Calls to what is outside.", ["operation"])
        self.failures = counter("tocsin_dependency_failures", "Calls to what is outside that failed.", ["operation"])
        self.clock_jumps = counter("tocsin_clock_jumps", "Jumps of this machine's wall clock by over a minute.")
        for operation in OPERATIONS:
            self.attempts.labels(operation)
            self.failures.labels(operation)

    def show_config(self, config_hash: str) -> None:
        self._config.info({"hash": config_hash})

    def on_reload(self, is_successful: bool) -> None:
        """The config was read, at the start or again, and is in force; or it is not, for something is wrong."""
        self.reload_successful.set(is_successful)
        if is_successful:
            self.reload_time.set(self._clock.now_ns() / 1e9)

    def on_read(self, batch: Batch) -> None:
        self.readings.inc(sum(len(r.times) for r in batch.readings if not is_canary(self._canary, r.system)))
        for reject in batch.rejects:
            self.rejects.labels(reject.reason).inc()

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        if outcome.steps:
            self.step_seconds.observe(seconds)
        steps = [step for step in outcome.steps if not is_canary(self._canary, step.system)]
        if steps:
            self.newest.set(max(int(step.rows.times[-1]) for step in steps) / 1e9)
        self.rows.inc(sum(len(step.rows) for step in steps))
        self.revised_rows.inc(outcome.revised)
        for reject in outcome.rejects:
            self.rejects.labels(reject.reason).inc()
        for record in outcome.records:
            if not is_canary(self._canary, record.system):
                self._count(record)
        for score in outcome.shadow:
            self.shadow.observe(score)

    def _count(self, record: object) -> None:
        if isinstance(record, VerdictRecord):
            (self.revised if record.revised else self.verdicts).inc()
        elif isinstance(record, TriggerRecord):
            self.triggers.inc()
        elif isinstance(record, SilenceRecord):
            self.silences.inc(record.state == "silent")
        elif isinstance(record, IncidentRecord):
            self._count_incident(record)

    def _count_incident(self, record: IncidentRecord) -> None:
        if record.status in ("open", "resolved"):
            (self.opened if record.status == "open" else self.resolved).inc()
        ways = {self.pages: record.pages, self.held: record.held, self.suppressed: record.suppressed}
        for counter in (counter for counter, is_so in ways.items() if is_so):
            newest = self._counted.setdefault(record.system, {})
            if newest.get(counter) != record.id:
                newest[counter] = record.id
                counter.inc()

    def on_flush(self, seconds: float) -> None:
        self.flush_seconds.observe(seconds)

    def on_attempt(self, what: str) -> None:
        self.attempts.labels(what).inc()

    def on_failure(self, what: str, error: DependencyError) -> None:
        self.failures.labels(what).inc()

    def on_restore(self, partition: str, snapshot: Snapshot | None, seconds: float) -> None:
        self.restore_seconds.observe(seconds)

    def on_snapshot(self, partition: str, saved: Saved, seconds: float) -> None:
        self.snapshot_seconds.observe(seconds)
        self.snapshot_time.set(self._clock.now_ns() / 1e9)
        self.snapshot_written.inc(saved.written)
        self._sizes[partition] = saved.bytes

    def on_clock_jump(self, seconds: float) -> None:
        self.clock_jumps.inc()

    def on_turn(self, runner: Running) -> None:
        self.partitions.set(len(runner.partitions))
        self.snapshot_bytes.set(sum(size for name, size in self._sizes.items() if name in runner.partitions))
        began = self._clock.monotonic()
        if began >= self._count_at:
            self._count_systems(runner)
            ended = self._clock.monotonic()
            self._count_at = ended + (ended - began) / COUNTING
        if began - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = began
            self._look(runner)

    def _count_systems(self, runner: Running) -> None:
        """Turns come by the hundred a second where rows come one by one, and systems may be thousands."""
        self.open.set(runner.pipeline.open_incidents)
        self.paging.set(runner.pipeline.paging_incidents)
        self.systems.set(len(runner.pipeline))
        self.in_memory.set(runner.pipeline.in_memory)
        self.warming.set(runner.pipeline.warming)

    def _look(self, runner: Running) -> None:
        """What takes a longer look at every partition or system."""
        self._stand(list(runner.pipeline.standings().values()))
        self.lag.clear()
        for partition, count in runner.source.lag().items():
            self.lag.labels(partition).set(count)
        warm_ups = runner.pipeline.warm_ups().values()
        self.warm_up.set(min((progress.rows / progress.needed for progress in warm_ups), default=1.0))
        warming = Counts(name for progress in warm_ups for name in progress.warming)
        for name in {*DETECTORS, *warming}:
            self.detectors_warming.labels(name).set(warming[name])
        for direction in DIRECTIONS:
            self.clocks.labels(direction).set(runner.pipeline.wrong_clocks.get(direction, 0))
        self.silent.set(sum(map(len, runner.pipeline.silent().values())))

    def _stand(self, standings: Sequence[Standing]) -> None:
        self.muted.set(sum(len(standing.muted) for standing in standings))
        self.late.set(sum(standing.late_trainings for standing in standings))
        self.line.set(max((standing.line for standing in standings), default=1.0))
        rows = sum(standing.judged_rows for standing in standings)
        self.alerts.set(sum(standing.alerts for standing in standings) / max(rows, 1))


class _Counts(Collector):
    """Counters that somebody else keeps, read when they are asked for."""

    def __init__(self, counts: Mapping[str, tuple[str, Count]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        for name, (text, count) in self._counts.items():
            found = count()
            if isinstance(found, int):
                yield CounterMetricFamily(name, text, value=found)
                continue
            family = CounterMetricFamily(name, text, labels=["reason"])
            for reason, number in found.items():
                family.add_metric([reason], number)
            yield family
