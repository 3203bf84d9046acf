"""What a state weighs: the bytes that a snapshot packs, by variable, of a system that has seen its fill of rows."""

import numpy as np

from contest import ours
from contest.inputs import series
from contest.table import line, note, section
from stream.pieces import encode
from stream.pipeline import SystemState

AIMS = {"light, LSTMs": "3", "team": "6"}
PLACES = 4  # of readings, as the messages of the bench have them


def measure(variables: int = 38, rows: int = ours.LEARNED) -> None:
    section(f"state, packed, {variables} variables after {rows:,} rows", "kB/var")
    readings = series(rows, variables)
    for kind in ours.KINDS:
        small, large = (packed(kind, given) / variables / 1e3 for given in (readings.round(PLACES), readings))
        line(kind, f"{small:.1f}", f"{large:.1f}", aim=AIMS.get(kind, "-"))
    note(f"ours: readings to {PLACES} places; beside it: readings that use all digits of a double")


def packed(kind: str, readings: np.ndarray) -> int:
    """Bytes, after these readings (T, D)."""
    watching, step = ours.by_rows(kind, readings.shape[1])
    step(readings)
    return len(encode(SystemState({}, watching.state())))
