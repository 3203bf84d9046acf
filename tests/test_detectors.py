"""The contract of a detector, over all that are registered and over river's, which join by name.

Rows reach a detector as in the monitor: through the intake, cut at the segments' ends, learned there.
"""

import dataclasses
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from detectors.block import FloatArray, State
from detectors.intake import Intake, IntakeSettings
from detectors.online.half_space_trees import HalfSpaceTreesSettings
from detectors.online.protocol import Detector, Rewindable, Scores
from detectors.online.registry import DETECTORS, DetectorSettings, build
from detectors.online.river_detector import RiverSettings
from detectors.segments import Pending, cut

SEED = 42
VARIABLES = 3
WINDOW = {"class": "river.neighbors.LazySearch", "parameters": {"window_size": 30}}
RIVER = (
    RiverSettings("river.anomaly.LODA", {"n_random_cuts": 10}),
    RiverSettings("river.anomaly.HalfSpaceTrees", {"n_trees": 5, "height": 4, "window_size": 100}),
    RiverSettings("river.anomaly.OneClassSVM"),
    RiverSettings("river.anomaly.LocalOutlierFactor", {"n_neighbors": 2, "engine": WINDOW}),
)
# Defaults, but for speed.
SETTINGS = DetectorSettings(half_space_trees=HalfSpaceTreesSettings(trees=5, height=5), river=RIVER)
every_detector = pytest.mark.parametrize("name", [*DETECTORS, *(entry.name for entry in RIVER)])


class Host:
    """One detector and what stands around it in a monitor."""

    def __init__(self, name: str, *, seed: int = SEED) -> None:
        self.detector: Detector = build([name], VARIABLES, SETTINGS, seed=seed)[0]
        self.intake, self.pending, self.row = Intake(VARIABLES, IntakeSettings()), Pending(VARIABLES), 0

    def feed(self, values: FloatArray, *, weight: float = 1.0, spoil: bool = False) -> FloatArray:
        """Opinions (T, M + D) on rows (T, D). spoil: overwrite each piece once it was scored or learned."""
        opinions = []
        for piece in cut(self.row, len(values)):
            rows = self.intake.read(values[piece])
            opinions.append(columns(self.detector.score(rows)))
            self.pending.add(rows, np.full(len(rows), weight))
            if spoil:
                rows.values[:] = 1e9
            if self.pending.is_complete:
                learned, weights = self.pending.take()
                self.detector.learn(learned, weights)
                if spoil:
                    learned.values[:] = 1e9
            self.row += len(rows)
        return np.concatenate(opinions)


def columns(scores: Scores) -> FloatArray:
    """All that a detector said, (T, M + D)."""
    return scores.members if scores.variables is None else np.concatenate([scores.members, scores.variables], axis=1)


def series(rows: int) -> FloatArray:
    """A wave, a random walk that returns, and noise on a level."""
    rng = np.random.default_rng(SEED)
    walk = np.zeros(rows)
    steps = rng.normal(size=rows)
    for t in range(1, rows):
        walk[t] = 0.95 * walk[t - 1] + steps[t]
    return np.column_stack(
        [np.sin(np.arange(rows) / 20) + 0.1 * rng.normal(size=rows), walk, 50 + rng.normal(size=rows)]
    )


def awkward() -> dict[str, FloatArray]:
    rng, rows = np.random.default_rng(SEED), 700
    noise = rng.normal(size=(rows, VARIABLES))
    holes = noise.copy()
    holes[rng.random(noise.shape) < 0.2] = np.nan
    holes[200:260] = np.nan
    holes[300:400, 1] = np.nan
    holes[500, 0], holes[501, 1] = np.inf, -np.inf
    late = noise.copy()
    late[:300, 2] = np.nan
    steps = np.repeat(rng.integers(0, 3, size=(7, VARIABLES)), 100, axis=0).astype(float)
    return {
        "flat": np.full((rows, VARIABLES), 0.1),
        "zero": np.zeros((rows, VARIABLES)),
        "tiny": 1e-9 * noise,
        "huge": 1e9 * noise,
        "far from zero": 1e9 + noise,
        "NaN, inf and gaps": holes,
        "nothing there": np.full((rows, VARIABLES), np.nan),
        "late to come": late,
        "steps": steps,
        "flat, then moving": np.where(np.arange(rows)[:, None] < 350, 5.0, noise),
        "counter": np.cumsum(rng.random((rows, VARIABLES)), axis=0) % 100,
        "mixed scales": noise * np.array([1e-9, 1.0, 1e9]),
        "one absurd reading": np.where(np.arange(rows)[:, None] == 350, 9e29, noise),
    }


