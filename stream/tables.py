"""A replay's tables: one line a row of the input, with its score, and with the scores of its variables."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from stream.errors import ConfigError, InputError
from stream.observer import Observer
from stream.pipeline import Outcome, Step


class ScoreTables(Observer):
    """Writes `time,score,verdict` and `time` with one score for each variable; times as they stood in the input.

    Raises ConfigError if a file cannot be written, InputError at a second system: a line would not say whose it is.
    """

    def __init__(self, scores: str | None, variables: str | None, text_of: Callable[[int], str]) -> None:
        self._text_of = text_of
        self._system: str | None = None
        self._scores = _open(scores)
        self._variables = _open(variables)
        if self._scores:
            self._scores.write("time,score,verdict\n")

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        for step in outcome.steps if self._scores or self._variables else ():
            if self._system is None:
                self._system = step.system
                if self._variables:
                    csv.writer(self._variables, lineterminator="\n").writerow(["time", *step.variables])
            if step.system != self._system:
                raise InputError(
                    f"a table of scores holds one system, and the input has {self._system} and {step.system}"
                )
            self._write(step)

    def _write(self, step: Step) -> None:
        texts = [self._text_of(time) for time in step.rows.times.tolist()]
        if self._scores:
            rows = zip(texts, step.findings.scores.tolist(), step.findings.verdicts.tolist(), strict=True)
            self._scores.writelines(f"{text},{score:.6g},{verdict:d}\n" for text, score, verdict in rows)
        if self._variables:
            line = ",".join(["%s", *["%.6g"] * len(step.variables)]) + "\n"
            values = step.findings.variable_scores.tolist()
            self._variables.writelines(line % (text, *row) for text, row in zip(texts, values, strict=True))

    def close(self) -> None:
        for file in (self._scores, self._variables):
            if file:
                file.close()


def _open(path: str | None) -> TextIO | None:
    if path is None:
        return None
    try:
        return Path(path).open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
