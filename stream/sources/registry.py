"""The sources by name. A new one is a file beside this and a line here."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from stream.errors import ConfigError
from stream.settings import Settings
from stream.sources.protocol import Source

# Name -> the function (settings) -> Source that opens it; imported when it is asked for, so that no client is loaded
# that is not used.
SOURCES: dict[str, str] = {
    "file": "stream.sources.file:build",
    "kafka": "stream.sources.kafka:build",
}


def open_source(settings: Settings) -> Source:
    """The source that the settings name. Raises ConfigError, InputError or DependencyError."""
    source: Source = load(known(SOURCES, "source.kind", settings.source.kind))(settings)
    return source


def known(registry: dict[str, str], option: str, kind: str) -> str:
    """What the registry has under a name. Raises ConfigError."""
    if kind not in registry:
        raise ConfigError(f"{option} must be one of {', '.join(registry)}, got {kind!r}")
    return registry[kind]


def load(place: str) -> Callable[..., Any]:
    """The function at "module:name"."""
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
