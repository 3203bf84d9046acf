"""Clients: an open stream of requests at the gateway, which does not slow down when the shop does.

The rate wanders as people's does: a slow wave, a noise that remembers, and now and then a burst.
"""

import argparse
import math
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from shop.gateway import token
from shop.payments import is_card
from shop.peers import Peer, PeerError
from shop.store import ITEMS, item_name

WAVE_S = 420.0  # period of the slow wave
NOISE_S = 20.0  # how long the noise remembers
BURST_EVERY_S = 150.0
CLIENTS = 64  # requests under way at most


class Demand:
    """The rate of requests over time, and what they ask for."""

    def __init__(self, rate: float, dice: random.Random) -> None:
        self._rate = rate
        self._dice = dice
        self._noise = 0.0
        self._burst, self._burst_until = 1.0, 0.0

    def gap(self, now: float, last_gap: float) -> float:
        """Seconds until the next request; exponential, so that arrivals within a second are Poisson."""
        keep = math.exp(-last_gap / NOISE_S)
        self._noise = keep * self._noise + math.sqrt(1 - keep * keep) * self._dice.gauss(0, 0.08)
        if now >= self._burst_until:
            self._burst = 1.0
            if self._dice.random() < last_gap / BURST_EVERY_S:
                self._burst, self._burst_until = self._dice.uniform(1.3, 1.8), now + self._dice.uniform(4, 12)
        wave = 1 + 0.25 * math.sin(2 * math.pi * now / WAVE_S)
        return self._dice.expovariate(self._rate * wave * self._burst * math.exp(self._noise))

    def request(self) -> tuple[str, dict[str, object]]:
        """A route of the gateway and a body; people mistype items and cards."""
        customer = f"customer-{self._dice.randrange(1000)}"
        body: dict[str, object] = {"customer": customer, "token": token(customer), "basket": self._basket()}
        if self._dice.random() < 0.6:
            return "/quote", body
        return "/order", body | {"card": self._card()}

    def _basket(self) -> dict[str, int]:
        names = [
            item_name(min(int(self._dice.expovariate(1 / 80)), ITEMS - 1)) for _ in range(self._dice.randint(1, 4))
        ]
        if self._dice.random() < 0.02:
            names.append("itme-001")
        return {name: self._dice.randint(1, 3) for name in names}

    def _card(self) -> str:
        first = "".join(str(self._dice.randrange(10)) for _ in range(15))
        card = next(first + str(last) for last in range(10) if is_card(first + str(last)))
        return card if self._dice.random() > 0.03 else str(self._dice.randrange(1, 10)) + card[1:]


def ask(gateway: Peer, route: str, body: dict[str, object]) -> None:
    try:
        gateway.post(route, body)
    except PeerError:
        return  # the gateway has counted it


def stream(gateway: Peer, demand: Demand, over: threading.Event) -> None:
    """Sends requests until over. A late start of one does not move the next, so the offered rate is kept."""
    began = time.monotonic()
    due = gap = 0.0
    with ThreadPoolExecutor(CLIENTS) as pool:
        while not over.wait(max(0.0, began + due - time.monotonic())):
            pool.submit(ask, gateway, *demand.request())
            gap = demand.gap(due, gap)
            due += gap


def end_with_input(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gateway", help="host:port")
    parser.add_argument("--rate", type=float, default=25.0, help="requests per second on average")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    over = threading.Event()
    threading.Thread(target=end_with_input, args=(over,), daemon=True).start()
    stream(Peer(options.gateway, timeout_s=5.0), Demand(options.rate, random.Random(options.seed)), over)


if __name__ == "__main__":
    main()
