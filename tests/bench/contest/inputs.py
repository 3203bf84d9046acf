"""What all contestants get: noise on a slow drift, as rows and as the JSON messages of those rows."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from stream.decode import Raw, encode_row

START = 1_700_000_000_000_000_000  # ns
TICK = 1_000_000_000
CHUNK = 500  # rows


def names(variables: int) -> list[str]:
    """Eight entities."""
    return [f"e{number % 8}.m{number // 8}" for number in range(variables)]


def series(rows: int, variables: int, seed: int = 0) -> np.ndarray:
    """(T, D) the first rows of :func:`endless`: fewer are the beginning of more."""
    return np.concatenate(list(islice(endless(variables, seed), -(-rows // CHUNK))))[:rows]


def endless(variables: int, seed: int = 0) -> Iterator[np.ndarray]:
    """(CHUNK, D) after (CHUNK, D), without a jump between them."""
    rng, level = np.random.default_rng(seed), np.zeros(variables)
    while True:
        drift = level + 0.01 * np.cumsum(rng.normal(size=(CHUNK, variables)), axis=0)
        yield drift + rng.normal(size=(CHUNK, variables))
        level = drift[-1]


def times(rows: int, first: int = 0) -> np.ndarray:
    """(T,) one row a second."""
    return START + TICK * np.arange(first, first + rows, dtype=np.int64)


def messages(values: np.ndarray, system: str = "system0", first: int = 0) -> list[Raw]:
    """Wide messages, values to four places as metrics have them."""
    labels, key = names(values.shape[1]), system.encode()
    stamped = enumerate(zip(times(len(values), first).tolist(), values.round(4), strict=True), start=first)
    return [Raw(number, key, encode_row(system, time, labels, row)) for number, (time, row) in stamped]


def pieces(step: Callable[[Any], object], data: Any, size: int) -> Callable[[], None]:
    """Each call steps through the next `size` of the data. IndexError at its end."""
    place = 0

    def run() -> None:
        nonlocal place
        if place + size > len(data):
            raise IndexError(f"the data end at {len(data)}, asked for {place + size}")
        step(data[place : place + size])
        place += size

    return run
