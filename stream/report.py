"""What a replay tells a person: each incident in a few lines, its cause first, and a summary at the end."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from detectors.causes.confidence import UNKNOWN
from detectors.findings import Standing
from detectors.warmup import WarmUp
from stream.console import Paint, apart, count, moment, number, span
from stream.event_time import NS_PER, TimeStyle, from_number, from_text
from stream.observer import Observer, Running
from stream.pipeline import Outcome, Pipeline
from stream.records import IncidentRecord, SilenceRecord, Time, TriggerRecord, VerdictRecord, plain
from stream.sources.protocol import Batch, Reject

TOLD = 0.1  # the line's distance from 1.0 from which on it is told
COLOURS = {"critical": "red", "warning": "yellow", "info": "dim"}


class Report(Observer):
    """Follows a replay. Incidents are written to `out` one after another (out None: nothing is written).

    style: how the input writes times, once it is known.
    """

    def __init__(self, out: TextIO | None, style: Callable[[], TimeStyle]) -> None:
        self._out = out
        self._paint = Paint(out)
        self._style = style
        self._began = time.monotonic()
        self._seconds = 0.0
        self._actuals: dict[str, dict[str, tuple[float, dict[str, Any]]]] = {}  # incident -> variable -> (score, what)
        self.rows = 0
        self.variables = 0
        self.verdicts = 0
        self.revised = 0
        self.triggers = 0
        self.systems: set[str] = set()
        self._times: list[int] = []  # of the first and the newest row
        self.rejects: Counter[str] = Counter()
        self.incidents: dict[str, IncidentRecord] = {}
        self._unwritten: set[str] = set()
        self.background = {"scored": 0, "over": 0}
        self.silences = 0
        self._pipeline: Pipeline | None = None

    def on_turn(self, runner: Running) -> None:
        self._pipeline = runner.pipeline

    def on_read(self, batch: Batch) -> None:
        self._count_rejects(batch.rejects)

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        self.rows += outcome.rows
        self._seconds += seconds
        self._count_rejects(outcome.rejects)
        self.background["scored"] += len(outcome.shadow)
        self.background["over"] += sum(score > 1 for score in outcome.shadow)
        for step in outcome.steps:
            self.systems.add(step.system)
            self.variables = max(self.variables, len(step.variables))
            first, last = int(step.rows.times[0]), int(step.rows.times[-1])
            self._times = [min([first, *self._times]), max([last, *self._times])]
        for record in outcome.records:
            if isinstance(record, VerdictRecord):
                self._verdict(record)
            elif isinstance(record, TriggerRecord):
                self.triggers += 1
            elif isinstance(record, SilenceRecord):
                self._silence(record)
            else:
                self._incident(record)

    def _count_rejects(self, rejects: Sequence[Reject]) -> None:
        self.rejects.update(reject.reason for reject in rejects)

    def _verdict(self, record: VerdictRecord) -> None:
        """Keep what each variable did in the incident's worst row that tells of it."""
        if record.revised:
            self.revised += 1
            return
        self.verdicts += 1
        if record.incident_id is None or record.incident_id not in self.incidents:
            return
        told = self._actuals.setdefault(record.incident_id, {})
        for contribution in record.contributions:
            name = contribution["variable"]
            if name not in told or record.score > told[name][0]:
                told[name] = record.score, contribution

    def _silence(self, record: SilenceRecord) -> None:
        """A silence is written at once; that it is over is not worth a line."""
        if record.state == "silent":
            self.silences += 1
            if self._out is not None:
                where = f" in {record.system}" if len(self.systems) > 1 else ""
                at, since = (moment(self._ns(time), self._style()) for time in (record.ts, record.since))
                named = self._paint(silent_ones(record), "bold", "yellow")
                usual = f"nothing since {since}, {cadence(record)} until then"
                print(f"{self._paint('◌', 'yellow')} {at}  {named}{where}  {self._paint(usual, 'dim')}", file=self._out)

    def _incident(self, record: IncidentRecord) -> None:
        """An incident is written once it is over and its causes are settled, or the next one opens."""
        for earlier in self._of_system(record.system):
            if earlier.id != record.id:
                self._write(earlier)
        if record.id not in self.incidents:
            self._unwritten.add(record.id)
        self.incidents[record.id] = record
        if record.resolved_at is not None and (record.converged or not record.causes):
            self._write(record)

    def _of_system(self, system: str) -> list[IncidentRecord]:
        return [self.incidents[name] for name in sorted(self._unwritten) if self.incidents[name].system == system]

    def finish(self) -> None:
        """Write what was not written yet: open incidents, and those whose causes were not settled."""
        for record in self.incidents.values():
            self._write(record)

    def _write(self, record: IncidentRecord) -> None:
        if record.id not in self._unwritten:
            return
        self._unwritten.discard(record.id)
        told = self._actuals.pop(record.id, {})
        if self._out is not None:
            print("\n".join(self._lines(record, told)), file=self._out, flush=True)

    def _lines(self, record: IncidentRecord, told: dict[str, tuple[float, dict[str, Any]]]) -> list[str]:
        paint, colour = self._paint, COLOURS.get(record.severity, "yellow")
        named = paint(named_cause(record) or "no cause named", "bold", colour)
        where = f" in {record.system}" if len(self.systems) > 1 else ""
        opened = moment(self._ns(record.opened_at), self._style())
        mark = "○" if record.severity == "info" else "●"
        lines = [f"{paint(mark, colour)} {opened}  {named}{where}  {paint(self._size(record), 'dim')}"]
        if record.severity == "info":
            return lines
        seen = what_was_seen(record, {name: contribution for name, (_, contribution) in told.items()})
        lines += [f"    {line}" for line in seen]
        return [*lines, f"    {paint(certainty(record), 'dim')}"] if record.causes else lines

    def _size(self, record: IncidentRecord) -> str:
        is_open = record.resolved_at is None
        until = record.updated_at if record.resolved_at is None else record.resolved_at
        lasted = span(self._ns(until) - self._ns(record.opened_at))
        parts = [record.severity, f"open for {lasted}" if is_open else lasted]
        parts += ["in a maintenance window"] * record.suppressed
        if record.verdicts:
            parts.append(f"{count(record.verdicts, 'row')} over the line, peak {number(record.score)}")
        elif record.trigger:
            times = record.trigger["statistic"] / record.trigger["threshold"]
            parts.append(f"a change of state, {number(times)} times the trigger's threshold")
        return ", ".join(parts)

    def _ns(self, at: Time) -> int:
        return from_text(at) if isinstance(at, str) else from_number(at, self._style().unit)

    def summary(
        self, off: Sequence[str], dead_letters: str | None, standings: Mapping[str, Standing] | None = None
    ) -> list[str]:
        """The lines at the end. off: what did not run, and why; dead_letters: where rejects are kept; standings: system
        -> how its vote stands, where a person should know it."""
        seconds = time.monotonic() - self._began
        systems = f" of {len(self.systems)} systems" if len(self.systems) > 1 else ""
        covered = f" over {span(self._times[1] - self._times[0])}" if self._times else ""
        rate = f", {self.rows / self._seconds:,.0f} rows/s in the monitor" if self._seconds > 0 else ""
        open_ones = sum(record.resolved_at is None for record in self.incidents.values())
        informing = sum(record.severity == "info" for record in self.incidents.values())
        parts = [f"{informing} for information only"] * (informing > 0) + [f"{open_ones} still open"] * (open_ones > 0)
        still = f" ({', '.join(parts)})" if parts else ""
        lines = [
            f"{count(self.rows, 'row')} of {count(self.variables, 'variable')}{systems}{covered} "
            f"in {seconds:.1f} s{rate}",
            f"{count(self.verdicts, 'row')} over the line, {count(self.triggers, 'trigger')}, "
            f"{count(len(self.incidents), 'incident')}{still}",
        ]
        lines += [f"{count(self.revised, 'verdict')} revised by late readings"] if self.revised else []
        lines += self._realised()
        if self.causes:
            lines.append(
                "named as the cause: " + ", ".join(f"{name} ({times})" for name, times in self.causes.most_common(8))
            )
        lines += self._left_open()
        if self.rejects:
            reasons = ", ".join(f"{times:,} {reason}" for reason, times in self.rejects.most_common())
            kept = f", kept in {dead_letters}" if dead_letters else ", not kept (--dead-letters PATH keeps them)"
            lines.append(f"{count(self.rejects.total(), 'reading')} rejected: {reasons}{kept}")
        if self.background["scored"]:
            scored, over = count(self.background["scored"], "row"), self.background["over"]
            lines.append(f"autoencoder: {scored} scored, {over:,} over its line (it has no vote)")
        standing = [text for pair in (standings or {}).items() for text in how_it_stands(*pair)]
        return [*lines, *standing, *off]

    def _realised(self) -> list[str]:
        """How often it would have paged, where the input is long enough to tell."""
        held = sum(record.held for record in self.incidents.values())
        beyond = f"; {held} held by the budget" if held else ""
        rate = f", {number(self._pages() / self._days())} a day" if self._days() >= 1 else ""
        return [f"{count(self._pages(), 'page')}{rate}{beyond}"] if rate or held else []

    def _pages(self) -> int:
        return sum(record.pages for record in self.incidents.values())

    def _days(self) -> float:
        return (self._times[1] - self._times[0]) / (86_400 * NS_PER["s"]) if self._times else 0.0

    def _left_open(self) -> list[str]:
        """What the end of the input cut short: silences and warming."""
        silent = [name for names in self._silent().values() for name in names]
        ended = f"; silent at the end: {listed(silent)}" if silent else ""
        lines = [count(self.silences, "silence") + ended] if self.silences or silent else []
        return lines + [line for name, warm_up in self._warm_ups().items() for line in self._warming(name, warm_up)]

    def _warming(self, system: str, warm_up: WarmUp) -> list[str]:
        where = f"{system}: " if len(self.systems) > 1 else ""
        if warm_up.rows < warm_up.needed:
            return [
                f"{where}still warming: {warm_up.rows:,} of {count(warm_up.needed, 'row')} before the first verdict"
            ]
        progress = ", ".join(f"{name} {rows:,} of {needed:,}" for name, (rows, needed) in warm_up.warming.items())
        return [f"{where}detectors still warming, so that their scores are held down: {progress} rows"]

    def _silent(self) -> dict[str, tuple[str, ...]]:
        return {} if self._pipeline is None else self._pipeline.silent()

    def _warm_ups(self) -> dict[str, WarmUp]:
        return {} if self._pipeline is None else self._pipeline.warm_ups()

    @property
    def causes(self) -> Counter[str]:
        """How many incidents, those for information aside, each entity is the first cause of."""
        named = (r for r in self.incidents.values() if r.causes and r.severity != "info")
        return Counter(named_cause(record) for record in named)

    def document(
        self, off: Sequence[str], dead_letters: str | None, standings: Mapping[str, Standing] | None = None
    ) -> dict[str, Any]:
        """The summary for machines."""
        days = self._days()
        return {
            "rows": self.rows,
            "variables": self.variables,
            "systems": sorted(self.systems),
            "seconds": round(time.monotonic() - self._began, 3),
            "verdicts": self.verdicts,
            "verdicts_revised": self.revised,
            "triggers": self.triggers,
            "pages": self._pages(),
            "pages_per_day": self._pages() / days if days >= 1 else None,
            "incidents": [msgspec.to_builtins(record) for record in self.incidents.values()],
            "silences": self.silences,
            "silent": {system: list(names) for system, names in self._silent().items()},
            "warming": {system: plain(warm_up) for system, warm_up in self._warm_ups().items()},
            "rejects": dict(self.rejects),
            "dead_letters": dead_letters if self.rejects else None,
            "background": self.background,
            "standings": plain(standings or {}),
            "off": list(off),
        }


