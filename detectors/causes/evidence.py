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
from detectors.causes.shares import Levels, of_few_levels, share_shift

ONSET_SIZE = 3.0  # |z| at which a variable has visibly begun to move
CONDITIONAL_WEIGHT = 0.25
STEADY_SHARE = 0.6  # of the whole's scale, for a half that saw less: .5 to .7 do alike
MOST_LAGS, ROWS_A_WEIGHT = 3, 4  # of the conditional model: so many lags, if there are 4 quiet rows for each weight
RIDGE_PER_WEIGHT = 2.0
RESIDUAL_FLOOR = 0.05  # of a residual's scale, in units of the variable's own


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

    before: (N, D) deviations of the quiet rows themselves.  few_levels: the columns of few levels, by number.
    halves: the scales of their earlier and of their later half alone, for a second look: an answer that hangs on one
    of them is not sure.  steady: the same, but with no scale below .6 of that by all quiet rows.  plain: the scale of
    the plain ranking, which every other is compared with.
    """

    baseline: Baseline
    model: Conditional
    before: FloatArray
    few_levels: dict[int, Levels]
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
    """The scale and the conditional model of quiet rows (N, D). One inversion: O(N p^2 + p^3), p = (lags + 1) D."""
    baseline = fit_baseline(before, groups, peer_floor=settings.peer_floor)
    deviations = standardise(before, baseline)
    middle = len(before) // 2
    earlier, later = (
        fit_baseline(h, groups, peer_floor=settings.peer_floor) for h in (before[:middle], before[middle:])
    )
    steady = no_finer(earlier, baseline, share=STEADY_SHARE), no_finer(later, baseline, share=STEADY_SHARE)
    model = fit_conditional(
        deviations,
        lags=max(1, min(MOST_LAGS, len(before) // (ROWS_A_WEIGHT * before.shape[1]) - 1)),
        ridge=settings.ridge,
        ridge_per_weight=RIDGE_PER_WEIGHT,
        floor=_residual_floor(deviations),
    )
    few_levels, plain = of_few_levels(before), fit_plain_scale(before)
    return Quiet(baseline, model, deviations, few_levels, (earlier, later), steady, plain)


def _residual_floor(deviations: FloatArray) -> FloatArray:
    """(D,) least scale of the residuals of quiet deviations (N, D). What of a variable's scale is not its own spread
    came from its peers, or is a guess: that part the others cannot explain away."""
    spread = np.maximum(deviations.std(axis=0), np.ptp(deviations, axis=0) / 6.0)
    return np.asarray(np.maximum(RESIDUAL_FLOOR, 1.0 - spread))


def gather(window: Window, quiet: Quiet) -> Evidence:
    """Weigh the rows after a change against what the rows before it tell. O(T D^2 + N D)."""
    after = standardise(window.after, quiet.baseline)
    deviation, conditional = _strengths(window, quiet, quiet.baseline)
    shares = share_shift(quiet.few_levels, window.after)
    return Evidence(
        deviation=deviation,
        conditional=conditional,
        shares=shares,
        total=_total(deviation, conditional, shares),
        onset=first_row(after, over=ONSET_SIZE),
        constant=quiet.baseline.constant,
        before=quiet.before,
        between=standardise(window.between[-LAGS:], quiet.baseline),
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
    deviation, conditional = _strengths(window, quiet, half)
    total = _total(deviation, conditional, found.shares)
    return replace(found, deviation=deviation, conditional=conditional, total=total)


def _strengths(window: Window, quiet: Quiet, baseline: Baseline) -> tuple[FloatArray, FloatArray]:
    """(D,) and (D,): how far the rows after the change stray by themselves, and given the others."""
    ahead = quiet.model.lags + 1  # rows: the neighbour of the first, and its past
    past = np.concatenate([window.before[-ahead:], window.between[-ahead:]])[-ahead:]
    z = standardise(np.concatenate([past, window.after]), baseline)
    left = residuals(z, quiet.model)
    return strength(z[ahead:], z[ahead - 1]), strength(left[1:], left[0])


def _total(deviation: FloatArray, conditional: FloatArray, shares: FloatArray) -> FloatArray:
    both = np.log1p(np.minimum(deviation, conditional)) + CONDITIONAL_WEIGHT * np.log1p(conditional)
    return np.maximum(both, np.log1p(shares))
