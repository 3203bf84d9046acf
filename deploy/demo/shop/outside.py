"""Faults whose cause is no service of the shop: nothing that is measured is to blame for them.

neighbours  busy processes on the same CPUs, which take turns with the shop's
crowd       a second crowd of clients, as a sale or a crawler brings
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from shop.system import Shop, process

DEFAULT_AMOUNTS = {
    "neighbours": 4.0,  # processes
    "crowd": 35.0,  # requests per second on average
}


@contextmanager
def outside_fault(shop: Shop, kind: str, amount: float, *, seed: int) -> Iterator[None]:
    """One of DEFAULT_AMOUNTS, as long as the context lasts. seed: of the crowd's demand."""
    with ExitStack() as started:
        if kind == "crowd":
            demand = ("--rate", str(amount), "--seed", str(seed))
            started.enter_context(process("clients", shop.addresses["gateway"], *demand))
        else:
            for _ in range(round(amount)):
                started.enter_context(process("neighbour"))
        yield
