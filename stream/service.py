"""`tocsin run`: the loop for good, from the configured source to the configured sinks, until SIGTERM.

SIGHUP reads the config again: :func:`_parts` are those who take what may change (stream.reload). :mod:`stream.live`
puts the runner together.
"""

import argparse
import logging
import signal
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial

from prometheus_client import CollectorRegistry

from detectors.background.worker import Background
from stream.assembly import change_pipeline, check, make_background, wants_canary, web_access
from stream.canary import Canary
from stream.config import Config
from stream.limits import Limits, read_limits, within
from stream.live import make_runner
from stream.log_lines import set_up
from stream.metrics import Metrics
from stream.reload import Prepare, Reloader
from stream.resources import Resources
from stream.runner import Runner
from stream.sinks.protocol import Adjustable
from stream.version import VERSION
from stream.web import WebServer

log = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 after SIGTERM, SIGINT or the source's end. Raises the family of stream.errors."""
    limits, reloader = read_limits(), Reloader(arguments.config)
    signal.signal(signal.SIGHUP, reloader.ask)
    config = replace(reloader.config, kafka=within(reloader.config.kafka, limits))
    _set_up_log(arguments, config)
    registry = CollectorRegistry()
    canary = Canary(config.canary, config.kafka.consumer.group, registry) if wants_canary(config) else None
    with ExitStack() as parts:
        background = _background(config, limits, parts)
        observers = [Resources(registry, limits), *([canary] if canary else [])]
        between = reloader.reload_if_asked
        runner, metrics = make_runner(config, registry, background, observers=observers, between=between)
        web = _web(config, registry, runner, parts)
        reloader.parts, reloader.tell = _parts(arguments, runner, metrics, web), metrics.on_reload
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop())
        log.info("started", extra={"version": VERSION, "source": config.source.kind, **_told(limits)})
        if canary:
            _start(canary, config, parts)
        runner.run()
    log.info("stopped", extra={"systems": len(runner.pipeline)})
    return 0


def _set_up_log(arguments: argparse.Namespace, config: Config) -> None:
    set_up(arguments.log_level or config.log.level, arguments.log_format or config.log.format)


def _told(limits: Limits) -> dict[str, int | float]:
    """What the process may use, as far as it is known."""
    return {name: value for name, value in asdict(limits).items() if value is not None}


def _background(config: Config, limits: Limits, parts: ExitStack) -> Background | None:
    """The autoencoders, or one line on why there are none."""
    made: Background | str = "off by the config"
    if config.autoencoder.enabled:
        made = make_background(config, in_step=False, cores=limits.cpu_cores or 1.0)
    if isinstance(made, str):
        log.warning("no autoencoder", extra={"reason": made})
        return None
    parts.callback(made.close)
    return made


def _web(config: Config, registry: CollectorRegistry, runner: Runner, parts: ExitStack) -> WebServer | None:
    if not config.http.listen:
        return None
    web = WebServer(config.http.listen, registry, lambda: runner.is_ready, access=web_access(config))
    parts.callback(web.close)
    return web


def _start(canary: Canary, config: Config, parts: ExitStack) -> None:
    from stream.canary_thread import CanaryThread, KafkaRows  # noqa: PLC0415  it loads the client

    thread = CanaryThread(canary, partial(KafkaRows, config.kafka), every_s=config.canary.every)
    parts.callback(thread.close)


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
