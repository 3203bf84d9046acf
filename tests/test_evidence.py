"""What counts as evidence against a variable, and what does not."""

import numpy as np
import pytest

from detectors.causes.confidence import noise_level
from detectors.causes.deviation import fit_baseline, peer_groups, standardise, strength
from detectors.causes.evidence import Window, gather, know_quiet
from detectors.causes.settings import EvidenceSettings
from detectors.causes.shares import of_few_levels, share_shift

ALONE = np.full(3, -1)


def window(rows: np.ndarray, split: int) -> Window:
    return Window(rows[: split - 4], rows[split - 4 : split], rows[split:])


def evidence_of(rows: np.ndarray, split: int):
    cut = window(rows, split)
    groups = np.full(rows.shape[1], -1)
    return gather(cut, know_quiet(cut.before, groups, EvidenceSettings()))


def test_a_spike_of_one_row_weighs_less_than_a_smaller_shift_of_two() -> None:
    spike, shift = np.zeros((8, 1)), np.zeros((8, 1))
    spike[3], shift[3:5] = 30.0, 6.0
    assert strength(spike, np.zeros(1)) < strength(shift, np.zeros(1))


def test_a_fault_of_two_rows_told_one_row_late_is_no_spike() -> None:
    late = np.zeros((8, 1))
    late[0] = 6.0
    assert strength(late, np.full(1, 6.0)) == pytest.approx(np.sqrt(6.0 * 6.0 / 8))
    assert strength(late, np.zeros(1)) == 0.0


def test_the_newest_row_counts_whole_for_nobody_knows_the_next() -> None:
    np.testing.assert_array_equal(strength(np.array([[-7.0, 2.0]]), np.zeros(2)), [7.0, 2.0])
    assert strength(np.array([[0.0], [0.0], [12.0]]), np.zeros(1)) == pytest.approx(np.sqrt(12.0 * 4.0))


@pytest.mark.parametrize("shape", [(16, 90), (60, 30), (600, 10)])
def test_the_noise_level_is_what_the_largest_of_noise_reaches(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    largest = [strength(rng.normal(size=shape), rng.normal(size=shape[1])).max() for _ in range(50)]
    assert np.median(largest) == pytest.approx(noise_level(np.zeros(shape)), rel=0.2)


def test_a_floor_from_peers_ends_at_a_tenth_of_the_largest_reading() -> None:
    rows = np.random.default_rng(0).normal(10.0, 1.0, size=(200, 4)) * [1e-3, 1.0, 1e3, 2e3]
    groups = peer_groups(["a.rate", "b.rate", "c.rate", "d.rate"])
    moved = np.array([[1.5e-2, 10.0, 1e4, 2e4]])  # the first by five of its deviations, in a unit far smaller
    assert standardise(moved, fit_baseline(rows, groups, peer_floor=0.03))[0, 0] > 2.0


def test_a_constant_column_keeps_the_floor_of_its_peers() -> None:
    rows = np.random.default_rng(0).normal(10.0, 1.0, size=(200, 3)) * [0.0, 1.0, 9.0]
    found = fit_baseline(rows, peer_groups(["a.rate", "b.rate", "c.rate"]), peer_floor=0.03)
    assert found.constant[0] and not found.frozen[0]
    assert 0.1 < found.scale[0] < 1.0


def test_an_effect_three_rows_late_is_explained_by_its_cause() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(460, 3))
    rows[400:, 0] += 5.0
    rows[3:, 1] += 3.0 * rows[:-3, 0]
    found = evidence_of(rows, 400)
    assert found.deviation[1] > 3.0
    assert found.conditional[1] < 2.0 < found.conditional[0]
    assert found.total.argmax() == 0


def test_many_variables_for_few_rows_take_one_lag() -> None:
    rng = np.random.default_rng(2)
    wide, narrow = rng.normal(size=(60, 30)), rng.normal(size=(60, 3))
    assert know_quiet(wide, np.full(30, -1), EvidenceSettings()).model.lags == 1
    assert know_quiet(narrow, ALONE, EvidenceSettings()).model.lags == 3


def test_a_level_held_for_long_is_no_shift_of_shares() -> None:
    rng = np.random.default_rng(3)
    held = np.repeat(rng.integers(0, 3, size=12), 20).astype(float)  # each level for 20 rows
    free = rng.integers(0, 3, size=240).astype(float)
    known = of_few_levels(np.column_stack([held, free]))
    after = np.ones((8, 2))
    shifts = share_shift(known, after)
    assert shifts[0] == 0.0
    assert shifts[1] > 2.0


def test_a_state_that_no_longer_follows_its_causes_is_found_though_it_takes_its_levels_as_often() -> None:
    rng = np.random.default_rng(4)
    causes = rng.integers(0, 4, size=(900, 2))
    root = np.where(rng.random(900) < 0.5, causes[:, 0], causes[:, 1])
    root[600:] = rng.integers(0, 4, size=300)  # the same shares, and no relation
    effect = (root + (rng.random(900) < 0.4)) % 4
    rows = np.column_stack([causes, effect, root]).astype(float)
    shifts = share_shift(of_few_levels(rows[:600]), rows[600:])
    assert shifts.argmax() == 3


def test_a_reading_on_a_level_never_seen_is_left_to_the_deviation_if_there_are_many() -> None:
    rows = np.random.default_rng(6).integers(0, 3, size=(200, 1)).astype(float)
    known = of_few_levels(rows)
    assert share_shift(known, np.full((20, 1), 7.0))[0] == 0.0
    assert share_shift(known, np.full((20, 1), np.nan))[0] == 0.0
    few = np.zeros((40, 1))
    few[0] = 7.0
    assert share_shift(known, few)[0] > 0.0
