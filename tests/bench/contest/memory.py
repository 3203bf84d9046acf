"""What a state weighs: the bytes that a snapshot packs, by variable, of a system that has seen its fill of rows."""

from contest import ours
from contest.inputs import series
from contest.table import line, section
from stream.pieces import encode
from stream.pipeline import SystemState

AIMS = {"light, LSTMs": "3", "team": "6"}


def measure(variables: int = 38, rows: int = ours.LEARNED) -> None:
    section(f"state, packed, {variables} variables after {rows:,} rows", "kB/var")
    for kind in ours.KINDS:
        line(kind, f"{packed(kind, variables, rows) / variables / 1e3:.1f}", aim=AIMS.get(kind, "-"))


def packed(kind: str, variables: int, rows: int) -> int:
    """Bytes."""
    watching, step = ours.by_rows(kind, variables)
    step(series(rows, variables))
    return len(encode(SystemState({}, watching.state())))
