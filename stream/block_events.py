"""What happened in a block of one system, in the order in which it counts: at a row first the long gap before it, then
its triggers, verdicts, rankings and silences.

A gap is long beside the one before it (the system's tick), which may lie in the block before: :class:`Newest` keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from detectors.block import IntArray
from detectors.findings import Findings, Ranking, Silence, Trigger, Verdict

Event: TypeAlias = Verdict | Trigger | Ranking | Silence


@dataclass(frozen=True, slots=True)
class Newest:
    """What a block needs to know of those before it. ns."""

    time: int | None = None  # of the newest row
    tick: int | None = None  # its distance to the one before

    def after(self, times: IntArray) -> "Newest":
        """times: (T,) of the next rows."""
        known = [time for time in (self.time, *times[-2:].tolist()) if time is not None]
        tick = known[-1] - known[-2] if len(known) > 1 else self.tick
        return Newest(known[-1] if len(times) else self.time, tick)


def block_events(findings: Findings, newest: Newest, max_gap_ticks: int) -> list[tuple[int, Event | None]]:
    """(place in the block, what happened there) in order; None is a long gap before the row."""
    gaps = long_gaps(findings.times, newest, max_gap_ticks)
    found: list[tuple[int, int, Event | None]] = [(place, 0, None) for place in gaps]
    kinds: tuple[Sequence[Event], ...] = (findings.triggers, findings.details, findings.rankings, findings.silences)
    for order, events in enumerate(kinds, start=1):
        for event in events:
            place = int(np.searchsorted(findings.times, event.time))
            found.append((min(place, len(findings.times) - 1), order, event))
    return [(place, event) for place, _, event in sorted(found, key=lambda item: item[:2])]


def long_gaps(times: IntArray, newest: Newest, max_gap_ticks: int) -> list[int]:
    """Places of rows before which nothing came for many of the system's ticks."""
    known = [] if newest.time is None else [newest.time]
    if newest.time is not None and newest.tick is not None:
        known = [newest.time - newest.tick, newest.time]
    gaps = [after - before for before, after in pairwise([*known, *times.tolist()])]
    return [place + 2 - len(known) for place, (tick, gap) in enumerate(pairwise(gaps)) if gap > max_gap_ticks * tick]
