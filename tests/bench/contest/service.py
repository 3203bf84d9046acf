"""How long a row takes from its arrival to its verdict when rows arrive at a given rate.

Arrivals follow a deterministic schedule, one row every 1/rate seconds, from ten systems in turn. The server takes all
that has arrived, at most 256 rows, and works on it; its clock moves by the CPU time of that work, and jumps to the next
arrival when it is idle. So it is a queue in simulated time with measured work: other users of the machine do not count.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contest import ours
from contest.inputs import messages, series
from contest.table import line, section
from stream.decode import Raw

SYSTEMS = 10
OFFERED = (10_000, 5_000, 2_000, 1_000, 500)  # rows/s
CAP = 256
KINDS = ("light", "team", "default", "everything")


@dataclass(frozen=True)
class Served:
    """offered, served: rows/s.  p50, p99: microseconds from a row's arrival to the end of its batch."""

    offered: float
    served: float
    p50: float
    p99: float

    @property
    def is_kept_up_with(self) -> bool:
        return self.served > 0.98 * self.offered


def measure(rows: int = 3_000, learned: int = ours.LEARNED, kinds: Sequence[str] = KINDS) -> None:
    """For each kind: at 10,000 rows/s, and if that is too much at the highest rate that is kept up with."""
    section("service, 38 variables, ten systems, bytes to verdict", "us, p99")
    for kind in kinds:
        work = Queue(kind, rows, learned)
        for offered in OFFERED:
            found = work.serve(offered)
            aim = "250" if (kind, offered) == ("everything", OFFERED[0]) else "-"
            if found.is_kept_up_with:
                line(
                    f"{kind}: {offered:,} rows/s offered, kept up with",
                    f"{found.p99:.0f}",
                    f"p50 {found.p50:.0f}",
                    aim=aim,
                )
                break
            if offered == OFFERED[0]:
                line(f"{kind}: {offered:,} rows/s offered, {found.served:,.0f} served", "grows", aim=aim)
        else:
            line(f"{kind}: not even {OFFERED[-1]:,} rows/s are kept up with", "grows")


class Queue:
    """A pipeline of grown systems and the messages that arrive; each schedule gets messages of its own."""

    def __init__(self, kind: str, rows: int, learned: int, *, variables: int = 38) -> None:
        house = ours.pipeline(kind)
        self._step = ours.by_bytes(house, block=CAP)
        each = -(-rows // SYSTEMS)
        values = series(learned + each * len(OFFERED), variables)
        self._step(messages(values[:learned]))
        state = house.state(ours.PARTITION)["system0"]
        house.load_state(ours.PARTITION, {f"system{number}": state for number in range(SYSTEMS)})
        self._rows, self._each, self._next = rows, each, learned
        self._values = values

    def serve(self, offered: float) -> Served:
        arrivals = np.arange(self._rows) / offered
        waiting = self._messages()
        done, clock, ends = 0, 0.0, np.zeros(self._rows)
        while done < self._rows:
            clock = max(clock, arrivals[done])
            until = min(int(np.searchsorted(arrivals, clock, side="right")), done + CAP)
            began = time.process_time()
            self._step(waiting[done:until])
            clock += time.process_time() - began
            ends[done:until] = clock
            done = until
        p50, p99 = np.percentile(ends - arrivals, [50, 99]) * 1e6
        return Served(offered, self._rows / clock, p50, p99)

    def _messages(self) -> list[Raw]:
        """The next rows of every system, in turn."""
        first, self._next = self._next, self._next + self._each
        values = self._values[first : self._next]
        each = [messages(values, f"system{number}", first) for number in range(SYSTEMS)]
        return [message for together in zip(*each, strict=True) for message in together][: self._rows]
