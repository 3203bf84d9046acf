"""SIGKILL at a random moment of a process's life: while it starts, joins, restores, learns, flushes, saves, commits."""

import random
import time

from process import Process
from stage import wait_for_rows

START_S = 2.5  # about as long as a process takes to its first row
MOST_ROWS = 30
THEN_S = 0.1  # in which a few batches pass through all the rooms


def kill_somewhere(process: Process, chance: random.Random, *, begun: bool) -> None:
    """begun: after some rows, and a moment more; else at any time from its start, whatever it has reached by then."""
    if begun:
        wait_for_rows(process, chance.randrange(1, MOST_ROWS))
        time.sleep(chance.uniform(0.0, THEN_S))
    else:
        time.sleep(chance.uniform(0.0, START_S))
    if process.kill() != -9:
        raise RuntimeError("tocsin run ended before it was killed")
