"""A progress bar on standard error, if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream.console import count
from stream.observer import Observer, Running
from stream.pipeline import Outcome


class Bar(Observer):
    """Shows the share of the input that was read, the rows and the open incidents."""

    def __init__(self, show: Callable[..., None], position: Callable[[], tuple[int, int | None]]) -> None:
        self._show = show
        self._position = position
        self._rows = 0

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        self._rows += outcome.rows

    def on_turn(self, runner: Running) -> None:
        done, total = self._position()
        incidents = runner.pipeline.open_incidents
        text = count(self._rows, "row") + (f", {count(incidents, 'incident')} open" if incidents else "")
        self._show(completed=done, total=total, description=text)


@contextmanager
def progress_bar(position: Callable[[], tuple[int, int | None]]) -> Iterator[list[Observer]]:
    """The observers that draw a bar: one on a terminal, none elsewhere."""
    if not sys.stderr.isatty():
        yield []
        return
    from rich.console import Console  # noqa: PLC0415  a quarter of a second that only a terminal pays
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    console = Console(stderr=True)
    both = sys.stdout.isatty()  # then what is printed meanwhile goes above the bar
    with Progress(*columns, console=console, transient=True, redirect_stdout=both, redirect_stderr=True) as progress:
        task = progress.add_task("getting ready (the first run compiles for a while)", total=None)
        yield [Bar(lambda **values: progress.update(task, **values), position)]