@every_detector
def test_scores_before_it_learns(name: str) -> None:
    detector = Host(name).detector
    assert isinstance(detector, Detector)
    scores = detector.score(Intake(VARIABLES, IntakeSettings()).read(series(20)))
    assert scores.members.shape == (20, len(detector.members))
    assert (scores.variables is not None) == detector.per_variable
    for array in (scores.variables, scores.expected):
        assert array is None or (array.shape == (20, VARIABLES) and np.isfinite(array).all())
    assert np.isfinite(columns(scores)).all() and (columns(scores) >= 0).all()


@every_detector
@pytest.mark.parametrize("kind", awkward())
def test_scores_are_finite_and_not_negative(name: str, kind: str) -> None:
    opinions = Host(name).feed(awkward()[kind])
    assert np.isfinite(opinions).all() and (opinions >= 0).all()


@every_detector
def test_expected_values_are_finite(name: str) -> None:
    host = Host(name)
    for values in (awkward()["NaN, inf and gaps"], awkward()["huge"]):
        host.feed(values)
        scores = host.detector.score(host.intake.read(values[:5]))
        for array in (scores.expected, scores.fresh):
            assert array is None or np.isfinite(array).all()


@every_detector
def test_a_ten_sigma_spike_outranks_99_percent_of_normal_scores(name: str) -> None:
    """In one column at least: who divides by the reading itself (RePAD2) is blind where readings are around 0."""
    if name == "river.OneClassSVM":
        pytest.skip("river's OneClassSVM is one half-space: what strays to its inner side is normal to it, however far")
    values = np.random.default_rng(SEED).normal(size=(1_500, VARIABLES)) + np.array([0.0, 10.0, 100.0])
    values[1_400] += 10.0
    opinions = Host(name).feed(values)
    normal = np.quantile(opinions[300:1_400], 0.99, axis=0)
    assert (opinions[1_400] > normal).any()


def carry_and_model(name: str) -> tuple[set[str], set[str]]:
    """Names of the arrays that scoring changes, and of those that learning changes."""
    host, carry, model = Host(name), set[str](), set[str]()
    host.feed(series(600))
    for start in range(0, 200, 20):
        rows = host.intake.read(series(800)[600 + start : 620 + start])
        states = [host.detector.state()]
        host.detector.score(rows)
        states.append(host.detector.state())
        host.detector.learn(rows, np.ones(20))
        states.append(host.detector.state())
        carry |= changed(states[0], states[1])
        model |= changed(states[1], states[2])
    return carry, model


def changed(before: State, after: State) -> set[str]:
    return {name for name in after if not np.array_equal(before[name], after[name], equal_nan=True)}


@every_detector
def test_scoring_advances_the_carry_and_leaves_the_model(name: str) -> None:
    carry, model = carry_and_model(name)
    assert carry or model
    assert not carry & model


@every_detector
def test_a_row_scored_again_gets_the_same_score_and_leaves_the_detector_as_it_was(name: str) -> None:
    host = Host(name)
    if not isinstance(host.detector, Rewindable):
        pytest.skip("cannot be rewound: where it votes on whole rows, there is no counterfactual")
    host.feed(series(600))
    carry = host.detector.carry()
    assert sum(array.nbytes for array in carry.values()) <= 64 * VARIABLES
    rows, other = host.intake.read(series(620)[600:]), host.intake.read(-series(10))
    scored, state = columns(host.detector.score(rows)), host.detector.state()
    host.detector.load_carry(carry)
    host.detector.score(other)
    host.detector.load_carry(carry)
    np.testing.assert_array_equal(columns(host.detector.score(rows)), scored)
    assert not changed(state, host.detector.state())


