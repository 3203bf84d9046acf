"""What speaks against each variable: its deviation, alone and given the others, its level shares, its onset."""

from dataclasses import dataclass

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.causes.conditional import fit_conditional, residuals
from detectors.causes.deviation import Baseline, first_row, fit_baseline, standardise, strength
from detectors.causes.mechanism import LAGS
from detectors.causes.settings import EvidenceSettings
from detectors.causes.shares import share_shift

ONSET_SIZE = 3.0  # |z| at which a variable has visibly begun to move
CONDITIONAL_WEIGHT = 0.25


@dataclass(frozen=True, slots=True)
class Window:
    """Readings around a change: quiet rows before (N, D), a gap between (G, D) that belongs to neither, rows after the
    change began (T, D)."""

    before: FloatArray
    between: FloatArray
    after: FloatArray


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found for each of D variables.

    deviation m, conditional c, shares: (D,) sizes like |z|.  total: (D,) log1p(min(m, c)) + .25 log1p(c), or
    log1p(shares) where that is more.  onset: (D,) rows after the change until it moved; T if it never did.
    before, between, after: the deviations themselves (N, D), (<= 3, D), (T, D).
    """

    deviation: FloatArray
    conditional: FloatArray
    shares: FloatArray
    total: FloatArray
    onset: IntArray
    constant: BoolArray
    before: FloatArray
    between: FloatArray
    after: FloatArray

    @property
    def joint(self) -> FloatArray:
        """(D,) min(m, c): how far a variable strayed both by itself and given the rest."""
        return np.minimum(self.deviation, self.conditional)


def gather(window: Window, groups: IntArray, settings: EvidenceSettings) -> Evidence:
    """Weigh the rows after a change against the rows before it. One inversion: O(N D^2 + D^3)."""
    baseline: Baseline = fit_baseline(window.before, groups, peer_floor=settings.peer_floor)
    before, after = standardise(window.before, baseline), standardise(window.after, baseline)
    between = standardise(window.between[-LAGS:], baseline)
    ahead = between[-1] if len(between) else before[-1]
    model = fit_conditional(before, ridge=settings.ridge)
    deviation = strength(after)
    conditional = strength(residuals(after, ahead, model))
    shares = share_shift(window.before, window.after)
    both = np.log1p(np.minimum(deviation, conditional)) + CONDITIONAL_WEIGHT * np.log1p(conditional)
    return Evidence(
        deviation=deviation,
        conditional=conditional,
        shares=shares,
        total=np.maximum(both, np.log1p(shares)),
        onset=first_row(after, over=ONSET_SIZE),
        constant=baseline.constant,
        before=before,
        between=between,
        after=after,
    )
