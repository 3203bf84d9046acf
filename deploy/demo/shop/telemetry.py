"""What every service of the shop exports for Prometheus: requests, their duration, CPU, memory and its own clock."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# 0.2 ms to 5 s in steps of a fifth: fine enough for quantiles of one second's requests.
BUCKETS_S = tuple(round(0.0002 * 1.2**k, 7) for k in range(56))


class ProcessClocks(Collector):
    """CPU time to the microsecond (the process collector's has 10 ms steps) and the uptime read beside it, so that
    a rate does not depend on when the scrape's answer arrives."""

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("shop_cpu_seconds", "CPU time of the process.", time.process_time())
        yield GaugeMetricFamily("shop_uptime_seconds", "Monotonic clock of the process.", time.monotonic())


class Telemetry:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(ProcessClocks())
        self.durations = Histogram(
            "shop_request_duration_seconds",
            "From a request read to its answer known, the wait for a worker included.",
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.errors = Counter(
            "shop_request_errors", "Requests answered with a status of 400 or more.", registry=self.registry
        )

    def answered(self, status: int, seconds: float) -> None:
        self.durations.observe(seconds)
        if status >= 400:
            self.errors.inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
