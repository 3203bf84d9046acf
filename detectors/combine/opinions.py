"""From the detectors' raw scores to one ballot: each member and each variable on a scale of its own line, 1.0."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from detectors.block import BoolArray, FloatArray, Rows, State, nested, part
from detectors.combine.ballot import Ballot
from detectors.combine.calibration import Arrays, Calibration, CalibrationSettings, Options, judge_one
from detectors.combine.evidence import EvidenceSettings
from detectors.online.protocol import Detector, Scores

COARSE = (1.1, 320)  # ratio and number of bins of the many histograms inside variables: a coarse line will do


class Opinions:
    """Collects what the detectors say of some rows. Members of detectors without a vote are calibrated all the same.

    members: (M,) names of the voting members, others: (N,) of the rest, inside: (K,) of the per-variable detectors.
    """

    def __init__(
        self,
        variables: int,
        detectors: Sequence[Detector],
        voters: Sequence[str],
        calibration: CalibrationSettings,
        evidence: EvidenceSettings,
    ) -> None:
        voting = [d for d in detectors if d.name in voters]
        silent = [d for d in detectors if d.name not in voters]
        self._order = [list(detectors).index(d) for d in (*voting, *silent)]
        self.members = [f"{d.name}.{m}" for d in voting for m in d.members]
        self.others = [f"{d.name}.{m}" for d in silent for m in d.members]
        self.inside = [d.name for d in detectors if d.per_variable]
        own_line = [d.calibrated for d in (*voting, *silent) for _ in d.members]
        own_inside = [d.calibrated for d in detectors if d.per_variable]
        self._own_line = (np.array(own_line, dtype=np.bool_), np.array(own_inside, dtype=np.bool_))
        # One more scorer a voter, for its fresh evidence.
        self._fresh = np.array([evidence.headroom * evidence.weight(d.name) for d in voting])
        self._rows = Calibration(len(own_line) + len(voting), calibration)
        self._inside = Calibration(len(self.inside) * variables, calibration, ratio=COARSE[0], bins=COARSE[1])

    def collect(self, rows: Rows, scores: Sequence[Scores]) -> Ballot:
        """The ballot of rows, from every detector's scores in the detectors' order."""
        count, m, n = len(rows), len(self.members), len(self.others)
        raw = np.zeros((count, m + n + len(self._fresh)))
        raw[:, m + n :] = np.nan  # no fresh evidence
        at = 0
        for place, i in enumerate(self._order):
            own = scores[i].members
            raw[:, at : at + own.shape[1]] = own
            at += own.shape[1]
            fresh = scores[i].fresh
            if fresh is not None and place < len(self._fresh):
                raw[:, m + n + place] = fresh
        inside = [s.variables for s in scores if s.variables is not None]
        stacked = np.empty((count, len(inside), rows.values.shape[1]))
        for k, variables in enumerate(inside):
            stacked[:, k] = variables
        members, uncut, others = np.zeros((count, m)), np.zeros((count, m)), np.zeros((count, n))
        within = np.zeros_like(stacked)
        out = (members, uncut, others)
        _judge_rows(raw, rows.quorum, self._own_line[0], self._fresh, self._rows.arrays, self._rows.options, out)
        _judge_inside(stacked, rows.present, self._own_line[1], self._inside.arrays, self._inside.options, within)
        return Ballot(rows, members, uncut, others, within, stacked)

    def state(self) -> State:
        return {**nested("rows", self._rows.state()), **nested("inside", self._inside.state())}

    def load_state(self, state: State) -> None:
        self._rows.load_state(part("rows", state))
        self._inside.load_state(part("inside", state))


@njit(cache=True, nogil=True, error_model="numpy")
def _judge_rows(
    raw: FloatArray,
    quorum: BoolArray,
    own_line: BoolArray,
    bounds: FloatArray,
    arrays: Arrays,
    options: Options,
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    """Calibrate M + N row-wise members and the fresh evidence behind them, and cut the voting M to it.

    out: cut (T, M), uncut (T, M), others (T, N).
    """
    cut, uncut, others = out
    members = own_line.shape[0]
    for t in range(raw.shape[0]):
        if not quorum[t]:
            continue
        bound, bounded = 0.0, False
        for f in range(bounds.shape[0]):
            if not np.isnan(raw[t, members + f]):
                bounded = True
                bound = max(bound, bounds[f] * judge_one(raw[t, members + f], members + f, arrays, options))
        for s in range(members):
            score = raw[t, s] if own_line[s] else judge_one(raw[t, s], s, arrays, options)
            if s < cut.shape[1]:
                uncut[t, s] = score
                cut[t, s] = min(score, bound) if bounded else score
            else:
                others[t, s - cut.shape[1]] = score


@njit(cache=True, nogil=True, error_model="numpy")
def _judge_inside(
    raw: FloatArray, present: BoolArray, own_line: BoolArray, arrays: Arrays, options: Options, out: FloatArray
) -> None:
    """Calibrate per-variable scores (T, K, D); 0 where the reading is missing."""
    variables = raw.shape[2]
    for t in range(raw.shape[0]):
        for k in range(raw.shape[1]):
            for j in range(variables):
                if present[t, j]:
                    x = raw[t, k, j]
                    out[t, k, j] = x if own_line[k] else judge_one(x, k * variables + j, arrays, options)
