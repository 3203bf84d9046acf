"""`tocsin run`: the loop for good, from the configured source to the configured sinks, until SIGTERM.

SIGHUP reads the config again: :func:`_parts` are those who take what may change (stream.reload).
"""

import argparse
import logging
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from detectors.background.worker import Background
from stream.assembly import change_pipeline, check, given_graph, make_background, make_pipeline, web_access
from stream.config import Config, state_hash
from stream.log_lines import set_up
from stream.metrics import Count, Metrics
from stream.reload import Prepare, Reloader
from stream.runner import Runner
from stream.sinks.protocol import Adjustable, Sink
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
    reloader = Reloader(arguments.config)
    signal.signal(signal.SIGHUP, reloader.ask)
    config = reloader.config
    _set_up_log(arguments, config)
    registry = CollectorRegistry()
    background = _background(config)
    runner, metrics = _runner(config, registry, background, reloader.reload_if_asked)
    web = _web(config, registry, runner)
    reloader.parts, reloader.tell = _parts(arguments, runner, metrics, web), metrics.on_reload
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


def _set_up_log(arguments: argparse.Namespace, config: Config) -> None:
    set_up(arguments.log_level or config.log.level, arguments.log_format or config.log.format)


def _parts(arguments: argparse.Namespace, runner: Runner, metrics: Metrics, web: WebServer | None) -> list[Prepare]:
    """Who takes which of stream.settings.RELOADABLE."""
    parts: list[Prepare] = [
        lambda config: partial(_set_up_log, arguments, config),
        partial(change_pipeline, runner.pipeline),
        lambda config: partial(metrics.show_config, check(config)),
        lambda config: partial(runner.save_every, config.snapshot.every, config.snapshot.share),
        *(sink.prepare for sink in runner.sinks if isinstance(sink, Adjustable)),
    ]
    return parts if web is None else [*parts, lambda config: partial(web.use, web_access(config))]


def _web(config: Config, registry: CollectorRegistry, runner: Runner) -> WebServer | None:
    if not config.http.listen:
        return None
    return WebServer(config.http.listen, registry, lambda: runner.is_ready, access=web_access(config))


def _background(config: Config) -> Background | None:
    """The autoencoders, or one line on why there are none."""
    made = make_background(config, in_step=False) if config.autoencoder.enabled else "off by the config"
    if isinstance(made, str):
        log.warning("no autoencoder", extra={"reason": made})
        return None
    return made


def _runner(
    config: Config, registry: CollectorRegistry, background: Background | None, between: Callable[[], None]
) -> tuple[Runner, Metrics]:
    """The parts, put together. A source joins its group at the first read, so a mistake until then disturbs nobody."""
    graph = given_graph(config)
    pipeline, decides = make_pipeline(config, graph, background=background)
    source = open_source(config)
    sinks, dead_letters = open_sinks(config), open_dead_letters(config)
    snapshots = _snapshots(config, state_hash(config, graph))
    counts = _counts(source, sinks, background)
    if snapshots:
        text = "Snapshots that were not used, by reason."
        counts["tocsin_snapshots_passed_over_total"] = text, lambda: {r: snapshots.passed_over[r] for r in REASONS}
    metrics = Metrics(registry, version=VERSION, config_hash=decides, counts=counts)
    runner = Runner(
        source,
        pipeline,
        sinks,
        dead_letters,
        snapshots=snapshots,
        settings=config.runner,
        every_s=config.snapshot.every,
        share=config.snapshot.share,
        observers=[metrics],
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
