"""The sinks and the keepers of dead letters by name. A new one is a file beside this and a line here."""

from stream.settings import Settings
from stream.sinks.protocol import DeadLetters, Sink
from stream.sources.registry import known, load

# Name -> the function (settings) -> Sink, or -> DeadLetters; imported when it is asked for.
SINKS: dict[str, str] = {
    "jsonlines": "stream.sinks.jsonlines:build_sink",
    "kafka": "stream.sinks.kafka:build_sink",
    "alertmanager": "stream.sinks.alertmanager:build_sink",
    "webhook": "stream.sinks.webhook:build_sink",
}
DEAD_LETTERS: dict[str, str] = {
    "none": "stream.sinks.discard:build_dead_letters",
    "jsonlines": "stream.sinks.jsonlines:build_dead_letters",
    "kafka": "stream.sinks.kafka:build_dead_letters",
}


def open_sinks(settings: Settings) -> list[Sink]:
    """The sinks that the settings name, in their order. Raises ConfigError or DependencyError."""
    return [load(known(SINKS, "sinks.kinds", kind))(settings) for kind in settings.sinks.kinds]


def open_dead_letters(settings: Settings) -> DeadLetters:
    """Where rejects go. Raises ConfigError or DependencyError."""
    keeper: DeadLetters = load(known(DEAD_LETTERS, "sinks.dead_letters", settings.sinks.dead_letters))(settings)
    return keeper
