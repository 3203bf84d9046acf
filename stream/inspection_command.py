"""`tocsin state inspect`: what is kept of each partition, as tables or as JSON. It reads only."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream.assembly import check
from stream.config import Config, load
from stream.console import wants_colour
from stream.errors import ConfigError
from stream.inspection import Expected, InspectedSnapshot
from stream.inspection_directory import inspect_directory

YES_NO = {True: "yes", False: "no", None: "?"}
PIPE_COLUMNS = 200  # of what is no terminal


def inspect(arguments: argparse.Namespace) -> int:
    """Exit code 3 if a snapshot is damaged or of a newer version. Raises ConfigError, InputError, DependencyError."""
    found = _inspected(arguments.config, arguments.directory)
    if arguments.output == "json":
        print(json.dumps([dataclasses.asdict(snapshot) for snapshot in found], indent=2))
    else:
        _print(found)
    return 3 if any(snapshot.status in ("damaged", "newer_version") for snapshot in found) else 0


def _inspected(path: str | None, directory: str | None) -> list[InspectedSnapshot]:
    if path is None and directory is None:
        raise ConfigError("state inspect needs a DIRECTORY of snapshots or a --config")
    config = None if path is None else load(path)
    expected = Expected() if config is None else Expected(check(config), config.monitor.warmup_rows)
    if config is not None and directory is None and config.keeps_state_in_kafka:
        from stream.inspection_topic import inspect_topic  # noqa: PLC0415  it loads the client

        return inspect_topic(config.kafka, config.snapshot.topic, expected)
    return inspect_directory(Path(_directory(config) if directory is None else directory), expected)


def _directory(config: Config | None) -> str:
    if config is None or not config.snapshot.directory:
        raise ConfigError("the config keeps no snapshots: snapshot.directory is empty")
    return config.snapshot.directory


def _print(found: Sequence[InspectedSnapshot]) -> None:
    console = Console(no_color=not wants_colour(sys.stdout), highlight=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    if not found:
        console.print("no snapshots")
        return
    console.print(_snapshots(found))
    systems = _systems(found)
    if systems.row_count:
        console.print(systems)


def _snapshots(found: Sequence[InspectedSnapshot]) -> Table:
    table = _table("partition", "generation", "owner", "position", "saved at (UTC)", "version", "config", "matches")
    for name in ("systems", "warm", "rows", "size"):
        table.add_column(name, justify="right")
    table.add_column("status")
    for s in found:
        warm = "?" if any(x.is_warm is None for x in s.systems) else str(sum(bool(x.is_warm) for x in s.systems))
        matches = YES_NO[s.config_matches] if s.config_hash else ""
        saved_at = (s.saved_at or "")[:19].replace("T", " ")
        about = [s.partition, s.generation, s.owner, s.position, saved_at, s.schema_version, s.config_hash, matches]
        counts = (
            [len(s.systems), warm, f"{s.rows:,}", _size(s.bytes)]
            if s.status == "whole"
            else ["", "", "", _size(s.bytes)]
        )
        table.add_row(*_cells([*about, *counts, _status(s)]), style="" if s.status == "whole" else "yellow")
    return table


def _systems(found: Sequence[InspectedSnapshot]) -> Table:
    """Of the newest snapshot of each partition that is whole."""
    table = _table("partition", "system")
    for name in ("variables", "rows", "warm", "size"):
        table.add_column(name, justify="right")
    newest = {snapshot.partition: snapshot for snapshot in reversed(found) if snapshot.status == "whole"}
    for snapshot in reversed(newest.values()):
        for s in snapshot.systems:
            numbers = [s.variables, f"{s.rows:,}", YES_NO[s.is_warm], _size(s.bytes)]
            table.add_row(*_cells([snapshot.partition, s.name, *numbers]))
    return table


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _cells(values: Sequence[Any]) -> list[str]:
    return ["" if value is None else escape(str(value)) for value in values]


def _status(snapshot: InspectedSnapshot) -> str:
    word = snapshot.status.replace("_", " ")
    return f"{word}: {snapshot.detail}" if snapshot.detail else word


def _size(count: int) -> str:
    """
    >>> _size(512), _size(3_200_000)
    ('512', '3.1 MiB')
    """
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)
