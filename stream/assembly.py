"""A pipeline from a configuration: which monitor each system gets, which graph, which background scorer."""

from collections.abc import Callable, Sequence
from functools import partial

from detectors.background.autoencoder import available
from detectors.background.worker import Background, InStep, Worker
from detectors.causes.graph import CausalGraph
from detectors.monitor import Monitor
from stream.asked import MakeMonitor
from stream.config import Config, config_hash, hash_of
from stream.errors import ConfigError
from stream.event_time import to_text
from stream.eviction import Recency
from stream.graph_file import read_graph
from stream.pipeline import Pipeline
from stream.records import Time
from stream.sinks.registry import DEAD_LETTERS, SINKS
from stream.sources.registry import SOURCES, known
from stream.web_config import WebAccess

Pairs = Sequence[tuple[str, str]]


def given_graph(config: Config, override: str | None = None) -> Pairs:
    """The user's (cause, effect) pairs; none if there is no graph. Raises ConfigError."""
    path = override or config.graph
    return read_graph(path) if path else []


def check(config: Config) -> str:
    """Whether all that the configuration names is there; gives the config hash. Raises ConfigError."""
    known(SOURCES, "source.kind", config.source.kind)
    for kind in config.sinks.kinds:
        known(SINKS, "sinks.kinds", kind)
    known(DEAD_LETTERS, "sinks.dead_letters", config.sinks.dead_letters)
    wants_canary(config)
    web_access(config)
    return config_hash(config, given_graph(config))


def wants_canary(config: Config) -> bool:
    """Raises ConfigError where there is no topic to send its rows to."""
    if config.canary.enabled and config.source.kind != "kafka":
        raise ConfigError(f"canary.enabled needs source.kind kafka, got {config.source.kind}")
    return config.canary.enabled


def web_access(config: Config) -> WebAccess | None:
    """Who may use the HTTP port, by its web config file. Raises ConfigError."""
    return WebAccess(config.http.web_config_file) if config.http.web_config_file else None


def make_background(config: Config, *, in_step: bool, cores: float = 1.0) -> Background | str:
    """The autoencoders: in step with the rows for a replay, else in a thread of their own; or why there are none.

    cores: that the process may use. With less than one the thread's share is of that, so that the vote keeps the rest.
    """
    reason = available()
    if reason is not None:
        return reason
    if in_step:
        return InStep(config.autoencoder.model, seed=config.seed)
    beside = config.autoencoder
    share = beside.share * min(1.0, cores)
    return Worker(beside.model, seed=config.seed, capacity_rows=beside.capacity_rows, share=share)


def monitor_maker(config: Config, graph: Pairs = ()) -> MakeMonitor:
    def make_monitor(variables: tuple[str, ...]) -> Monitor:
        causal = CausalGraph.from_pairs(graph, variables) if graph else None
        return Monitor(variables, config.monitor, graph=causal, seed=config.seed)

    return make_monitor


def make_pipeline(
    config: Config,
    graph: Pairs = (),
    *,
    background: Background | None = None,
    format_time: Callable[[int], Time] = to_text,
) -> tuple[Pipeline, str]:
    """The pipeline and the hash of what decides its findings."""
    decides = config_hash(config, graph)
    pipeline = Pipeline(
        monitor_maker(config, graph),
        align=config.align,
        incidents=config.incidents,
        background=background,
        background_id=hash_of(config.seed, config.autoencoder.model),
        config_hash=decides,
        format_time=format_time,
        canary=config.canary.system,
        recency=Recency(config.snapshot.evict_after, config.snapshot.max_systems_in_memory),
    )
    return pipeline, decides


def change_pipeline(pipeline: Pipeline, config: Config) -> Callable[[], None]:
    """What makes a pipeline use the options of a config that may change while it runs. Raises ConfigError."""
    graph = given_graph(config)
    return partial(
        pipeline.use,
        monitor_maker(config, graph),
        incidents=config.incidents,
        line=config.monitor.line,
        config_hash=config_hash(config, graph),
    )
