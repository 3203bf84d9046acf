"""Pricing: the cheapest total of a basket over all sets of coupons. Remembers the store's list prices for a while."""

import itertools
import time

from shop.peers import Peer
from shop.service import Body, peer_arguments, serve

REMEMBER_S = 5.0
COUPONS = ((0.00, 0.05), (15.0, 0.10), (40.0, 0.12), (80.0, 0.20), (5.0, 0.02), (25.0, 0.08))  # from a total on, share
MAX_COUPONS = 4


class ListPrices:
    """The store's prices, each asked again when it is older than REMEMBER_S."""

    def __init__(self, store: Peer) -> None:
        self._store = store
        self._known: dict[str, tuple[float, float]] = {}  # item: (price, when it was asked)

    def of(self, items: list[str]) -> dict[str, float]:
        fresh = time.monotonic() - REMEMBER_S
        unknown = [item for item in items if self._known.get(item, (0.0, 0.0))[1] < fresh]
        if unknown:
            for item, price in self._store.post("/prices", {"items": unknown})["prices"].items():
                self._known[item] = (price, time.monotonic())
        return {item: self._known[item][0] for item in items}


def cheapest(total: float) -> float:
    """The least that can be paid with MAX_COUPONS coupons, in the best order; each applies from a total on."""
    best = total
    for coupons in itertools.permutations(COUPONS, MAX_COUPONS):
        left = total
        for least, share in coupons:
            if left >= least:
                left *= 1 - share
        best = min(best, left)
    return best


def main() -> None:
    (store,) = peer_arguments()
    prices = ListPrices(store)

    def price(body: Body) -> Body:
        known = prices.of(list(body["basket"]))
        total = sum(known[item] * wanted for item, wanted in body["basket"].items())
        return {"total": round(cheapest(total), 2)}

    serve({"/price": price})


if __name__ == "__main__":
    main()
