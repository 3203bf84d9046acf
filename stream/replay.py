"""`tocsin replay`: a recorded file through the same loop as `tocsin run`, as fast as it goes."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from detectors.findings import Standing
from stream.assembly import given_graph, make_background, make_pipeline
from stream.config import load
from stream.errors import InputError
from stream.progress import progress_bar
from stream.replay_options import file_settings
from stream.report import Report
from stream.runner import Runner
from stream.sinks.discard import Discard
from stream.sinks.jsonlines import JsonLines, RejectLines
from stream.sinks.protocol import DeadLetters
from stream.sources.file import FileSource
from stream.tables import ScoreTables

INTERRUPTED = 130
NO_AUTOENCODER = "the autoencoder did not run (--autoencoder lets it score, too)"


def replay(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 130 after Ctrl-C. Raises ConfigError and InputError."""
    config = load(arguments.config)
    graph = given_graph(config, arguments.graph)
    source = FileSource(file_settings(config.source.file, arguments))
    background = make_background(config, in_step=True) if arguments.autoencoder else NO_AUTOENCODER
    off = [background] if isinstance(background, str) else []
    working = None if isinstance(background, str) else background
    pipeline, _ = make_pipeline(config, graph, background=working, format_time=source.format_time)
    kept_in, dead_letters = _dead_letters(arguments)
    sinks = [JsonLines(arguments.findings)] if arguments.findings else []
    tables = ScoreTables(arguments.scores, arguments.variable_scores, source.text_of)
    report = Report(sys.stdout if arguments.output == "text" else None, lambda: source.style)
    error: InputError | None = None
    with progress_bar(lambda: source.progress) as bar:
        runner = Runner(source, pipeline, sinks, dead_letters, observers=[tables, report, *bar])
        with _interruptible(runner) as interrupted:
            try:
                runner.run()
            except InputError as damaged:
                error = damaged
        tables.close()
        report.finish()
    _tell(report, arguments.output, kept_in, off, pipeline.standings())
    if error is not None:
        raise error
    return INTERRUPTED if interrupted else 0


def _dead_letters(arguments: argparse.Namespace) -> tuple[str | None, DeadLetters]:
    """Where rejects go: as told, else beside the input; nowhere if that folder cannot be written to."""
    path = arguments.dead_letters
    if path is None:
        path = "stdin.rejects.jsonl" if arguments.file == "-" else f"{arguments.file}.rejects.jsonl"
        if not os.access(Path(path).parent, os.W_OK):
            return None, Discard()
    return path, RejectLines(path)


@contextmanager
def _interruptible(runner: Runner) -> Iterator[list[int]]:
    """Ctrl-C ends the replay after the batch; the list tells whether it came."""
    came: list[int] = []

    def stop(number: int, _frame: object) -> None:
        came.append(number)
        runner.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(
    report: Report, output: str, kept_in: str | None, off: Sequence[str], standings: Mapping[str, Standing]
) -> None:
    if output == "json":
        print(json.dumps(report.document(off, kept_in, standings)))
        return
    if report.incidents:
        print()
    print("\n".join(report.summary(off, kept_in, standings)))
