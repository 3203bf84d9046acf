"""Autoencoders of many systems beside the vote path: rows go in by `submit`, late scores come out of `results`.

    background = Worker(AutoencoderSettings(), seed=0)      # a thread; or InStep(...), the same in the caller's time
    background.submit("shop", block.times, block.values, findings.normal)     # never waits; False = dropped, counted
    for system, time, score in background.results(): ...                      # what is there; 1.0 is the line
    background.close()

Worker has one thread and a queue bounded in rows: what does not fit is dropped and counted, and the system's windows
start anew after the hole. It rests after each piece of work, so that it takes a bounded share of one core from the vote
path, with which it shares the interpreter. If a model fails, its system starts with a new one; if the thread is ended,
the next rows start another. Both are counted, and the vote path never hears of it. InStep computes inside `submit`,
drops nothing and lets errors out: a replay with it repeats bit for bit on a CPU. Ask
`detectors.background.autoencoder.available` before making either.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Condition, Lock, Thread
from time import thread_time
from typing import NamedTuple, Protocol

import numpy as np

from detectors.background.autoencoder import Autoencoder, AutoencoderSettings
from detectors.block import BoolArray, FloatArray, IntArray, State, nested, part

_PIECE_ROWS = 64  # computed under one lock: state() waits no longer than for these
_MOST_RESULTS = 100_000  # the oldest are forgotten if nobody takes them


class Result(NamedTuple):
    """The late opinion on one row; 1.0 is the line, 0.0 = no opinion yet."""

    system: str
    time: int  # ns
    score: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows handed over, rows that were dropped, rows with a result; failures of models and of the thread, the last."""

    submitted: int = 0
    dropped: int = 0
    scored: int = 0
    restarts: int = 0
    last_failure: str = ""


class Background(Protocol):
    """What Worker and InStep have in common."""

    def submit(self, system: str, times: IntArray, values: FloatArray, normal: BoolArray) -> bool:
        """Hand over rows (T,), (T, D), (T,) of one system; they are copied. False if they were dropped."""

    def results(self) -> list[Result]:
        """What was scored since the last call, each system's rows in order."""

    def counts(self) -> Counts: ...

    def state(self, system: str) -> State:
        """The system's model; empty if there is none. Rows still in the queue are not in it."""

    def load_state(self, system: str, state: State) -> None: ...

    def forget(self, system: str) -> None:
        """Drop the system's model: it has moved elsewhere."""

    def close(self) -> None:
        """Compute nothing more; what is in the queue is left."""


class Model(Protocol):
    """What a background computes with, :class:`Autoencoder`."""

    def step(
        self, times: IntArray, values: FloatArray, normal: BoolArray, *, after_gap: bool = False
    ) -> list[tuple[int, float]]: ...

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


class _Rows(NamedTuple):
    system: str
    times: IntArray
    values: FloatArray
    normal: BoolArray
    after_gap: bool

    def pieces(self) -> "list[_Rows]":
        starts = range(0, len(self.times), _PIECE_ROWS)
        cuts = [(slice(start, start + _PIECE_ROWS), self.after_gap and start == 0) for start in starts]
        return [_Rows(self.system, self.times[c], self.values[c], self.normal[c], gap) for c, gap in cuts]


class _Models:
    """The models by system: made at the first row, and anew when the number of variables changes."""

    def __init__(self, make: Callable[[int], Model]) -> None:
        self._make = make
        self._models: dict[str, tuple[int, Model]] = {}

    def step(self, rows: _Rows) -> list[Result]:
        variables = rows.values.shape[1]
        if self._models.get(rows.system, (-1, None))[0] != variables:
            self._models[rows.system] = variables, self._make(variables)
        model = self._models[rows.system][1]
        found = model.step(rows.times, rows.values, rows.normal, after_gap=rows.after_gap)
        return [Result(rows.system, time, score) for time, score in found]

    def state(self, system: str) -> State:
        if system not in self._models:
            return {}
        variables, model = self._models[system]
        return {"variables": np.array(variables), **nested("model", model.state())}

    def load_state(self, system: str, state: State) -> None:
        self.forget(system)
        if state:
            variables = int(state["variables"])
            model = self._make(variables)
            model.load_state(part("model", state))
            self._models[system] = variables, model

    def forget(self, system: str) -> None:
        self._models.pop(system, None)


def _maker(settings: AutoencoderSettings | None, seed: int) -> Callable[[int], Model]:
    return lambda variables: Autoencoder(variables, settings, seed=seed)


