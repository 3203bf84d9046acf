"""One side of compare.py: a process with the packages of one commit, which answers a line of JSON with a line.

["names", ""]          {"contestants": [...], "presets": [...], "packages": the folder that detectors came from}
["make", contestant]   null, or why this commit does not have it
["run", contestant]    CPU microseconds a row (or an iteration) of its next round
["find", preset]       {"records": [...], "digests": {...}, "rows": n}, or {"error": why}
"""

import hashlib
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import detectors
from contest import ours
from contest.inputs import messages, names, pieces, series
from contest.rounds import Contestant, cpu_us
from detectors.causes.learning import learn, moments
from detectors.causes.settings import LearningSettings
from detectors.monitor import Monitor
from detectors.online.repad2 import Repad2
from detectors.settings import MonitorSettings
from stream.decode import Decoder
from stream.pipeline import Pipeline

PRESETS = ("team", "rola", "majority", "full")
ITERATIONS = 30
STREAM_ROWS, STREAM_VARIABLES = 1_600, 8
BLOCK = 100


def contestants() -> dict[str, Callable[[int, int], Contestant]]:
    """Each is made for so many rounds of so many rows, and one round ahead."""
    made = {f"bytes to verdict, {kind}": partial(through_house, kind) for kind in ours.KINDS}
    return {**made, "RePAD2 alone, a row": repad2, "a graph iteration": graph}


def through_house(kind: str, rounds: int, rows: int, variables: int = 38) -> Contestant:
    step = ours.by_bytes(ours.pipeline(kind))
    found = messages(series(ours.LEARNED + (rounds + 1) * rows, variables))
    step(found[: ours.LEARNED])
    return Contestant(kind, rows, pieces(step, found[ours.LEARNED :], rows))


def repad2(rounds: int, rows: int, variables: int = 38) -> Contestant:
    step, data = ours.one_detector(Repad2(variables)), series((rounds + 1) * rows, variables)
    return Contestant("repad2", rows, pieces(step, data, rows))


def graph(_rounds: int, _rows: int, variables: int = 38) -> Contestant:
    found, labels = moments(series(1_000, variables), 1), names(variables)
    settings = LearningSettings(iterations=ITERATIONS)
    return Contestant("graph", ITERATIONS, lambda: learn(found, labels, settings))


def stream() -> np.ndarray:
    """(T, D) a level, a leak and a drop, and a hundred missing cells."""
    rng, rows = np.random.default_rng(7), series(STREAM_ROWS, STREAM_VARIABLES, seed=3)
    rows[700:740, 1] += 12.0
    rows[1000:1100, 2:4] += np.linspace(0, 15, 100)[:, None]
    rows[1400:1430, 5] = 0.0
    rows[1400:1430, 6] += 9.0
    rows[rng.integers(STREAM_ROWS, size=100), rng.integers(STREAM_VARIABLES, size=100)] = np.nan
    return rows


def find(preset: Any) -> dict[str, Any]:
    """What is found in the stream."""
    house = Pipeline(lambda variables: Monitor(variables, MonitorSettings(preset=preset)))
    decoder, given = Decoder(), messages(stream())
    records: list[str] = []
    digests = {name: hashlib.sha256() for name in ("scores", "verdicts", "variable_scores")}
    for first in range(0, len(given), BLOCK):
        readings, _ = decoder.decode(ours.PARTITION, given[first : first + BLOCK])
        outcome = house.process(readings)
        records += [msgspec.json.encode(record).decode() for record in outcome.records]
        for step in outcome.steps:
            for name, digest in digests.items():
                digest.update(getattr(step.findings, name).tobytes())
    records += [msgspec.json.encode(record).decode() for record in house.finish().records]
    return {"records": records, "digests": {k: d.hexdigest() for k, d in digests.items()}, "rows": len(given)}


class Answers:
    def __init__(self, rounds: int, rows: int) -> None:
        self._rounds, self._rows = rounds, rows
        self._ready: dict[str, Contestant] = {}

    def names(self, _: str) -> dict[str, Any]:
        packages = str(Path(detectors.__file__).parents[1])
        return {"contestants": list(contestants()), "presets": list(PRESETS), "packages": packages}

    def make(self, name: str) -> str | None:
        try:
            self._ready[name] = contestants()[name](self._rounds, self._rows)
        except (ImportError, AttributeError, TypeError, ValueError, KeyError) as error:
            return f"{name}: {error!r}"
        return None

    def run(self, name: str) -> float:
        one = self._ready[name]
        return cpu_us(one.run) / one.units

    def find(self, preset: str) -> dict[str, Any]:
        try:
            return find(preset)
        except (AttributeError, TypeError, ValueError, KeyError) as error:
            return {"error": repr(error)}


def main() -> int:
    answers = Answers(*map(int, sys.argv[1:]))
    for question in sys.stdin:
        what, name = json.loads(question)
        print(json.dumps(getattr(answers, what)(name)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
