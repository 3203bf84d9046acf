"""A config file, or a folder of them, into frozen settings; and settings back into YAML, a schema and a hash."""

import dataclasses
import hashlib
import json
import os
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from detectors.background.autoencoder import AutoencoderSettings
from detectors.combine.line import LineSettings
from detectors.settings import MonitorSettings
from stream.errors import ConfigError
from stream.settings import IncidentSettings, Settings, at_least
from stream.typed_yaml import DURATIONS, SIZES, meaning, merge, option_of, parse, read, required

SCHEMA_VERSION = 1
# What decides the findings for the same rows; addresses, paths and time-outs do not.
DECISIVE = ("seed", "align", "incidents", "monitor")


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """The autoencoder beside the vote: run has it if enabled, replay if it is asked to."""

    enabled: bool = True  # without torch it is off, which is told
    capacity_rows: int = 10_000  # of its queue; what finds it full is dropped and counted
    share: float = 0.1  # of a core's time, or of a smaller cgroup limit, at most in run: the vote shares it
    model: AutoencoderSettings = field(default_factory=AutoencoderSettings)

    def __post_init__(self) -> None:
        at_least("capacity_rows", self.capacity_rows, 1)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")


@dataclass(frozen=True, slots=True)
class Config(Settings):
    """A whole configuration."""

    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    autoencoder: BackgroundSettings = field(default_factory=BackgroundSettings)


def load(path: str | None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a YAML file, or of all *.yml and *.yaml of a folder; None: the defaults.

    Raises ConfigError with file and line for whatever is wrong.
    """
    documents = [parse(_text(file), str(file)) for file in _files(path)] if path else []
    settings = read(merge([node for node in documents if node is not None]), Config, environment)
    if settings.schema_version != SCHEMA_VERSION:
        raise ConfigError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {settings.schema_version}")
    return settings


def _files(path: str) -> list[Path]:
    root = Path(path)
    if not root.exists():
        raise ConfigError(f"config {path} does not exist")
    if not root.is_dir():
        return [root]
    files = sorted(file for file in root.iterdir() if file.suffix in (".yml", ".yaml") and file.is_file())
    if not files:
        raise ConfigError(f"config folder {path} has no *.yml or *.yaml")
    return files


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read config {file}: {getattr(error, 'strerror', None) or error}") from None


def config_hash(settings: Config, pairs: Iterable[tuple[str, str]] = ()) -> str:
    """A short hash of all that decides the findings, the given graph's (cause, effect) pairs included."""
    return hash_of(*(getattr(settings, name) for name in DECISIVE), sorted(pairs))


def state_hash(settings: Config, pairs: Iterable[tuple[str, str]] = ()) -> str:
    """A short hash of what state depends on: all that decides the findings but what may change while it is kept."""
    monitor = dataclasses.replace(settings.monitor, line=LineSettings())
    return config_hash(dataclasses.replace(settings, incidents=IncidentSettings(), monitor=monitor), pairs)


def hash_of(*things: Any) -> str:
    """A short hash of settings and plain values."""
    plain = [dataclasses.asdict(thing) if dataclasses.is_dataclass(thing) else thing for thing in things]  # type: ignore[arg-type]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def show(settings: Config) -> str:
    """The settings as the YAML that gives them back. Secrets are not shown."""
    return yaml.safe_dump(_shown(settings), sort_keys=False, allow_unicode=True, width=120)


def _shown(value: Any, hint: Any = None) -> Any:
    if dataclasses.is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        names = (field.name for field in dataclasses.fields(value))
        return {option_of(name): _shown(getattr(value, name), hints[name]) for name in names}
    if isinstance(value, tuple | list):
        return [_shown(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _shown(item) for name, item in value.items()}
    word = meaning(hint)
    if word == "secret":
        return "<secret>" if value else ""
    return {"duration": format_duration, "size": format_size}[word](value) if word in ("duration", "size") else value


def format_duration(seconds: float) -> str:
    """The shortest way to write a duration.

    >>> format_duration(300.0), format_duration(0.25), format_duration(90)
    ('5m', '250ms', '90s')
    """
    units = [unit for unit, length in DURATIONS.items() if seconds >= length and (seconds / length).is_integer()]
    unit = units[-1] if units else "ms"
    return f"{seconds / DURATIONS[unit]:.12g}{unit}"


def format_size(count: int) -> str:
    """The shortest way to write a size.

    >>> format_size(64 << 20), format_size(1500)
    ('64MiB', '1500')
    """
    unit = max(
        (u for u in ("", "KiB", "MiB", "GiB") if count % SIZES[u] == 0 and count), key=SIZES.__getitem__, default=""
    )
    return f"{count // SIZES[unit]}{unit}"


def schema() -> dict[str, Any]:
    """A JSON Schema of config files, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tocsin",
        **_schema(Config, Config()),
    }


def _schema(hint: Any, default: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(hint):
        return _section_schema(hint, default)
    origin, arguments = get_origin(hint), get_args(hint)
    shown = {"default": _shown(default, hint)}
    if origin is Literal:
        return {"enum": list(arguments), **shown}
    if origin in (Union, types.UnionType):
        inner = _schema(next(a for a in arguments if a is not type(None)), default)
        return {"anyOf": [{name: part for name, part in inner.items() if name != "default"}, {"type": "null"}], **shown}
    if origin is tuple:
        items = _schema(arguments[0], None)
        return {"type": "array", "items": items if "properties" in items else items | {"default": None}, **shown}
    if meaning(hint) in ("duration", "size"):
        units = "|".join((DURATIONS if meaning(hint) == "duration" else SIZES).keys())
        return {"type": ["string", "integer"], "pattern": rf"^\d+(\.\d+)? ?({units})$", **shown}
    kind = {bool: "boolean", int: "integer", float: "number", str: "string"}.get(hint, "object" if origin else "string")
    return {"type": kind, **shown}


def _section_schema(kind: Any, default: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    own = {f.name: None if f.default is dataclasses.MISSING else f.default for f in dataclasses.fields(kind)}
    defaults = {name: own[name] if default is None else getattr(default, name) for name in hints}
    options = {option_of(name): _schema(hint, defaults[name]) for name, hint in hints.items()}
    twins = {f"{name}_file": {"type": "string"} for name, hint in hints.items() if meaning(hint) == "secret"}
    needed = {"required": [option_of(name) for name in required(kind)]} if required(kind) else {}
    return {"type": "object", "additionalProperties": False, "properties": {**options, **twins}, **needed}
