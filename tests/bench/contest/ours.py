"""tocsin as a contestant: a monitor fed rows, or a pipeline fed the bytes of messages.

light          half-space trees (as river's), autoregression and EWMA: what is nearest to the chain of river's
light, LSTMs   the same, and RePAD2 on every variable
team           the default detectors, no triggers or causes: the vote
default        the default monitor: the team, triggers, and causes on the noise's false alarms
everything     every detector, triggers and causes; the autoencoder works beside the rows and is not in here
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from contest.inputs import names, times
from detectors.block import Block, Rows
from detectors.causes.settings import CausesSettings
from detectors.monitor import Monitor
from detectors.settings import PRESETS, MonitorSettings, Preset
from stream.decode import Decoder, Raw
from stream.pipeline import Pipeline

LEARNED = 5_000  # rows, before the clock runs: segments have their full length from row 4,096
BLOCK = 256
PARTITION = "bench-0"
NO_CAUSES = CausesSettings(enabled=False)
LIGHT = ("half_space_trees", "autoregression", "ewma")
OWN = {  # presets that only the bench has
    "light": Preset(LIGHT, LIGHT[:2], "weighted"),
    "light, LSTMs": Preset((*LIGHT, "repad2"), LIGHT[:2], "weighted"),
}
KINDS = ("light", "light, LSTMs", "team", "default", "everything")


@contextmanager
def own_presets() -> Iterator[None]:
    """A monitor asks for its preset when it is made only."""
    PRESETS.update(OWN)
    try:
        yield
    finally:
        for name in OWN:
            del PRESETS[name]


def settings_of(kind: str) -> MonitorSettings:
    if kind in OWN:
        own: Any = kind
        with own_presets():
            return MonitorSettings(preset=own, causes=NO_CAUSES)
    if kind == "team":
        return MonitorSettings(causes=NO_CAUSES)
    return MonitorSettings(preset="full") if kind == "everything" else MonitorSettings()


def monitor(kind: str, variables: Sequence[str]) -> Monitor:
    chosen = settings_of(kind)
    with own_presets():
        return Monitor(variables, chosen)


def by_rows(kind: str, variables: int, block: int = BLOCK) -> tuple[Monitor, Callable[[np.ndarray], None]]:
    """Steps rows (T, D)."""
    watching = monitor(kind, names(variables))

    def step(rows: np.ndarray) -> None:
        for first in range(0, len(rows), block):
            part = rows[first : first + block]
            watching.step(Block(times(len(part), watching.rows), part))

    return watching, step


def pipeline(kind: str) -> Pipeline:
    return Pipeline(lambda variables: monitor(kind, variables))


def by_bytes(house: Pipeline, block: int = BLOCK) -> Callable[[Sequence[Raw]], int]:
    """Steps messages; gives the bytes of what was found."""
    decoder = Decoder()

    def step(messages: Sequence[Raw]) -> int:
        said = 0
        for first in range(0, len(messages), block):
            readings, _ = decoder.decode(PARTITION, messages[first : first + block])
            said += sum(len(msgspec.json.encode(record)) for record in house.process(readings).records)
        return said

    return step


def one_detector(detector: Any, segment: int = 16) -> Callable[[np.ndarray], None]:
    """Scores and learns rows (T, D), a segment at a time, as the monitor does."""
    seen = 0

    def step(rows: np.ndarray) -> None:
        nonlocal seen
        for first in range(0, len(rows), segment):
            part = Rows.complete(np.ascontiguousarray(rows[first : first + segment]), first=seen)
            detector.score(part)
            detector.learn(part, np.ones(len(part)))
            seen += len(part)

    return step
