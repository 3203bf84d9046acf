"""What speaks against a first answer, and when it is said to be unknown."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.causes.confidence import Confidence, judge_confidence, strays_alike
from detectors.causes.deviation import fit_baseline, no_finer, peer_groups, standardise
from detectors.causes.evidence import Evidence, Looks
from detectors.causes.explain import explain
from detectors.causes.ranking import suspects
from detectors.causes.settings import CausesSettings
from detectors.findings import Ranking

NAMES = ["db.cpu", "shop.ms", "web.ms", "mail.ms", "auth.load"]
FAULT = 600


def quiet() -> np.ndarray:
    """The db moves the shop one row later, and the shop the web; mail and auth stand alone."""
    x = np.random.default_rng(0).normal(size=(700, 5))
    x[1:, 1] += 0.8 * x[:-1, 0]
    x[1:, 2] += 0.8 * x[:-1, 1]
    return x + 50.0


def told(x: np.ndarray, names: list[str] = NAMES, **settings: float) -> Ranking:
    times = np.arange(len(x), dtype=np.int64)
    return explain(times, x, names, FAULT, settings=CausesSettings(**settings)).ranking


def evidence(deviation: list[float], given_rest: list[float]) -> Evidence:
    """What so many variables show in 20 rows."""
    m, c = np.array(deviation), np.array(given_rest)
    total = np.log1p(np.minimum(m, c)) + 0.25 * np.log1p(c)
    nothing, rows = np.zeros(len(m)), np.zeros((20, len(m)))
    return Evidence(m, c, nothing, total, nothing.astype(np.int64), nothing > 0, rows, rows[:3], rows)


def judged(
    found: Evidence, *, half: Evidence | None = None, steady: Evidence | None = None, parents: np.ndarray | None = None
) -> Confidence:
    """half, steady: what one half of the quiet rows shows, without and with the floor of its scales."""
    given_rest = replace(found, total=1.25 * np.log1p(found.conditional))
    looks = Looks((found, half or found), (found, steady or found), given_rest)
    names = NAMES[: len(found.total)]
    return judge_confidence(found, suspects(found, parents), names, looks=looks, parents=parents, unknown_below=0.5)


def test_a_fault_of_one_entity_is_named() -> None:
    x = quiet()
    x[FAULT:, 0] += 9.0
    x[FAULT + 1 :, 1] += 7.0
    ranking = told(x)
    assert (ranking.answer, ranking.note) == ("db", "")
    assert ranking.confidence > 0.75


def test_a_cause_outside_that_moves_every_entity_is_unknown_and_the_guesses_stay() -> None:
    x = quiet()
    x[FAULT:] += [9.0, -8.0, 7.0, 8.0, -9.0]
    ranking = told(x)
    assert (ranking.answer, len(ranking.causes)) == ("unknown", 5)
    assert "the cause may lie outside" in ranking.note
    assert ranking.confidence < 0.5
    named = told(x, unknown_below=0.0)
    assert (named.answer, named.causes) == (ranking.causes[0].entity, ranking.causes)


def test_of_fewer_than_four_entities_all_may_stray_alike() -> None:
    assert not strays_alike(np.array([9.0, 9.0, 9.0]), 0, 2.0)
    assert strays_alike(np.array([9.0, 9.0, 9.0, 9.0]), 0, 2.0)


def test_what_strays_no_further_than_noise_strays_like_nothing() -> None:
    assert not strays_alike(np.array([3.0, 1.9, 1.9, 1.9, 1.9]), 0, 2.0)


def test_an_answer_is_unknown_if_half_of_the_quiet_rows_would_give_another() -> None:
    found, other = evidence([9.0, 2.0, 1.0], [9.0, 2.0, 1.0]), evidence([1.0, 8.0, 1.0], [1.0, 8.0, 1.0])
    doubted = judged(found, half=other, steady=other)
    assert doubted.answer == "unknown"
    assert "half of the quiet rows" in doubted.note
    assert doubted.value < 0.5


def test_a_half_that_objects_by_too_fine_a_scale_only_lowers_the_confidence() -> None:
    found, other = evidence([9.0, 2.0, 1.0], [9.0, 2.0, 1.0]), evidence([1.0, 8.0, 1.0], [1.0, 8.0, 1.0])
    sure, doubted = judged(found), judged(found, half=other)
    assert (doubted.answer, doubted.note) == ("db", "")
    assert 0.5 <= doubted.value < 0.75 < sure.value


@pytest.mark.parametrize(("others", "answer"), [(9.5, "db"), (30.0, "unknown")])
def test_an_answer_is_unknown_if_another_strays_clearly_further_given_the_rest(others: float, answer: str) -> None:
    found = judged(evidence([9.0, 4.0, 1.0], [9.0, others, 1.0]))
    assert found.answer == answer
    assert ("given the rest" in found.note) == (answer == "unknown")


def test_what_strays_given_the_rest_is_no_objection_where_a_graph_is_given() -> None:
    parents = np.zeros((3, 3), dtype=np.bool_)
    parents[0, 1] = True
    found = judged(evidence([9.0, 4.0, 1.0], [9.0, 30.0, 1.0]), parents=parents)
    assert (found.answer, found.note) == ("db", "")


def test_confidence_grows_with_the_lead_and_with_the_size_of_the_evidence() -> None:
    leads = [judged(evidence([9.0, other, 1.0], [9.0, other, 1.0])).value for other in (8.0, 6.0, 4.0, 2.0)]
    sizes = [judged(evidence([9.0 * k, 6.0 * k, k], [9.0 * k, 6.0 * k, k])).value for k in (1.0, 2.0, 4.0)]
    assert leads == sorted(set(leads))
    assert sizes == sorted(set(sizes))


def test_a_column_that_rested_through_a_half_is_measured_by_all_quiet_rows() -> None:
    rows = quiet()[:200]
    rows[:100, 3] = 50.0
    groups = peer_groups(["a", "b", "c", "d", "e"])  # no peers
    whole, half = (fit_baseline(some, groups, peer_floor=0.0) for some in (rows, rows[:100]))
    floored = no_finer(half, whole, share=0.6)
    assert half.frozen[3]
    assert not floored.frozen[3]
    assert floored.scale[3] == 0.6 * whole.scale[3]
    np.testing.assert_array_equal(floored.center, half.center)
    np.testing.assert_array_equal(floored.scale[:3], np.maximum(half.scale, 0.6 * whole.scale)[:3])


def test_a_column_that_never_moved_jumps_as_far_by_a_half_as_by_the_whole() -> None:
    rows = np.full((40, 2), 7.0)
    rows[:, 0] = np.arange(40.0)
    whole, half = (fit_baseline(some, peer_groups(["a", "b"]), peer_floor=0.0) for some in (rows, rows[:20]))
    moved = np.array([[5.0, 8.0]])
    floored = no_finer(half, whole, share=0.6)
    assert standardise(moved, floored)[0, 1] == standardise(moved, whole)[0, 1] == 500.0
