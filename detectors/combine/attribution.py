"""Who is guilty: one score a variable, from what the detectors say of it and where in an excursion the row stands.

    guilt = w (N + .7 min(A, 20) + .1 min(E, 10))

N: how far the variable's fast average is from that of the row's nearest neighbours in the memory, in standard
deviations; A: the residual of its autoregression, in its usual sizes; E: its EWMA z. The rows that open an excursion
say most about its cause: w = 1 for the first 10, .5 later, .3 outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numba import njit

from detectors.block import FloatArray

Options: TypeAlias = tuple[FloatArray, tuple[int, float, float]]  # (K, 2) weight and cap; rows and their weights


@dataclass(frozen=True, slots=True)
class Part:
    """weight: of a detector's score of a variable. cap: the most of it that counts."""

    weight: float
    cap: float = 1e9


@dataclass(frozen=True, slots=True)
class AttributionSettings:
    """The detectors that name the guilty; the rows that open an excursion, and the weights of all other rows."""

    neighbours: Part = field(default_factory=lambda: Part(1.0))
    autoregression: Part = field(default_factory=lambda: Part(0.7, 20.0))
    ewma: Part = field(default_factory=lambda: Part(0.1, 10.0))
    opening_rows: int = 10
    later: float = 0.5
    outside: float = 0.3


class Attribution:
    """Which of K detectors name the guilty, for :func:`attribute`. Those without a part count where none has one."""

    def __init__(self, detectors: Sequence[str], settings: AttributionSettings) -> None:
        parts = [getattr(settings, name, None) for name in detectors]
        if not any(parts):
            parts = [Part(1.0) for _ in detectors]
        chosen = [part or Part(0.0) for part in parts]
        parts_of = np.array([[part.weight, part.cap] for part in chosen]).reshape(-1, 2)
        self.options: Options = (parts_of, (settings.opening_rows, settings.later, settings.outside))


@njit(cache=True, nogil=True, error_model="numpy")
def attribute(raw: FloatArray, place: int, options: Options, out: FloatArray) -> None:
    """Add up one row's guilt (D,) from its raw scores (K, D)."""
    parts, (opening, later, outside) = options
    weight = outside if place == 0 else 1.0 if place <= opening else later
    for k in range(raw.shape[0]):
        for j in range(raw.shape[1]):
            out[j] += weight * parts[k, 0] * min(raw[k, j], parts[k, 1])
