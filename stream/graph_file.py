"""A user's causal graph: CSV with a header `cause,effect` and one relation a line, between entities or variables."""

import csv
from pathlib import Path

from stream.errors import ConfigError


def read_graph(path: str) -> list[tuple[str, str]]:
    """(cause, effect) pairs. Raises ConfigError with the line."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read graph {path}: {getattr(error, 'strerror', None) or error}") from None
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    if not rows or rows[0] != ["cause", "effect"]:
        raise ConfigError(
            f"{path}:1: a graph begins with the header cause,effect, got {','.join(rows[0]) if rows else ''!r}"
        )
    for number, row in enumerate(rows[1:], start=2):
        if row and (len(row) != 2 or not all(row)):
            raise ConfigError(f"{path}:{number}: expected cause,effect, got {','.join(row)!r}")
    return [(row[0], row[1]) for row in rows[1:] if row]
