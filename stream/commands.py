"""The small commands: about a config, about the topics it names, and the version."""

import argparse
import json

from stream.version import VERSION


def show_version(_arguments: argparse.Namespace) -> int:
    print(f"tocsin {VERSION}")
    return 0


def check_config(arguments: argparse.Namespace) -> int:
    """Exit code 0 if it could run. Raises ConfigError."""
    from stream.assembly import check  # noqa: PLC0415  these load the kernels; the version must not wait for them
    from stream.config import load  # noqa: PLC0415

    config = load(arguments.config)
    decides = check(config)
    sinks = ", ".join(config.sinks.kinds)
    print(f"{arguments.config} is right: source {config.source.kind}, sinks {sinks}, config hash {decides}")
    return 0


def show_config(arguments: argparse.Namespace) -> int:
    from stream.config import load, show  # noqa: PLC0415

    print(show(load(arguments.config)), end="")
    return 0


def show_schema(_arguments: argparse.Namespace) -> int:
    from stream.config import schema  # noqa: PLC0415

    print(json.dumps(schema(), indent=2))
    return 0


def create_topics(arguments: argparse.Namespace) -> int:
    """Raises ConfigError and DependencyError."""
    from stream.config import load  # noqa: PLC0415
    from stream.topics import create, planned  # noqa: PLC0415

    config = load(arguments.config)
    state = config.snapshot.topic if config.keeps_state_in_kafka else None
    wanted = planned(config.kafka, partitions=arguments.partitions, replication=arguments.replication, state=state)
    for name, made in create(config.kafka, wanted).items():
        print(f"{made}  {name}")
    return 0
