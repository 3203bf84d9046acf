"""The runner of `tocsin run`, put together from a configuration: source, pipeline, sinks, snapshots, metrics."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from detectors.background.worker import Background
from stream.assembly import given_graph, make_pipeline
from stream.config import Config, state_hash
from stream.metrics import Count, Metrics
from stream.observer import Observer
from stream.runner import Runner
from stream.sinks.protocol import Sink
from stream.sinks.registry import open_dead_letters, open_sinks
from stream.snapshot import Snapshots
from stream.snapshot_store import REASONS, SnapshotStore
from stream.sources.protocol import Source
from stream.sources.registry import open_source
from stream.version import VERSION

BACKGROUND = {
    "submitted": "Rows offered to the autoencoders.",
    "dropped": "Rows that found the autoencoders' queue full.",
    "scored": "Rows that the autoencoders scored.",
    "restarts": "Autoencoders that failed and were started anew.",
}
log = logging.getLogger(__name__)


def make_runner(
    config: Config,
    registry: CollectorRegistry,
    background: Background | None,
    *,
    observers: Sequence[Observer],
    between: Callable[[], None],
) -> tuple[Runner, Metrics]:
    """A source joins its group at the first read, so a mistake until then disturbs nobody.

    observers: beside the metrics.  between: called between two turns.
    """
    graph = given_graph(config)
    pipeline, decides = make_pipeline(config, graph, background=background)
    source = open_source(config)
    sinks, dead_letters = open_sinks(config), open_dead_letters(config)
    snapshots = _snapshots(config, state_hash(config, graph))
    counts = _counts(source, sinks, snapshots, background)
    counts["tocsin_systems_evicted_total"] = "Systems that left memory, idle.", lambda: pipeline.evictions
    counts["tocsin_systems_restored_total"] = "Systems that came back from a snapshot.", lambda: pipeline.restores
    metrics = Metrics(registry, version=VERSION, config_hash=decides, counts=counts, canary=config.canary.system)
    runner = Runner(
        source,
        pipeline,
        sinks,
        dead_letters,
        snapshots=snapshots,
        settings=config.runner,
        every_s=config.snapshot.every,
        share=config.snapshot.share,
        observers=[metrics, *observers],
        is_live=True,
        between=between,
    )
    return runner, metrics


def _snapshots(config: Config, made_by: str) -> SnapshotStore | None:
    if config.keeps_state_in_kafka:
        from stream.snapshot_topic import TopicSnapshots  # noqa: PLC0415  it loads the client

        if config.snapshot.store == "auto" and Path(config.snapshot.directory).is_dir():
            extra = {"directory": config.snapshot.directory, "to_use_it": "snapshot.store: directory"}
            log.warning("state is kept in Kafka, and what the directory holds is not used", extra=extra)
        return TopicSnapshots(config.kafka, config.snapshot, config_hash=made_by)
    return Snapshots(config.snapshot, config_hash=made_by) if config.snapshot.directory else None


def _counts(
    source: Source, sinks: Sequence[Sink], snapshots: SnapshotStore | None, background: Background | None
) -> dict[str, tuple[str, Count]]:
    """Counters that parts keep for themselves, where they have them."""
    found: dict[str, tuple[str, Count]] = {}
    if hasattr(source, "offset_jumps"):
        text = "Input offsets that were gone, so that reading went on elsewhere."
        found["tocsin_offset_jumps_total"] = text, lambda: source.offset_jumps
    refused = [sink for sink in sinks if hasattr(sink, "passed_over")]
    if refused:
        text = "Findings that a sink's other end refuses to take."
        found["tocsin_findings_refused_total"] = text, lambda: sum(sink.passed_over for sink in refused)
    if snapshots:
        text = "Snapshots that were not used, by reason."
        found["tocsin_snapshots_passed_over_total"] = text, lambda: {r: snapshots.passed_over[r] for r in REASONS}
    for name, text in BACKGROUND.items():
        found[f"tocsin_background_{name}_total"] = text, partial(_background_count, background, name)
    return found


def _background_count(background: Background | None, name: str) -> int:
    return int(getattr(background.counts(), name)) if background else 0
