"""A pipeline from a configuration: which monitor each system gets, which graph, which background scorer."""

from collections.abc import Callable, Sequence

from detectors.background.autoencoder import available
from detectors.background.worker import Background, InStep, Worker
from detectors.causes.graph import CausalGraph
from detectors.monitor import Monitor
from stream.config import Config, config_hash, hash_of
from stream.event_time import to_text
from stream.eviction import Recency
from stream.graph_file import read_graph
from stream.pipeline import Pipeline
from stream.records import Time
from stream.sinks.registry import DEAD_LETTERS, SINKS
from stream.sources.registry import SOURCES, known

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
    return config_hash(config, given_graph(config))


def make_background(config: Config, *, in_step: bool) -> Background | str:
    """The autoencoders: in step with the rows for a replay, else in a thread of their own; or why there are none."""
    reason = available()
    if reason is not None:
        return reason
    if in_step:
        return InStep(config.autoencoder.model, seed=config.seed)
    beside = config.autoencoder
    return Worker(beside.model, seed=config.seed, capacity_rows=beside.capacity_rows, share=beside.share)


def make_pipeline(
    config: Config,
    graph: Pairs = (),
    *,
    background: Background | None = None,
    format_time: Callable[[int], Time] = to_text,
) -> tuple[Pipeline, str]:
    """The pipeline and the hash of what decides its findings."""
    decides = config_hash(config, graph)

    def make_monitor(variables: tuple[str, ...]) -> Monitor:
        causal = CausalGraph.from_pairs(graph, variables) if graph else None
        return Monitor(variables, config.monitor, graph=causal, seed=config.seed)

    pipeline = Pipeline(
        make_monitor,
        align=config.align,
        incidents=config.incidents,
        background=background,
        background_id=hash_of(config.seed, config.autoencoder.model),
        config_hash=decides,
        format_time=format_time,
        recency=Recency(config.snapshot.evict_after, config.snapshot.max_systems_in_memory),
    )
    return pipeline, decides
