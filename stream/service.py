"""`tocsin run`: the loop for good, from the configured source to the configured sinks, until SIGTERM."""

import argparse
import logging
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from detectors.background.worker import Background
from stream.assembly import given_graph, make_background, make_pipeline
from stream.config import Config, load
from stream.log_lines import set_up
from stream.metrics import Count, Metrics
from stream.runner import Runner
from stream.sinks.protocol import Sink
from stream.sinks.registry import open_dead_letters, open_sinks
from stream.snapshot import Snapshots
from stream.snapshot_store import REASONS, SnapshotStore
from stream.sources.protocol import Source
from stream.sources.registry import open_source
from stream.version import VERSION
from stream.web import WebServer

BACKGROUND = {
    "submitted": "Rows offered to the autoencoders.",
    "dropped": "Rows that found the autoencoders' queue full.",
    "scored": "Rows that the autoencoders scored.",
    "restarts": "Autoencoders that failed and were started anew.",
}
log = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 after SIGTERM, SIGINT or the source's end. Raises the family of stream.errors."""
    config = load(arguments.config)
    set_up(arguments.log_level or config.log.level, arguments.log_format or config.log.format)
    registry = CollectorRegistry()
    background = _background(config)
    runner = _runner(config, registry, background)
    web = WebServer(config.http.listen, registry, lambda: runner.is_ready) if config.http.listen else None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    log.info("started", extra={"version": VERSION, "source": config.source.kind})
    try:
        runner.run()
    finally:
        if web:
            web.close()
        if background:
            background.close()
    log.info("stopped", extra={"systems": len(runner.pipeline)})
    return 0


def _background(config: Config) -> Background | None:
    """The autoencoders, or one line on why there are none."""
    made = make_background(config, in_step=False) if config.autoencoder.enabled else "off by the config"
    if isinstance(made, str):
        log.warning("no autoencoder", extra={"reason": made})
        return None
    return made


def _runner(config: Config, registry: CollectorRegistry, background: Background | None) -> Runner:
    """The parts, put together. A source joins its group at the first read, so a mistake until then disturbs nobody."""
    pipeline, decides = make_pipeline(config, given_graph(config), background=background)
    source = open_source(config)
    sinks, dead_letters = open_sinks(config), open_dead_letters(config)
    snapshots = _snapshots(config, decides)
    counts = _counts(source, sinks, background)
    counts["tocsin_systems_evicted_total"] = "Systems that left memory, idle.", lambda: pipeline.evictions
    counts["tocsin_systems_restored_total"] = "Systems that came back from a snapshot.", lambda: pipeline.restores
    if snapshots:
        text = "Snapshots that were not used, by reason."
        counts["tocsin_snapshots_passed_over_total"] = text, lambda: {r: snapshots.passed_over[r] for r in REASONS}
    return Runner(
        source,
        pipeline,
        sinks,
        dead_letters,
        snapshots=snapshots,
        settings=config.runner,
        every_s=config.snapshot.every,
        share=config.snapshot.share,
        observers=[Metrics(registry, version=VERSION, config_hash=decides, counts=counts)],
        is_live=True,
    )


def _snapshots(config: Config, decides: str) -> SnapshotStore | None:
    if config.keeps_state_in_kafka:
        from stream.snapshot_topic import TopicSnapshots  # noqa: PLC0415  it loads the client

        if config.snapshot.store == "auto" and Path(config.snapshot.directory).is_dir():
            extra = {"directory": config.snapshot.directory, "to_use_it": "snapshot.store: directory"}
            log.warning("state is kept in Kafka, and what the directory holds is not used", extra=extra)
        return TopicSnapshots(config.kafka, config.snapshot, config_hash=decides)
    return Snapshots(config.snapshot, config_hash=decides) if config.snapshot.directory else None


def _counts(source: Source, sinks: Sequence[Sink], background: Background | None) -> dict[str, tuple[str, Count]]:
    """Counters that parts keep for themselves, where they have them."""
    found: dict[str, tuple[str, Count]] = {}
    if hasattr(source, "offset_jumps"):
        text = "Input offsets that were gone, so that reading went on elsewhere."
        found["tocsin_offset_jumps_total"] = text, lambda: source.offset_jumps
    refused = [sink for sink in sinks if hasattr(sink, "passed_over")]
    if refused:
        text = "Findings that a sink's other end refuses to take."
        found["tocsin_findings_refused_total"] = text, lambda: sum(sink.passed_over for sink in refused)
    for name, text in BACKGROUND.items():
        found[f"tocsin_background_{name}_total"] = text, partial(_background_count, background, name)
    return found


def _background_count(background: Background | None, name: str) -> int:
    return int(getattr(background.counts(), name)) if background else 0
