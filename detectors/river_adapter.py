"""tocsin as one of river's anomaly detectors, for pipelines and evaluations of river's.

from detectors.river_adapter import TocsinDetector
model = TocsinDetector(seed=1)
score = model.score_one({"pump.flow": 3.1, "pump.power": 7.0})
model.learn_one({"pump.flow": 3.1, "pump.power": 7.0})
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from river import base

from detectors.block import Block, State
from detectors.causes.settings import CausesSettings
from detectors.findings import Findings
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings


class TocsinDetector(base.AnomalyDetector):  # type: ignore[misc]
    """A whole monitor of one system, row by row: score_one, then learn_one, as river does it.

    The first dict fixes the variables, in its order. A later one may lack some, or hold None or NaN: those are missing.
    Names that the first did not have are passed over.

    A monitor takes a row in one step, so score_one takes it for the time being: learn_one of the same row keeps the
    step, anything else undoes it first. So scoring alone leaves no trace, twice the same row or two different ones, and
    learn_one without score_one takes the row as if it had been scored. Rows that look anomalous are learned with less
    weight, whatever river says: that is the guard's work.

    Cost: that of the monitor, and a copy of its state a row (some half a millisecond at 40 variables).

    Parameters
    ----------
    settings
        Of the monitor. None: the defaults without triggers, causes and other rules, whose findings river does not take.
    seed
        Of whatever draws.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> model = TocsinDetector(seed=1)
    >>> for flow, power in rng.normal(size=(300, 2)):
    ...     model.learn_one({"flow": flow, "power": flow + power})
    >>> model.score_one({"flow": 0.1, "power": 0.2}) < 1.0 < model.score_one({"flow": 9.0, "power": -9.0})
    True
    >>> [part.variable for part in model.findings.details[0].contributions]
    ['flow', 'power']
    """

    def __init__(self, settings: MonitorSettings | None = None, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        self._monitor: Monitor | None = None
        self._names: tuple[Any, ...] = ()
        self._before: State = {}  # as it was before the row that is taken for the time being
        self._taken: tuple[float, ...] | None = None
        self._findings: Findings | None = None

    def score_one(self, x: Mapping[Any, float]) -> float:
        """The published score of the row: over 1.0 is anomalous, 0 in the first 50 rows."""
        return float(self._take(x).scores[0])

    def learn_one(self, x: Mapping[Any, float]) -> None:
        """Take the row for good."""
        self._take(x)
        self._taken = None

    @property
    def findings(self) -> Findings | None:
        """All that was found in the row scored or learned last: its verdict with votes and contributions, if any."""
        return self._findings

    def _take(self, x: Mapping[Any, float]) -> Findings:
        monitor = self._monitor = self._monitor or self._made(x)
        values = tuple(_number(x.get(name)) for name in self._names)
        if self._findings is None or self._taken is None or not _same(values, self._taken):
            if self._taken is not None:
                monitor.load_state(self._before)
            self._before, self._taken = monitor.state(), values
            self._findings = monitor.step(Block(np.array([monitor.rows]), np.array([values])))
        return self._findings

    def _made(self, x: Mapping[Any, float]) -> Monitor:
        settings = self.settings or replace(
            MonitorSettings(), other_rules=False, causes=replace(CausesSettings(), enabled=False)
        )
        self._names = tuple(x)
        return Monitor([str(name) for name in self._names], settings, seed=self.seed)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two rows are the same; NaN is the same as NaN here."""
    return all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b, strict=True))
