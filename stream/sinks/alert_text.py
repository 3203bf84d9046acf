"""An incident in words, for the person whom it wakes: a line, and what speaks for it."""

from collections.abc import Mapping
from typing import Any

from stream.console import count, number
from stream.records import IncidentRecord

CAUSES = 5  # told in a description


def summary(record: IncidentRecord) -> str:
    """Which system, which cause, how bad."""
    cause = record.causes[0]["entity"] if record.causes else None
    return f"{record.system}: {f'most likely {cause}' if cause else 'no cause named yet'} ({size(record)})"


def description(record: IncidentRecord) -> str:
    """When, then the ranked causes with their evidence, how sure they are, and what to doubt."""
    began = f", began about {record.onset_at}" if record.onset_at is not None else ""
    lines = [f"Opened at {record.opened_at} by a {record.opened_by}{began}; {size(record)}."]
    lines += [f"{place}. {_cause(cause)}" for place, cause in enumerate(record.causes[:CAUSES], start=1)]
    if record.baseline_causes:
        lines.append(f"The plain ranking by deviation says {record.baseline_causes[0]['entity']}.")
    if record.causes:
        settled = "settled" if record.converged else "not settled yet"
        lines.append(f"Confidence {number(record.confidence)}, {settled}.")
    return "\n".join([*lines, *([f"Note: {record.note}."] if record.note else [])])


def size(record: IncidentRecord) -> str:
    if record.verdicts:
        return f"{count(record.verdicts, 'row')} over the line, peak {number(record.score)}"
    fired = record.trigger or {"statistic": 0.0, "threshold": 1.0}
    return f"a change of state, {number(fired['statistic'] / fired['threshold'])} times the trigger's threshold"


def _cause(cause: Mapping[str, Any]) -> str:
    evidence = ", ".join(f"{what} {number(value)}" for what, value in cause["evidence"].items() if value)
    told = ", ".join(part for part in (f"share {number(cause['share'])}", evidence) if part)
    return f"{cause['entity']}: {cause['variable']} ({told})"
