"""`tocsin explain`: told when it happened, what happened then and why."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.block import Block
from detectors.causes.explain import explain
from detectors.causes.graph import CausalGraph
from detectors.findings import Explanation
from detectors.settings import MonitorSettings, team
from detectors.warmup import WarmUp
from stream.align import Aligner
from stream.config import load
from stream.console import count, moment
from stream.errors import ConfigError, InputError
from stream.event_time import TimeStyle, from_text
from stream.figure import figure_of
from stream.graph_file import read_graph
from stream.picture import draw
from stream.records import plain, ranking_fields
from stream.replay_options import file_settings
from stream.settings import AlignSettings
from stream.sources.file import FileSource
from stream.told import headline, how_sure, text


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
        story = explain(rows.times, rows.values, variables, at, settings=config.monitor.causes, graph=known)
    except ValueError as error:
        raise InputError(f"cannot explain {arguments.at}: {error}") from None
    warm_up = warming(int(np.searchsorted(rows.times, story.ranking.opened)), rows.values.shape[1], config.monitor)
    if arguments.output == "json":
        print(json.dumps(document(system, story, source, warm_up)))
    elif arguments.output == "svg":
        print(_picture(system, story, variables, source.style), end="")
    else:
        print("\n".join(text(system, story, rows, source.style) + _warming(warm_up)))
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


def warming(before: int, variables: int, settings: MonitorSettings) -> WarmUp:
    """How far a monitor of so many variables was that had seen so many rows before, if nothing was missing in them."""
    rows, needed = settings.warmup_rows, settings.calibration.young_rows
    detectors = dict.fromkeys(team(settings, variables).detectors, (min(before, needed), needed))
    return WarmUp(min(before, rows), rows, detectors)


def document(system: str, story: Explanation, source: FileSource, warm_up: WarmUp) -> dict[str, Any]:
    """The explanation for machines; times as the input writes them. warming: null where it was over."""
    ranking = story.ranking
    times = {"at": ranking.opened, "onset": ranking.onset, "until": ranking.time}
    onsets = [{**plain(onset), "time": source.format_time(onset.time)} for onset in story.onsets]
    return {
        "system": system,
        **{name: source.format_time(ns) for name, ns in times.items()},
        "warming": None if warm_up.is_over else plain(warm_up),
        **ranking_fields(ranking),
        "onsets": onsets,
        "path": plain(story.path),
    }


def _warming(warm_up: WarmUp) -> list[str]:
    if warm_up.rows < warm_up.needed:
        return [f"still warming then: {warm_up.rows} of {warm_up.needed} rows before the first verdict"]
    progress = ", ".join(f"{name} {rows} of {needed} rows" for name, (rows, needed) in warm_up.warming.items())
    return [f"detectors still warming then: {progress}"] if progress else []


def _picture(system: str, story: Explanation, variables: Sequence[str], style: TimeStyle) -> str:
    title = f"{system} at {moment(story.ranking.opened, style)}: {headline(story.ranking)}"
    subtitle = "; ".join(part for part in (how_sure(story.ranking), story.ranking.note) if part)
    return draw(figure_of(story, variables), title=title, subtitle=subtitle)
