"""`tocsin explain`: told when it happened, what happened then and why."""

import argparse
import json
import sys
from typing import Any

import numpy as np

from detectors.block import Block
from detectors.causes.explain import explain
from detectors.causes.graph import CausalGraph
from detectors.findings import Cause, Ranking
from detectors.settings import PRESETS, MonitorSettings
from detectors.warmup import WarmUp
from stream.align import Aligner
from stream.config import load
from stream.console import Paint, count, moment, number
from stream.errors import ConfigError, InputError
from stream.event_time import TimeStyle, from_text
from stream.graph_file import read_graph
from stream.records import plain, ranking_fields
from stream.replay_options import file_settings
from stream.settings import AlignSettings
from stream.sources.file import FileSource

SHOWN = 8  # causes in the text


def explain_file(arguments: argparse.Namespace) -> int:
    """Exit code 0. Raises ConfigError and InputError."""
    config = load(arguments.config)
    path = arguments.graph or config.graph
    graph = read_graph(path) if path else []
    source = FileSource(file_settings(config.source.file, arguments))
    system, variables, rows = read_rows(source, config.align)
    at = parse_time(arguments.at, source.style)
    known = CausalGraph.from_pairs(graph, variables) if graph else None
    if not rows.times[0] <= at <= rows.times[-1]:
        first, last = (source.format_time(int(rows.times[place])) for place in (0, -1))
        raise ConfigError(f"--at must be a time of the input, {first} to {last}, got {arguments.at}")
    try:
        ranking = explain(rows.times, rows.values, variables, at, settings=config.monitor.causes, graph=known)
    except ValueError as error:
        raise InputError(f"cannot explain {arguments.at}: {error}") from None
    warm_up = warming(int(np.searchsorted(rows.times, ranking.opened)), config.monitor)
    if arguments.output == "json":
        print(json.dumps(document(system, ranking, source, warm_up)))
    else:
        print("\n".join(_text(system, ranking, rows, source.style) + _warming(warm_up)))
    return 0


def read_rows(source: FileSource, settings: AlignSettings) -> tuple[str, tuple[str, ...], Block]:
    """All rows of a file of one system. Raises InputError."""
    aligner, system = Aligner(settings), ""
    pieces: list[Block] = []
    rejects = 0
    is_over = False
    while not is_over:
        batch = source.read(1.0)
        for partition in batch.assigned:
            source.start(partition, None)
        for readings in batch.readings:
            if system not in ("", readings.system):
                raise InputError(f"the input has several systems, {system} and {readings.system}; --system chooses one")
            system = readings.system
            aligned = aligner.add(readings)
            pieces.append(aligned.rows)
            rejects += len(aligned.rejects)
        rejects += len(batch.rejects)
        is_over = batch.end
    pieces.append(aligner.flush().rows)
    source.close()
    if rejects:
        print(f"{count(rejects, 'reading')} rejected; tocsin replay tells which", file=sys.stderr)
    times, values = np.concatenate([p.times for p in pieces]), [p.values for p in pieces if len(p)]
    if not values or aligner.variables is None:
        raise InputError(f"{source.name} has no good row")
    return system, aligner.variables, Block(times, np.concatenate(values))


def parse_time(text: str, style: TimeStyle) -> int:
    """A time in the unit of the input, or as ISO 8601. Raises ConfigError."""
    for parse in (style.parse, from_text):
        try:
            return parse(text)
        except ValueError:
            continue
    unit = "as ISO 8601" if style.unit == "iso" else f"in {style.unit}, or as ISO 8601"
    raise ConfigError(f"--at must be a time {unit}, got {text!r}")


def warming(before: int, settings: MonitorSettings) -> WarmUp:
    """How far a monitor was that had seen so many rows before, if nothing was missing in them."""
    rows, needed = settings.warmup_rows, settings.calibration.young_rows
    detectors = dict.fromkeys(PRESETS[settings.preset].detectors, (min(before, needed), needed))
    return WarmUp(min(before, rows), rows, detectors)


def document(system: str, ranking: Ranking, source: FileSource, warm_up: WarmUp) -> dict[str, Any]:
    """The ranking for machines; times as the input writes them. warming: null where it was over."""
    times = {"at": ranking.opened, "onset": ranking.onset, "until": ranking.time}
    told = {name: source.format_time(ns) for name, ns in times.items()}
    return {"system": system, **told, "warming": None if warm_up.is_over else plain(warm_up), **ranking_fields(ranking)}


def _warming(warm_up: WarmUp) -> list[str]:
    if warm_up.rows < warm_up.needed:
        return [f"still warming then: {warm_up.rows} of {warm_up.needed} rows before the first verdict"]
    progress = ", ".join(f"{name} {rows} of {needed} rows" for name, (rows, needed) in warm_up.warming.items())
    return [f"detectors still warming then: {progress}"] if progress else []


def _text(system: str, ranking: Ranking, rows: Block, style: TimeStyle) -> list[str]:
    paint = Paint()
    before = int(np.searchsorted(rows.times, ranking.opened))
    after = int(np.searchsorted(rows.times, ranking.time)) + 1 - before
    lines = [f"{system} at {moment(ranking.opened, style)}: {count(before, 'row')} before, {after:,} from then on"]
    if not ranking.causes:
        return [*lines, "no cause stands out"]
    width = max(len(cause.variable) for cause in ranking.causes[:SHOWN])
    for place, cause in enumerate(ranking.causes[:SHOWN], start=1):
        name = paint(f"{cause.variable:<{width}}", *(["bold", "red"] if place == 1 else []))
        lines.append(f"{place:>3}  {name}  {100 * cause.share:5.1f} %  {paint(_evidence(cause), 'dim')}")
    first, plain_first = ranking.causes[0].entity, ranking.baseline_causes[0].entity if ranking.baseline_causes else ""
    if plain_first:
        lines.append("the plain deviation ranking " + ("agrees" if plain_first == first else f"says {plain_first}"))
    return [*lines, *([ranking.note] if ranking.note else [])]


def _evidence(cause: Cause) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in plain(cause.evidence).items() if value)
