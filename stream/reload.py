"""SIGHUP: the config is read again, and what can change in a running process does, whole or not at all.

Everything is checked first: that the file is right, that only options of stream.settings.RELOADABLE differ, and, part
by part, that the new settings can be used. Then every part takes them, which cannot fail. Whatever is wrong is told,
and the old config stays in force as it was. The runner asks between two batches, and while it waits for what is away.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from stream.assembly import check, given_graph
from stream.config import Config, load
from stream.errors import ConfigError, TocsinError
from stream.settings import RELOADABLE
from stream.typed_yaml import option_of

log = logging.getLogger(__name__)

Apply: TypeAlias = Callable[[], None]
# Checks that a part can use a config, and gives what makes it do so. Raises TocsinError, with nothing changed.
Prepare: TypeAlias = Callable[[Config], Apply]


class Reloader:
    """The config of a path, and those who take a new one.

    parts: asked in this order.  tell: whether a reload succeeded.  Raises ConfigError if it is wrong at the start.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_asked = False
        self._number = 0  # of reloads
        self.config = load(path)
        self._graph = sorted(given_graph(self.config))
        self.parts: Sequence[Prepare] = ()
        self.tell: Callable[[bool], None] = lambda ok: None

    def ask(self, *_: object) -> None:
        """For a signal handler: the next call of :meth:`reload_if_asked` does it."""
        self._is_asked = True

    def reload_if_asked(self) -> None:
        if self._is_asked:
            self._is_asked = False
            self._number += 1
            self._reload()

    def _reload(self) -> None:
        try:
            config = load(self._path)
            self._refuse_what_needs_a_restart(config)
            check(config)
            applies = [prepare(config) for prepare in self.parts]
        except TocsinError as error:
            extra = {"what": f"reload {self._number}", "error": str(error)}  # numbered: each is told, also a repeat
            log.error("config not changed, the old one stays in force", extra=extra)
            self.tell(False)
            return
        changed = ", ".join(differing(self.config, config))
        for apply in applies:
            apply()
        self.config = config
        log.info("config read again", extra={"changed": changed or "nothing"})
        self.tell(True)

    def _refuse_what_needs_a_restart(self, config: Config) -> None:
        keys = [key for key in differing(self.config, config) if not is_reloadable(key)]
        if "graph" not in keys and sorted(given_graph(config)) != self._graph:
            keys.append("graph")
        if keys:
            raise ConfigError(f"{self._path}: a restart is needed to change {', '.join(keys)}")


def differing(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The options in which two settings of one kind differ, such as kafka.client_id."""
    if not dataclasses.is_dataclass(new) or type(old) is not type(new):
        if old != new:
            yield path
        return
    for field in dataclasses.fields(new):
        inside = f"{path}.{option_of(field.name)}" if path else option_of(field.name)
        yield from differing(getattr(old, field.name), getattr(new, field.name), inside)


def is_reloadable(key: str) -> bool:
    """
    >>> is_reloadable("log.level"), is_reloadable("kafka.client_id"), is_reloadable("snapshot.every")
    (True, False, True)
    """
    return any(key == known or key.startswith(f"{known}.") for known in RELOADABLE)
