"""YAML into frozen dataclasses by their type hints: every mistake is an error with its file and line.

Known types: bool, int, float, str, Literal, X | None, tuple[X, ...], dict[str, X], dataclasses, Any (plain values,
lists and mappings), and those with a meaning: Annotated[float, "duration"] (`30s`), Annotated[int, "size"] (`64MiB`)
and Annotated[str, "secret"], which has a twin `NAME_file`. An option whose name is a word of Python's has a field with
an underscore behind it (`class`: class_). In a value `${NAME}` and `${NAME:-default}` stand for an environment
variable, `$$` for a dollar.
"""

import dataclasses
import math
import os
import re
import types
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from stream.errors import ConfigError

T = TypeVar("T")

DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")


def parse(text: str, name: str) -> yaml.Node | None:
    """The YAML document in a text as nodes that know their lines; None if it is empty. name: shown in errors."""
    try:
        loader = yaml.SafeLoader(text)
        loader.name = name
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {getattr(error, 'reason', error)}") from None


def merge(nodes: list[yaml.Node]) -> yaml.Node | None:
    """Several documents as one mapping. Raises ConfigError where two have the same key (see :func:`pairs`)."""
    for node in nodes:
        if not isinstance(node, yaml.MappingNode):
            raise _error(node, "a config must be a mapping of sections")
    if len(nodes) < 2:
        return nodes[0] if nodes else None
    together = [pair for node in nodes for pair in node.value]
    return yaml.MappingNode("tag:yaml.org,2002:map", together, nodes[0].start_mark, nodes[0].end_mark)


def read(node: yaml.Node | None, kind: type[T], environment: Mapping[str, str] | None = os.environ) -> T:
    """The node as a value of the dataclass; what the node leaves out has its default. Raises ConfigError.

    environment: what `${NAME}` stands for; None: for itself.
    """
    return _Reader(environment).dataclass(node, kind(), "")  # type: ignore[no-any-return]


