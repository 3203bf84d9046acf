"""From the shop's Prometheus metrics to a recording's columns: two scrapes of a service give one second's values."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families
from shop.peers import Peer, PeerError
from shop.system import SERVICES, Shop

METRICS = (
    "requests_per_s",
    "errors_per_s",
    "latency_p50_s",
    "latency_p95_s",
    "in_flight",
    "cpu_s_per_s",
    "memory_bytes",
)
OWN_METRICS = {"store": ("lock_wait_s_per_s",)}


@dataclass(frozen=True, slots=True)
class Sample:
    """One scrape: single values by name, and the duration histogram's upper bounds and cumulative counts."""

    values: dict[str, float]
    bounds: tuple[float, ...]
    counts: tuple[float, ...]


def sample_of(exposition: str) -> Sample:
    """Reads the text that a service exports."""
    values: dict[str, float] = {}
    buckets: list[tuple[float, float]] = []
    for family in text_string_to_metric_families(exposition):
        for one in family.samples:
            if one.name == "shop_request_duration_seconds_bucket":
                buckets.append((float(one.labels["le"]), one.value))
            else:
                values[one.name] = one.value
    return Sample(values, tuple(bound for bound, _ in buckets), tuple(count for _, count in buckets))


def quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float:
    """A quantile of the requests that a histogram counted, linear inside a bucket; NaN for none.

    bounds: upper bounds, the last +Inf.  counts: cumulative, as long as bounds.

    >>> quantile(0.5, (0.1, 0.2, math.inf), (0, 10, 10))
    0.15000000000000002
    """
    if not counts or counts[-1] <= 0:
        return math.nan
    wanted = share * counts[-1]
    edges = zip(pairwise((0.0, *bounds)), pairwise((0.0, *counts)), strict=True)
    for (low, high), (before, until) in edges:
        if until >= wanted and until > before:
            return low if math.isinf(high) else low + (high - low) * (wanted - before) / (until - before)
    return math.nan


def second(service: str, old: Sample, new: Sample) -> dict[str, float]:
    """What happened in a service between two scrapes, by metric; rates are per second of the service's own clock."""
    elapsed = new.values["shop_uptime_seconds"] - old.values["shop_uptime_seconds"]

    def rate(name: str) -> float:
        return (new.values[name] - old.values[name]) / elapsed

    counts = [after - before for after, before in zip(new.counts, old.counts, strict=True)]
    found = {
        "requests_per_s": rate("shop_request_duration_seconds_count"),
        "errors_per_s": rate("shop_request_errors_total"),
        "latency_p50_s": quantile(0.5, new.bounds, counts),
        "latency_p95_s": quantile(0.95, new.bounds, counts),
        "in_flight": rate("shop_request_duration_seconds_sum"),  # Little's law: seconds spent in requests, a second
        "cpu_s_per_s": rate("shop_cpu_seconds_total"),
        "memory_bytes": new.values["process_resident_memory_bytes"],
    }
    if service == "store":
        found["lock_wait_s_per_s"] = rate("shop_lock_wait_seconds_total")
    return found


def columns() -> list[str]:
    """The names entity.metric of a row's values, in order."""
    return [f"{service}.{metric}" for service in SERVICES for metric in (*METRICS, *OWN_METRICS.get(service, ()))]


class Scraper:
    """Scrapes all services at once, again and again. A service that does not answer leaves its cells empty (NaN)."""

    def __init__(self, shop: Shop, *, timeout_s: float = 0.8) -> None:
        self._peers = {service: Peer(address, timeout_s=timeout_s) for service, address in shop.addresses.items()}
        self._pools = {service: ThreadPoolExecutor(1) for service in shop.addresses}  # a connection is its thread's
        self._last: dict[str, Sample] = {}

    def row(self) -> list[float]:
        """The values since the row before, in the order of columns(); the first row of all has none."""
        pages = {service: pool.submit(self._sample, service) for service, pool in self._pools.items()}
        found: dict[str, float] = {}
        for service, page in pages.items():
            new, old = page.result(), self._last.get(service)
            if new is not None and old is not None:
                found |= {f"{service}.{metric}": value for metric, value in second(service, old, new).items()}
            if new is not None:
                self._last[service] = new
        return [found.get(name, math.nan) for name in columns()]

    def close(self) -> None:
        for service, pool in self._pools.items():
            pool.submit(self._peers[service].close)
            pool.shutdown()

    def _sample(self, service: str) -> Sample | None:
        try:
            return sample_of(self._peers[service].get("/metrics"))
        except PeerError:
            return None
