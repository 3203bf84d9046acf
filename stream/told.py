"""An explanation as text: the causes, what moved first, the way to the symptom, and how sure all that is."""

from collections.abc import Sequence

import numpy as np

from detectors.block import Block
from detectors.causes.confidence import UNKNOWN
from detectors.findings import Cause, Edge, Explanation, Onset, Ranking
from stream.console import Paint, apart, count, moment, number
from stream.event_time import TimeStyle
from stream.figure import TOLD_STATES
from stream.records import plain

SHOWN = 8  # causes, and variables that moved


def text(system: str, story: Explanation, rows: Block, style: TimeStyle) -> list[str]:
    """Lines for a person."""
    ranking, paint = story.ranking, Paint()
    before = int(np.searchsorted(rows.times, ranking.opened))
    after = int(np.searchsorted(rows.times, ranking.time)) + 1 - before
    lines = [f"{system} at {moment(ranking.opened, style)}: {count(before, 'row')} before, {after:,} from then on"]
    if not ranking.causes:
        return [*lines, "no cause stands out"]
    lines += [f"{headline(ranking)}; {how_sure(ranking)}", *_causes(ranking, paint)]
    lines += _moves(story.onsets, style, paint)
    return [
        *lines,
        *_way(story.path, paint),
        *_changed(ranking.edges, paint),
        *([ranking.note] if ranking.note else []),
    ]


def headline(ranking: Ranking) -> str:
    """The answer in a few words."""
    if not ranking.causes:
        return "no cause stands out"
    first = ranking.causes[0].entity
    return f"the cause is unknown, best guess {first}" if ranking.answer == UNKNOWN else f"the cause is likely {first}"


def how_sure(ranking: Ranking) -> str:
    """Confidence, and what the plain ranking would have said."""
    said = f"confidence {ranking.confidence:.2f}"  # no probability: a per cent would promise one
    if not ranking.causes or not ranking.baseline_causes:
        return said
    other = ranking.baseline_causes[0].entity
    agrees = other == ranking.causes[0].entity
    return f"{said}; the plain deviation ranking {'agrees' if agrees else f'says {other}'}"


def _causes(ranking: Ranking, paint: Paint) -> list[str]:
    shown = ranking.causes[:SHOWN]
    width = max(len(cause.variable) for cause in shown)
    lines = []
    for place, cause in enumerate(shown, start=1):
        name = paint(f"{cause.variable:<{width}}", *(["bold", "red"] if place == 1 else []))
        lines.append(f"{place:>3}  {name}  {100 * cause.share:5.1f} %  {paint(_evidence(cause), 'dim')}")
    return lines


def _evidence(cause: Cause) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in plain(cause.evidence).items() if value)


def _moves(onsets: tuple[Onset, ...], style: TimeStyle, paint: Paint) -> list[str]:
    """What moved, in the order in which it did."""
    if not onsets:
        return ["no variable strayed further than noise does"]
    shown = onsets[:SHOWN]
    width = max(len(onset.variable) for onset in shown)
    times = [moment(onset.time, style) for onset in shown]
    longest = max(map(len, times))
    lines = ["what moved first"]
    for at, onset in zip(times, shown, strict=True):
        lines.append(f"  {at:>{longest}}  {onset.variable:<{width}}  {paint(_seen(onset), 'dim')}")
    return [*lines, *([f"  and {len(onsets) - SHOWN:,} more"] if len(onsets) > SHOWN else [])]


def _seen(onset: Onset) -> str:
    """Actual against expected.

    >>> _seen(Onset("cpu", 0, 0, 50.0, 0.97, 0.12, 0.08, 0.16))
    'up to 0.97, expected 0.12 (0.08 to 0.16)'
    """
    digits = apart(onset.actual, onset.expected)
    way = "up" if onset.actual > onset.expected else "down"
    said = f"{way} to {number(onset.actual, digits)}, expected {number(onset.expected, digits)}"
    within = f" ({number(onset.lower, digits)} to {number(onset.upper, digits)})"
    return said if onset.lower == onset.upper else said + within


def _way(path: tuple[Edge, ...], paint: Paint) -> list[str]:
    """From the cause to the symptom."""
    if not path:
        return ["no relation leads from the cause to another variable that moved"]
    lines = ["from the cause to the symptom", f"  {path[0].cause}"]
    width = max(len(edge.effect) for edge in path)
    return [*lines, *(f"  → {edge.effect:<{width}}  {paint(_step(edge), 'dim')}" for edge in path)]


def _step(edge: Edge) -> str:
    """A relation of the way, with the state in which it holds, if not in both."""
    is_of_one = edge.holds in ("since_change", "until_change")
    return f"{_relation(edge)}; {TOLD_STATES[edge.holds]}" if is_of_one else _relation(edge)


def _changed(edges: Sequence[Edge], paint: Paint) -> list[str]:
    """Relations that hold in one state only, the strongest first."""
    lines = []
    for state, heading in (
        ("since_change", "relations only since the change"),
        ("until_change", "relations that ended with the change"),
    ):
        found = [edge for edge in edges if edge.holds == state]
        lines += [heading] if found else []
        lines += [f"  {edge.cause} → {edge.effect}  {paint(_relation(edge), 'dim')}" for edge in found[:SHOWN]]
        lines += [f"  and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    return lines


def _relation(edge: Edge) -> str:
    """
    >>> _relation(Edge("db", "web", 2, 0.61, "given", 400))
    '2 rows later, weight 0.61, given; from 400 rows'
    """
    late = "in the same row" if edge.lag == 0 else f"{count(edge.lag, 'row')} later"
    learned = f"; from {count(edge.rows, 'row')}" if edge.rows else ""
    return f"{late}, weight {number(edge.weight)}, {edge.origin}{learned}"