def pairs(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """(key, key's node, value's node) of a mapping. Raises ConfigError for a key that stands twice."""
    seen: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _error(key, "a key must be plain text")
        if key.value in seen:
            raise _error(key, f"{key.value} was given before, at {_place(seen[key.value])}")
        seen[key.value] = key
        yield key.value, key, value


class _Reader:
    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self._environment = environment

    def dataclass(self, node: yaml.Node | None, default: Any, path: str) -> Any:
        """The default, with what the node says in its place."""
        if node is None or _is_null(node):
            return default
        return self._section(node, type(default), default, path)

    def _section(self, node: yaml.Node, kind: type[Any], default: Any, path: str) -> Any:
        """The node as a value of the dataclass; without a default (None) it must say what has none."""
        if not isinstance(node, yaml.MappingNode):
            raise _error(node, f"{path or 'the config'} must be a mapping of options")
        given: dict[str, Any] = {}
        for name, key, value in pairs(node):
            option, found = self._option(name, key, value, kind, default, path)
            if option in given:
                raise _error(key, f"{option} and {option}_file exclude each other")
            given[option] = found
        missing = [] if default is not None else [name for name in required(kind) if name not in given]
        if missing:
            raise _error(node, f"{path} must have {option_of(missing[0])}")
        try:
            return dataclasses.replace(default, **given) if default is not None else kind(**given)
        except ValueError as error:
            blamed = _blamed(node, str(error))
            joint = "" if not path else ": " if blamed is node else "."
            raise _error(blamed, f"{path}{joint}{error}") from None

    def _option(
        self, option: str, key: yaml.Node, value: yaml.Node, kind: type[Any], default: Any, path: str
    ) -> tuple[str, Any]:
        full = f"{path}.{option}" if path else option
        hints = get_type_hints(kind, include_extras=True)
        name = {option_of(field): field for field in hints}.get(option, option)
        if default is not None and name in hints and dataclasses.is_dataclass(hints[name]):
            return name, self.dataclass(value, getattr(default, name), full)
        if name in hints:
            return name, self.value(value, hints[name], full)
        secret = name.removesuffix("_file")
        if secret != name and meaning(hints.get(secret)) == "secret":
            return secret, self._secret(value, full)
        known = [*map(option_of, hints), *(f"{n}_file" for n, hint in hints.items() if meaning(hint) == "secret")]
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        raise _error(key, f"unknown option {full}; {hint}")

    def value(self, node: yaml.Node, hint: Any, path: str) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            if _is_null(node) and type(None) in arguments:
                return None
            return self.value(node, next(a for a in arguments if a is not type(None)), path)
        if origin is tuple:
            items = enumerate(self._items(node, path))
            return tuple(self.value(item, arguments[0], f"{path}[{place}]") for place, item in items)
        if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
            return {name: self.value(item, arguments[1], f"{path}.{name}") for name, item in self._entries(node, path)}
        if dataclasses.is_dataclass(hint):
            return self._section(node, hint, None, path)  # type: ignore[arg-type]
        return self._plain(node, path) if hint is Any else self._scalar(node, hint, path)

    def _plain(self, node: yaml.Node, path: str) -> Any:
        """Numbers, truths, texts, lists and mappings, by how they are written."""
        if isinstance(node, yaml.MappingNode):
            return {name: self._plain(item, f"{path}.{name}") for name, item in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, path) for item in node.value]
        try:
            return None if _is_null(node) else _resolve(node, self._scalar(node, str, path))
        except ValueError:
            raise _error(node, f"{path} must be a number, true or false, or text, got {node.value!r}") from None

    def _items(self, node: yaml.Node, path: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise _error(node, f"{path} must be a list, such as [a, b]")
        return list(node.value)

    def _entries(self, node: yaml.Node, path: str) -> list[tuple[str, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise _error(node, f"{path} must be a mapping")
        return [(name, value) for name, _, value in pairs(node)]

    def _scalar(self, node: yaml.Node, hint: Any, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode) or _is_null(node):
            raise _error(node, f"{path} must be {describe(hint)}")
        text = self._substitute(node)
        try:
            return _convert(text, hint)
        except ValueError:
            shown = "the secret given" if meaning(hint) == "secret" else repr(text)
            raise _error(node, f"{path} must be {describe(hint)}, got {shown}") from None

    def _substitute(self, node: yaml.ScalarNode) -> str:
        environment = self._environment
        if environment is None:
            return str(node.value)

        def stand_in(match: re.Match[str]) -> str:
            dollar, name, default = match.groups()
            if dollar:
                return "$"
            if name not in environment and default is None:
                raise _error(node, f"the environment has no variable {name}; ${{{name}:-default}} gives a default")
            return environment.get(name, default or "")

        return VARIABLE.sub(stand_in, node.value)

    def _secret(self, node: yaml.Node, path: str) -> str:
        file = self._scalar(node, str, path)
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _error(node, f"{path}: cannot read {file}: {getattr(error, 'strerror', error)}") from None


def _convert(text: str, hint: Any) -> Any:
    """Raises ValueError."""
    if get_origin(hint) is Literal:
        choices = {str(choice): choice for choice in get_args(hint)}
        if text not in choices:
            raise ValueError(text)
        return choices[text]
    word = meaning(hint)
    if word in ("duration", "size"):
        return duration(text) if word == "duration" else size(text)
    if hint is bool:
        return text == "true" if text in ("true", "false") else _refuse(text)
    if hint is float:
        return float(text) if math.isfinite(float(text)) else _refuse(text)
    return int(text) if hint is int else text


def _resolve(node: yaml.Node, text: str) -> Any:
    """A plain value by how it is written, or by what the environment put in its place. Raises ValueError."""
    resolver: Any = yaml.SafeLoader("")
    tag = node.tag if text == node.value else resolver.resolve(yaml.ScalarNode, text, (True, False))
    kinds: dict[str, type[Any]] = {"bool": bool, "int": int, "float": float}
    return _convert(text, kinds.get(str(tag).rpartition(":")[2], str))


def _refuse(text: str) -> Any:
    raise ValueError(text)


def duration(text: str) -> float:
    """Seconds. Raises ValueError.

    >>> duration("250ms"), duration("5m"), duration("0s")
    (0.25, 300.0, 0.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    return float(match[1]) * DURATIONS[match[2]] if match else float(_refuse(text))


def size(text: str) -> int:
    """Bytes. Raises ValueError.

    >>> size("64MiB"), size("512")
    (67108864, 512)
    """
    match = re.fullmatch(r"(\d+)\s?([A-Za-z]*)", text)
    return int(match[1]) * SIZES[match[2]] if match and match[2] in SIZES else int(_refuse(text))


def describe(hint: Any) -> str:
    """What a value of this type looks like, for a person."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    shown = {"duration": "a duration such as 250ms, 30s, 5m, 1h", "size": "a size such as 512KiB, 64MiB"}
    if meaning(hint) in shown:
        return shown[meaning(hint)]
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(hint, "text")


def option_of(field: str) -> str:
    """The option that a field of a dataclass stands for.

    >>> option_of("class_"), option_of("seed")
    ('class', 'seed')
    """
    return field.removesuffix("_")


def required(kind: type[Any]) -> list[str]:
    """The fields of a dataclass that have no default."""
    none = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.default is none and f.default_factory is none]


def meaning(hint: Any) -> str:
    """duration, size or secret for a type that carries one, else empty."""
    return str(hint.__metadata__[0]) if get_origin(hint) is Annotated else ""


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _blamed(node: yaml.MappingNode, message: str) -> yaml.Node:
    """The value whose option the message begins with, else the section."""
    return next((key for key, _ in node.value if message.startswith(f"{key.value} ")), node)


def _place(node: yaml.Node) -> str:
    return f"{node.start_mark.name}:{node.start_mark.line + 1}"


def _error(node: yaml.Node, message: str) -> ConfigError:
    return ConfigError(f"{_place(node)}: {message}")