class InStep:
    """Computes in the caller's time. make: how a model for D variables is made, in place of an autoencoder."""

    def __init__(
        self, settings: AutoencoderSettings | None = None, *, seed: int = 0, make: Callable[[int], Model] | None = None
    ) -> None:
        self._models = _Models(make or _maker(settings, seed))
        self._results: list[Result] = []
        self._counts = Counts()

    def submit(self, system: str, times: IntArray, values: FloatArray, normal: BoolArray) -> bool:
        found = self._models.step(_Rows(system, times, values, normal, False))
        self._results += found
        counts = self._counts
        self._counts = replace(counts, submitted=counts.submitted + len(times), scored=counts.scored + len(found))
        return True

    def results(self) -> list[Result]:
        taken, self._results = self._results, []
        return taken

    def counts(self) -> Counts:
        return self._counts

    def state(self, system: str) -> State:
        return self._models.state(system)

    def load_state(self, system: str, state: State) -> None:
        self._models.load_state(system, state)

    def forget(self, system: str) -> None:
        self._models.forget(system)

    def close(self) -> None:
        """Nothing to end."""


class Worker:
    """Computes in a thread of its own.

    capacity_rows: of the queue; a block larger than that is taken when it is empty. share: of one core's time that it
    takes at most. make: as for InStep. clock: CPU seconds of its thread.
    """

    def __init__(
        self,
        settings: AutoencoderSettings | None = None,
        *,
        seed: int = 0,
        capacity_rows: int = 10_000,
        share: float = 1.0,
        make: Callable[[int], Model] | None = None,
        clock: Callable[[], float] = thread_time,
    ) -> None:
        if capacity_rows < 1:
            raise ValueError(f"capacity_rows must be at least 1, got {capacity_rows}")
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        self._capacity, self._share, self._clock = capacity_rows, share, clock
        self._models, self._computing = _Models(make or _maker(settings, seed)), Lock()
        self._changed = Condition()  # guards all that follows
        self._queue: deque[_Rows] = deque()
        self._in_hand: _Rows | None = None  # what the thread computes
        self._queued = 0  # rows in the queue and in the hand of the thread
        self._after_gap: set[str] = set()
        self._results: deque[Result] = deque(maxlen=_MOST_RESULTS)
        self._counts = Counts()
        self._closed = False
        self._thread = self._start()

    def submit(self, system: str, times: IntArray, values: FloatArray, normal: BoolArray) -> bool:
        count = len(times)
        with self._changed:
            self._revive()
            self._add(submitted=count)
            if self._closed or (self._queued and self._queued + count > self._capacity):
                self._add(dropped=count)
                self._after_gap.add(system)
                return False
            gap = system in self._after_gap
            self._after_gap.discard(system)
            self._queue.append(_Rows(system, times.copy(), values.copy(), normal.copy(), gap))
            self._queued += count
            self._changed.notify_all()
            return True

    def results(self) -> list[Result]:
        with self._changed:
            taken = list(self._results)
            self._results.clear()
            return taken

    def counts(self) -> Counts:
        with self._changed:
            return self._counts

    def drain(self) -> None:
        """Wait until the queue is empty: for tests, and for an end that loses nothing. The vote path never does."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._queued)

    def state(self, system: str) -> State:
        with self._computing:
            return self._models.state(system)

    def load_state(self, system: str, state: State) -> None:
        with self._computing:
            self._models.load_state(system, state)

    def forget(self, system: str) -> None:
        with self._computing:
            self._models.forget(system)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _start(self) -> Thread:
        thread = Thread(target=self._run, name="autoencoder", daemon=True)
        thread.start()
        return thread

    def _revive(self) -> None:
        """Another thread, if something ended ours. What it had in its hand is dropped, with the model it worked on."""
        if self._closed or self._thread.is_alive():
            return
        lost, self._in_hand = self._in_hand, None
        self._counts = replace(self._counts, last_failure="the thread ended")
        self._add(restarts=1)
        if lost is not None:
            self.forget(lost.system)
            self._after_gap.add(lost.system)
            self._add(dropped=len(lost.times))
            self._queued -= len(lost.times)
        self._thread = self._start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._queue))
                if self._closed:
                    return
                rows = self._in_hand = self._queue.popleft()
            for piece in rows.pieces():
                if not self._closed:
                    began = self._clock()
                    self._compute(piece)
                    self._rest(pause(self._clock() - began, self._share))
            with self._changed:
                self._in_hand = None
                self._queued -= len(rows.times)
                self._changed.notify_all()

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=seconds)

    def _compute(self, rows: _Rows) -> None:
        try:
            with self._computing:
                found = self._models.step(rows)
        except Exception as failure:  # whatever torch or the device may raise: the thread must outlive it
            self.forget(rows.system)
            with self._changed:
                self._add(restarts=1)
                self._counts = replace(self._counts, last_failure=f"{type(failure).__name__}: {failure}")
            return
        with self._changed:
            self._results.extend(found)
            self._add(scored=len(found))

    def _add(self, **more: int) -> None:
        self._counts = replace(self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()})


def pause(spent: float, share: float) -> float:
    """Seconds to rest after so many of work, for the work to be this share of all.

    >>> pause(1.0, 0.25), pause(1.0, 1.0)
    (3.0, 0.0)
    """
    return spent * (1.0 / share - 1.0)
