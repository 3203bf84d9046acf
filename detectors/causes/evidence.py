"""What speaks against each variable: its deviation, alone and given the others, its level shares, its onset."""

from dataclasses import dataclass, replace

import numpy as np

from detectors.block import BoolArray, FloatArray, IntArray
from detectors.causes.conditional import Conditional, fit_conditional, residuals
from detectors.causes.deviation import (
    Baseline,
    PlainScale,
    first_row,
    fit_baseline,
    fit_plain_scale,
    no_finer,
    standardise,
    strength,
)
from detectors.causes.mechanism import LAGS
from detectors.causes.settings import EvidenceSettings
from detectors.causes.shares import of_few_levels, share_shift

ONSET_SIZE = 3.0  # |z| at which a variable has visibly begun to move
CONDITIONAL_WEIGHT = 0.25
STEADY_SHARE = 0.6  # of the whole's scale, for a half that saw less: .5 to .7 do alike


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


@dataclass(frozen=True, slots=True)
class Quiet:
    """What the rows before a change tell, for as many looks at the rows after it as there will be.

    before: (N, D) deviations of the quiet rows themselves.  few_levels: the readings of the columns of few levels, by
    number.  halves: the scales of their earlier and of their later half alone, for a second look: an answer that hangs
    on one of them is not sure.  steady: the same, but with no scale below .6 of that by all quiet rows.  plain: the
    scale of the plain ranking, which every other is compared with.
    """

    baseline: Baseline
    model: Conditional
    before: FloatArray
    few_levels: dict[int, FloatArray]
    halves: tuple[Baseline, Baseline]
    steady: tuple[Baseline, Baseline]
    plain: PlainScale


@dataclass(frozen=True, slots=True)
class Looks:
    """The same rows weighed otherwise, to see whether the answer stays.

    halves: by the scales of each half of the quiet rows.  steady: by those with a floor from all quiet rows.
    given_rest: by the conditional deviation alone.
    """

    halves: tuple[Evidence, Evidence]
    steady: tuple[Evidence, Evidence]
    given_rest: Evidence


def know_quiet(before: FloatArray, groups: IntArray, settings: EvidenceSettings) -> Quiet:
    """The scale and the conditional model of quiet rows (N, D). One inversion: O(N D^2 + D^3)."""
    baseline = fit_baseline(before, groups, peer_floor=settings.peer_floor)
    deviations = standardise(before, baseline)
    middle = len(before) // 2
    earlier, later = (
        fit_baseline(h, groups, peer_floor=settings.peer_floor) for h in (before[:middle], before[middle:])
    )
    steady = no_finer(earlier, baseline, share=STEADY_SHARE), no_finer(later, baseline, share=STEADY_SHARE)
    model = fit_conditional(deviations, ridge=settings.ridge)
    few_levels, plain = of_few_levels(before), fit_plain_scale(before)
    return Quiet(baseline, model, deviations, few_levels, (earlier, later), steady, plain)


def gather(window: Window, quiet: Quiet) -> Evidence:
    """Weigh the rows after a change against what the rows before it tell. O(T D^2 + N D)."""
    after = standardise(window.after, quiet.baseline)
    between = standardise(window.between[-LAGS:], quiet.baseline)
    ahead = between[-1] if len(between) else quiet.before[-1]
    deviation = strength(after)
    conditional = strength(residuals(after, ahead, quiet.model))
    shares = share_shift(quiet.few_levels, window.after)
    return Evidence(
        deviation=deviation,
        conditional=conditional,
        shares=shares,
        total=_total(deviation, conditional, shares),
        onset=first_row(after, over=ONSET_SIZE),
        constant=quiet.baseline.constant,
        before=quiet.before,
        between=between,
        after=after,
    )


def second_looks(window: Window, quiet: Quiet, found: Evidence) -> Looks:
    """The same evidence measured by each half of the quiet rows alone, and by the conditional deviation alone.

    The conditional model, the level shares and the onset stay: the scale is what differs most from one stretch to
    another. O(T D^2).
    """
    earlier, later = (_measured_by(half, window, quiet, found) for half in quiet.halves)
    first, second = (_measured_by(half, window, quiet, found) for half in quiet.steady)
    given_rest = replace(found, total=_total(found.conditional, found.conditional, found.shares))
    return Looks((earlier, later), (first, second), given_rest)


def _measured_by(half: Baseline, window: Window, quiet: Quiet, found: Evidence) -> Evidence:
    after = standardise(window.after, half)
    ahead = standardise(window.between[-1:] if len(window.between) else window.before[-1:], half)[0]
    deviation, conditional = strength(after), strength(residuals(after, ahead, quiet.model))
    total = _total(deviation, conditional, found.shares)
    return replace(found, deviation=deviation, conditional=conditional, total=total)


def _total(deviation: FloatArray, conditional: FloatArray, shares: FloatArray) -> FloatArray:
    both = np.log1p(np.minimum(deviation, conditional)) + CONDITIONAL_WEIGHT * np.log1p(conditional)
    return np.maximum(both, np.log1p(shares))
