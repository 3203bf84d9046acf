"""Who is guilty: one score a variable, from what the detectors say of it and where in an excursion the row stands.

    score = w (N + .3 min(A, 20) + .1 min(E, 50))

N: how far the variable's fast average is from that of the row's nearest neighbours in the memory; A: the residual of
its autoregression; E: its EWMA z. All in standard deviations. The rows that open an excursion say most about its cause:
w = 1 for the first 10, .5 later, .3 outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from detectors.block import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Part:
    """weight: of a detector's score of a variable. cap: the most of it that counts."""

    weight: float
    cap: float


@dataclass(frozen=True, slots=True)
class AttributionSettings:
    """The detectors that name the guilty, the rows that open an excursion, and the weights of all other rows."""

    neighbours: Part = field(default_factory=lambda: Part(1.0, 1e9))
    autoregression: Part = field(default_factory=lambda: Part(0.3, 20.0))
    ewma: Part = field(default_factory=lambda: Part(0.1, 50.0))
    opening_rows: int = 10
    later: float = 0.5
    outside: float = 0.3


def attribute(opinions: Mapping[str, FloatArray], places: IntArray, settings: AttributionSettings) -> FloatArray:
    """(T, D) guilt, from the detectors' raw per-variable scores (T, D) by name and the rows' places (T,) in excursions.

    Detectors without a part of their own count only where none has one: by the calibrated scores given then.
    """
    named = {name: scores for name, scores in opinions.items() if hasattr(settings, name)}
    guilt = np.zeros_like(next(iter(opinions.values())))
    for name, scores in (named or opinions).items():
        part = getattr(settings, name, Part(1.0, 1e9))
        guilt += part.weight * np.minimum(scores, part.cap)
    weights = np.where(places == 0, settings.outside, np.where(places <= settings.opening_rows, 1.0, settings.later))
    return np.asarray(guilt * weights[:, None], dtype=np.float64)
