"""Faults that really happen inside a service's process, each from a call of begin() until end().

cpu      busy threads; they fight the request threads for the interpreter lock, as a runaway loop does
latency  every request sleeps first, as behind a slow disk or a lossy link
lock     (store) a thread holds the write lock of the database half of the time
leak     every request leaves objects behind
errors   a share of the requests fails
pool     every request keeps its worker for a while after its answer, as with connections that are given back late
shed     a share of the requests is answered at once with nothing done, so that what the service sends on falls
jitter   a tenth of the requests waits, most of them shortly and some long, as behind a link that loses packets
work     every request costs more CPU, as after a change of a setting
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# What amount means, and how much of it is a fault that people notice while the shop still works.
DEFAULT_AMOUNTS = {
    "cpu": 1.0,  # threads
    "latency": 0.06,  # seconds on average
    "lock": 0.1,  # seconds that the lock is held, and then free, in turn
    "leak": 40_000.0,  # bytes a request, about
    "errors": 0.3,  # share of the requests
    "pool": 0.35,  # seconds; 8 workers then serve 23 requests a second
    "shed": 0.7,  # share of the requests
    "jitter": 0.15,  # seconds on average, of those that wait
    "work": 0.01,  # seconds of CPU
}
KINDS = tuple(DEFAULT_AMOUNTS)
JITTERED = 0.1  # share of the requests that wait


class InjectedError(Exception):
    """A request fails because the errors fault is on."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    amount: float
    over: threading.Event


class Faults:
    """At most one fault at a time. hold_lock(seconds) takes the lock that the lock fault keeps from others."""

    def __init__(self, hold_lock: Callable[[float], None] | None = None) -> None:
        self._hold_lock = hold_lock
        self._fault: Fault | None = None
        self._leaked: list[list[str]] = []
        self._dice = random.Random(0)

    def begin(self, kind: str, amount: float) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind}")
        if kind == "lock" and self._hold_lock is None:
            raise ValueError("this service has no lock to hold; the lock fault belongs to the store")
        self.end()
        fault = self._fault = Fault(kind, amount, threading.Event())
        if kind == "cpu":
            for _ in range(round(amount)):
                threading.Thread(target=_burn, args=(fault.over,), daemon=True).start()
        if kind == "lock":
            threading.Thread(target=self._contend, args=(fault,), daemon=True).start()

    def end(self) -> None:
        if self._fault is not None:
            self._fault.over.set()
        self._fault = None
        self._leaked.clear()

    @property
    def keeps_worker_s(self) -> float:
        """How long a request's worker stays taken after the answer."""
        fault = self._fault
        return fault.amount if fault is not None and fault.kind == "pool" else 0.0

    def sheds_request(self) -> bool:
        """Whether this request is to be answered with nothing done."""
        fault = self._fault
        return fault is not None and fault.kind == "shed" and self._dice.random() < fault.amount

    def on_request(self) -> None:
        """What the fault does to this request. Raises InjectedError where it makes it fail."""
        fault = self._fault
        if fault is None:
            return
        if fault.kind == "latency":
            time.sleep(self._dice.uniform(0.5, 1.5) * fault.amount)
        elif fault.kind == "jitter" and self._dice.random() < JITTERED:
            time.sleep(self._dice.expovariate(1 / fault.amount))
        elif fault.kind == "work":
            _work(fault.amount)
        elif fault.kind == "leak":
            self._leaked.append([f"{i:>50}" for i in range(round(fault.amount / 100))])
        elif fault.kind == "errors" and self._dice.random() < fault.amount:
            raise InjectedError("injected")

    def _contend(self, fault: Fault) -> None:
        if self._hold_lock is None:
            return
        while not fault.over.wait(fault.amount):
            self._hold_lock(fault.amount)


def _burn(over: threading.Event) -> None:
    while not over.is_set():
        sum(i * i for i in range(20_000))


def _work(seconds: float) -> None:
    """Takes CPU time of the calling thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(i * i for i in range(500))
