"""The sources by name. A new one is a file beside this and a line here."""

from importlib import import_module

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
    kind = settings.source.kind
    if kind not in SOURCES:
        raise ConfigError(f"source.kind must be one of {', '.join(SOURCES)}, got {kind!r}")
    module, _, function = SOURCES[kind].partition(":")
    source: Source = getattr(import_module(module), function)(settings)
    return source