def how_it_stands(system: str, standing: Standing) -> list[str]:
    """Who has no vote any more, and what became of the line, where it is not as it was at the start.

    >>> how_it_stands("shop", Standing(("ewma",), 1.5, 3, 2000))
    ['shop: no vote any more, for voting alone: ewma', 'shop: the line stands at 1.5, 1.5 alerts for 1,000 rows so far']
    """
    lines = [f"{system}: no vote any more, for voting alone: {', '.join(standing.muted)}"] if standing.muted else []
    if abs(standing.line - 1.0) >= TOLD:
        rate = 1000.0 * standing.alerts / max(1, standing.judged_rows)
        lines.append(
            f"{system}: the line stands at {number(standing.line)}, {number(rate)} alerts for 1,000 rows so far"
        )
    return lines


def silent_ones(record: SilenceRecord) -> str:
    """Who is silent, in a few words."""
    if record.entity is None:
        return f"too little is there to judge: {listed(record.variables)} silent"
    what = "is silent" if record.reason == "missing" else "stopped rising"
    if record.variable is not None:
        return f"{record.variable} {what}"
    return f"{record.entity} {what} ({count(len(record.variables), 'variable')})"


def cadence(record: SilenceRecord) -> str:
    """How often they were there, or rose."""
    what, rows = "there" if record.reason == "missing" else "a rise", round(record.usual_gap_rows) + 1
    return f"{what} every row" if rows == 1 else f"{what} at least once in {rows:,} rows"