@every_detector
def test_what_was_in_rows_without_weight_is_forgotten_after_a_gap(name: str) -> None:
    _, model = carry_and_model(name)
    if not model:
        return  # learns by its own rule, at the row
    scores = []
    for unlearned in (np.zeros((100, VARIABLES)), 1e3 * series(100)):
        host = Host(name)
        host.feed(series(600))
        host.feed(unlearned, weight=0.0)
        host.feed(np.full((20, VARIABLES), np.nan))
        scores.append(host.feed(series(700)[600:]))
    np.testing.assert_array_equal(scores[0], scores[1])


@every_detector
def test_same_seed_gives_same_scores(name: str) -> None:
    np.testing.assert_array_equal(Host(name).feed(series(700)), Host(name).feed(series(700)))


def blocks(values: FloatArray, lengths: Sequence[int]) -> list[FloatArray]:
    return np.split(values, np.cumsum(lengths))


@every_detector
def test_any_split_into_blocks_gives_the_same_bits(name: str) -> None:
    values = np.concatenate([series(1_100), awkward()["NaN, inf and gaps"]])
    whole = Host(name).feed(values)
    for lengths in ([1] * 1_799, [700, 1, 300, 13, 500], [7] * 257):
        host = Host(name)
        np.testing.assert_array_equal(np.concatenate([host.feed(b) for b in blocks(values, lengths)]), whole)


@every_detector
def test_a_state_taken_in_mid_stream_continues_bit_for_bit(name: str) -> None:
    values = np.concatenate([series(1_100), awkward()["NaN, inf and gaps"], series(300)])
    host = Host(name)
    for taken in (3, 700, 1_101, 1_803):  # some inside a segment
        host.feed(values[host.row : taken])
        other = Host(name)
        other.detector.load_state({key: array.copy() for key, array in host.detector.state().items()})
        other.intake.load_state(host.intake.state())
        other.pending.load_state(host.pending.state())
        other.row = host.row
        expected = host.feed(values[taken : taken + 297])
        np.testing.assert_array_equal(other.feed(values[taken : taken + 297]), expected)
        assert not changed(host.detector.state(), other.detector.state())


@every_detector
def test_a_state_is_arrays_without_objects_and_not_the_detectors_own(name: str) -> None:
    host = Host(name)
    host.feed(series(600))
    state = host.detector.state()
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in state.values())
    for array in state.values():
        array[...] = 1
    assert changed(state, host.detector.state()) == {
        key for key, array in host.detector.state().items() if (array != 1).any()
    }


@every_detector
def test_memory_is_flat_from_10_000_to_20_000_rows(name: str) -> None:
    host, values = Host(name), series(10_000)
    host.feed(values)
    size = sum(array.nbytes for array in host.detector.state().values())
    tracemalloc.start()
    host.feed(values[:16])
    before = tracemalloc.get_traced_memory()[0]
    for start in range(16, 10_000, 1_664):
        host.feed(values[start : start + 1_664])
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert sum(array.nbytes for array in host.detector.state().values()) == size
    assert grown < 100_000


@every_detector
def test_the_input_is_neither_modified_nor_kept(name: str) -> None:
    values = series(700)
    before = values.copy()
    expected = Host(name).feed(values)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(Host(name).feed(values, spoil=True), expected)


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"detector must be one of .*repad2.*, got 'repad3'"):
        build(["repad3"], VARIABLES, DetectorSettings())


@pytest.mark.parametrize("name", list(DETECTORS))
def test_every_detector_has_its_frozen_options_under_its_name(name: str) -> None:
    options = getattr(DetectorSettings(), name)
    assert dataclasses.is_dataclass(options) and type(options).__dataclass_params__.frozen
