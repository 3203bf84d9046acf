"""From raw scores to the ballot in one call: the same as each step by itself, and for any split into pieces."""

from dataclasses import dataclass

import numpy as np
import pytest
from reference_team import slow_ballot

from detectors.block import FloatArray, Rows, State
from detectors.combine.calibration import CalibrationSettings
from detectors.combine.evidence import EvidenceSettings
from detectors.combine.muting import MutingSettings
from detectors.combine.opinions import Opinions
from detectors.online.protocol import Scores

ROWS, VARIABLES = 900, 3
MUTING = MutingSettings(window_rows=30, mutes_at=0.4, heard_at=0.2)


@dataclass(frozen=True)
class Fake:
    """A detector of which only what it is matters here: its scores are brought along, and nobody may ask it for any."""

    name: str
    members: tuple[str, ...]
    per_variable: bool = False
    calibrated: bool = False
    has_fresh: bool = True

    def score(self, rows: Rows) -> Scores:
        pytest.fail(f"{self.name} was asked to score")

    def learn(self, rows: Rows, weights: FloatArray) -> None:
        pytest.fail(f"{self.name} was asked to learn")

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        pytest.fail(f"{self.name} was asked to load a state")


DETECTORS = [
    Fake("neighbours", ("fast", "slow"), per_variable=True),
    Fake("inside", (), per_variable=True, calibrated=True, has_fresh=False),
    Fake("beside", ("size",), has_fresh=False),
    Fake("sure", ("size",), calibrated=True),
    Fake("autoregression", ("drift",), per_variable=True),
]
VOTERS = ("neighbours", "sure", "autoregression")


def said(detector: Fake, seed: int) -> Scores:
    """Restless scores: now one, now another is far over what it was."""
    rng = np.random.default_rng(seed)
    wild = np.repeat(rng.choice([1.0, 1.0, 1.0, 9.0], size=ROWS // 30), 30)
    rowwise = np.abs(rng.normal(size=(ROWS, len(detector.members) + 1))) * wild[:, None]
    inside = np.abs(rng.normal(size=(ROWS, VARIABLES))) * np.where(rng.random(ROWS) < 0.1, 9.0, 1.0)[:, None]
    variables = inside if detector.per_variable else None
    return Scores(rowwise[:, 1:], variables, fresh=rowwise[:, 0] if detector.has_fresh else None)


def rows_of() -> Rows:
    rng = np.random.default_rng(9)
    rows = Rows.complete(np.zeros((ROWS, VARIABLES)))
    present, quorum = rng.random((ROWS, VARIABLES)) < 0.9, rng.random(ROWS) < 0.95
    return Rows(0, rows.values, present, rows.restart, rows.renewed, quorum)


def piece(scores: Scores, part: slice) -> Scores:
    variables = None if scores.variables is None else scores.variables[part]
    return Scores(scores.members[part], variables, fresh=None if scores.fresh is None else scores.fresh[part])


def opinions(muting: MutingSettings) -> Opinions:
    return Opinions(VARIABLES, DETECTORS, VOTERS, CalibrationSettings(), EvidenceSettings(), muting)


@pytest.mark.parametrize("muting", [MUTING, MutingSettings(enabled=False)])
@pytest.mark.parametrize("length", [ROWS, 7, 1])
def test_ballot_in_one_call_equals_the_steps_one_by_one(muting: MutingSettings, length: int) -> None:
    rows, scores = rows_of(), [said(detector, seed) for seed, detector in enumerate(DETECTORS)]
    expected = slow_ballot(rows, DETECTORS, scores, VOTERS, muting)
    given = opinions(muting)
    for start in range(0, ROWS, length):
        part = slice(start, start + length)
        found = given.collect(rows[part], [piece(one, part) for one in scores])
        ballot = found.ballot
        assert ballot.uncut is not None
        np.testing.assert_array_equal(ballot.uncut, expected.uncut[part])
        np.testing.assert_array_equal(ballot.members, expected.members[part])
        np.testing.assert_array_equal(ballot.variables, expected.variables[part])
        np.testing.assert_array_equal(given.others_of(found), expected.others[part])
        for mutes, slow in ((ballot.muted, expected.muted), (ballot.muted_inside, expected.muted_inside)):
            assert (mutes is not None) == slow[part].any()
            np.testing.assert_array_equal(slow[part] if mutes is None else mutes, slow[part])
    assert expected.muted.any() == muting.enabled and (expected.members < expected.uncut).any()