def listed(names: Sequence[str], most: int = 5) -> str:
    """
    >>> listed(["a", "b", "c"], most=2), listed([])
    ('a, b and 1 more', 'nothing')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "nothing"


def what_was_seen(record: IncidentRecord, told: dict[str, dict[str, Any]]) -> list[str]:
    """What the cause's variable did against what was expected, and the variable that deviated most beside it."""
    first = record.causes[0] if record.causes else None
    name = first["variable"] if first else None
    others = sorted(told.values(), key=lambda contribution: -(contribution["share"] or 0.0))
    other = next((contribution for contribution in others if contribution["variable"] != name), None)
    width = max((len(name) for name in (name, other and other["variable"]) if name), default=0)
    lines = []
    if name in told:
        lines.append(deviation(told[name], width))
    elif first is not None:
        evidence = ", ".join(f"{what} {number(value)}" for what, value in first["evidence"].items() if value)
        lines.append(f"{name:<{width}}  {evidence}")
    return lines if other is None else [*lines, deviation(other, width)]


def deviation(contribution: dict[str, Any], width: int = 0) -> str:
    """What a variable did, and what was expected of it.

    >>> deviation({"variable": "cpu", "actual": 0.97, "expected": 0.12, "lower": 0.08, "upper": 0.19})
    'cpu  0.97, expected 0.12 (0.08 to 0.19)'
    """
    actual, expected = contribution["actual"], contribution["expected"]
    digits = apart(actual, expected)
    text = f"{contribution['variable']:<{width}}  {number(actual, digits)}"
    if expected is None:
        return text
    lower, upper = number(contribution["lower"], digits), number(contribution["upper"], digits)
    text += f", expected {number(expected, digits)}"
    return text if "?" in (lower, upper) or lower == upper else f"{text} ({lower} to {upper})"


def named_cause(record: IncidentRecord) -> str:
    """The entity that is named as the cause, "unknown", or nothing while there is no list."""
    if not record.causes:
        return ""
    return UNKNOWN if record.answer == UNKNOWN else str(record.causes[0]["entity"])


def certainty(record: IncidentRecord) -> str:
    """How sure the ranking is, who comes next, and whether the plain deviation ranking agrees."""
    entities = list(dict.fromkeys(cause["entity"] for cause in record.causes))
    parts = []
    if record.confidence:
        parts.append(f"confidence {record.confidence:.2f}")  # no probability: a per cent would promise one
    if record.answer == UNKNOWN:
        parts.append(f"perhaps {', '.join(entities[:3])}")
    elif len(entities) > 1:
        parts.append(f"then {', '.join(entities[1:3])}")
    if record.baseline_causes:
        plain = record.baseline_causes[0]["entity"]
        agrees = plain == entities[0]
        parts.append("the plain ranking agrees" if agrees else f"the plain ranking says {plain}")
    if not record.converged and not record.note:
        parts.append("not settled")
    return "; ".join([*parts, *([record.note] if record.note else [])])
