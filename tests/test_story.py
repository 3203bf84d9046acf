"""What an explanation tells: what moved first, the way from the cause to the symptom, and how sure it is."""

import numpy as np
import pytest

from detectors.causes.deviation import peer_groups
from detectors.causes.evidence import Window, gather, know_quiet, second_looks
from detectors.causes.explain import explain
from detectors.causes.graph import CausalGraph
from detectors.causes.path import path_to_symptom
from detectors.causes.settings import CausesSettings, EvidenceSettings, WalkSettings
from detectors.findings import Explanation

NAMES = ["db.cpu", "shop.ms", "web.ms", "mail.ms", "auth.load"]
FAULT = 600


def readings(*, late: int = 4, seed: int = 0) -> np.ndarray:
    """db moves the shop one row later and the shop the web; mail and auth stand alone. From FAULT on the db burns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(700, 5))
    x[FAULT:, 0] += 9.0
    x[1:, 1] += 0.8 * x[:-1, 0]
    x[late:, 2] += 0.8 * x[:-late, 1]
    return x + 50.0


def told(x: np.ndarray, *, at: int = FAULT, pairs: list[tuple[str, str]] | None = None, **settings) -> Explanation:
    graph = CausalGraph.from_pairs(pairs, NAMES) if pairs else None
    times = np.arange(len(x), dtype=np.int64) * 10
    return explain(times, x, NAMES, at * 10, settings=CausesSettings(**settings), graph=graph)


def test_what_moved_first_is_told_first_with_what_was_expected() -> None:
    story = told(readings())
    first, second = story.onsets[:2]
    assert (first.variable, first.time, first.rows) == ("db.cpu", 10 * FAULT, 0)
    assert (second.variable, second.rows) == ("shop.ms", 1)
    assert [onset.rows for onset in story.onsets] == sorted(onset.rows for onset in story.onsets)
    assert first.expected == pytest.approx(50.0, abs=0.3)
    assert first.lower < first.expected < first.upper < first.actual
    assert not {"mail.ms", "auth.load"} & {onset.variable for onset in story.onsets}


def test_told_late_the_onset_is_looked_for_in_the_rows_before() -> None:
    story = told(readings(), at=FAULT + 5)
    onsets = {onset.variable: onset for onset in story.onsets}
    assert (onsets["db.cpu"].rows, onsets["db.cpu"].time) == (-5, 10 * FAULT)
    assert onsets["shop.ms"].rows == -4


def test_a_column_that_never_moved_before_has_no_range_but_is_told() -> None:
    x = readings()
    x[:, 4] = 7.0
    x[FAULT + 3 :, 4] = 8.0
    (onset,) = (onset for onset in told(x).onsets if onset.variable == "auth.load")
    assert (onset.rows, onset.actual, onset.expected, onset.lower, onset.upper) == (3, 8.0, 7.0, 7.0, 7.0)


def test_the_way_leads_from_the_cause_along_the_given_graph_to_the_symptom() -> None:
    story = told(readings(), pairs=[("db", "shop"), ("shop", "web"), ("db", "mail")])
    assert [(edge.cause, edge.effect, edge.origin) for edge in story.path] == [
        ("db.cpu", "shop.ms", "given"),
        ("shop.ms", "web.ms", "given"),
    ]
    assert story.path[0].lag == 1  # learned: it was given without one
    assert abs(story.path[0].weight) > 0.3
    assert story.path[0].rows == 577  # 480 quiet rows and 100 since the fault, less three that serve as lags only


def test_learning_moves_given_edges_and_marks_its_own() -> None:
    edges = {
        (e.cause, e.effect): e for e in told(readings(late=1), pairs=[("db", "shop"), ("mail", "auth")]).ranking.edges
    }
    assert edges[("shop.ms", "web.ms")].origin == "learned"
    wrong = edges[("mail.ms", "auth.load")]
    assert (wrong.origin, wrong.rows) == ("given", edges[("db.cpu", "shop.ms")].rows)
    assert abs(wrong.weight) < 0.2 < abs(edges[("db.cpu", "shop.ms")].weight)


def test_where_nothing_is_learned_given_edges_stay_as_they_were_given() -> None:
    x = readings()[FAULT - 8 : FAULT + 2]
    (edge,) = told(x, at=8, pairs=[("db", "shop")]).ranking.edges
    assert (edge.lag, edge.weight, edge.origin, edge.rows) == (0, 1.0, "given", 0)


def graph(edges: dict[tuple[int, int], float], count: int) -> CausalGraph:
    ends = np.array(list(edges), dtype=np.int64)
    names = tuple(f"n{i}" for i in range(count))
    none = np.zeros(len(ends), dtype=np.int64)
    return CausalGraph(names, ends[:, 0], ends[:, 1], none, np.array(list(edges.values())), none.astype(bool))


def way(
    edges: dict[tuple[int, int], float],
    *,
    moved: list[int],
    onset: list[int],
    deviation: list[float],
    kpi: list[int] | None = None,
) -> list:
    count = len(onset)
    found = graph(edges, count)
    numbers = path_to_symptom(
        found,
        0,
        moved=np.isin(np.arange(count), moved),
        onset=np.array(onset),
        deviation=np.array(deviation),
        groups=np.arange(count),
        kpi=None if kpi is None else np.isin(np.arange(count), kpi),
    )
    return [0, *(int(found.effects[number]) for number in numbers)]


def test_the_strongest_way_is_told_and_it_ends_where_nothing_follows() -> None:
    edges = {(0, 1): 0.9, (1, 3): 0.9, (0, 2): 0.5, (2, 3): 0.5, (0, 3): 0.2}
    assert way(edges, moved=[0, 1, 2, 3], onset=[0, 0, 0, 0], deviation=[9, 8, 7, 3]) == [0, 1, 3]


def test_the_way_passes_only_what_moved_and_never_goes_back_in_time() -> None:
    edges = {(0, 1): 0.9, (1, 3): 0.9, (0, 2): 0.5, (2, 3): 0.5}
    assert way(edges, moved=[0, 2, 3], onset=[0, 0, 0, 0], deviation=[9, 8, 7, 3]) == [0, 2, 3]
    assert way(edges, moved=[0, 1, 2, 3], onset=[2, 0, 2, 3], deviation=[9, 8, 7, 3]) == [0, 2, 3]
    assert way(edges, moved=[0], onset=[0, 0, 0, 0], deviation=[9, 8, 7, 3]) == [0]


def test_on_a_cycle_the_way_ends_where_it_strays_most() -> None:
    edges = {(0, 1): 0.9, (1, 2): 0.9, (2, 0): 0.9}
    assert way(edges, moved=[0, 1, 2], onset=[0, 0, 0], deviation=[9, 8, 7]) == [0, 1]


def test_the_way_ends_at_a_named_kpi_where_it_leads_to_one() -> None:
    edges = {(0, 1): 0.9, (1, 3): 0.9, (0, 2): 0.5}
    moved = {"moved": [0, 1, 2, 3], "onset": [0, 0, 0, 0], "deviation": [9, 8, 3, 7]}
    assert way(edges, **moved) == [0, 1, 3]
    assert way(edges, **moved, kpi=[2]) == [0, 2]
    assert way(edges, **moved, kpi=[1]) == [0, 1]
    assert way(edges, moved=[0, 1, 3], onset=[0, 0, 0, 0], deviation=[9, 8, 3, 7], kpi=[2]) == [0, 1, 3]


def test_a_kpi_is_named_by_variable_or_entity() -> None:
    pairs = [("db", "shop"), ("shop", "web"), ("db", "mail")]
    ends = [
        told(readings(), pairs=pairs, walk=WalkSettings(kpi=kpi)).path[-1].effect
        for kpi in ((), ("shop",), ("mail.ms",), ("elsewhere",))
    ]
    assert ends == ["web.ms", "shop.ms", "web.ms", "web.ms"]  # the mail did not move


def test_the_walk_from_a_kpi_is_shown_and_gives_it_no_score() -> None:
    causes = told(
        readings(), pairs=[("db", "shop"), ("shop", "web")], walk=WalkSettings(kpi=("web.ms",))
    ).ranking.causes
    walk = {cause.variable: cause.evidence["walk"] for cause in causes}
    assert walk["web.ms"] == 0.0
    assert max(walk, key=lambda name: walk[name]) == "db.cpu"


def test_an_answer_is_unknown_below_the_level_that_is_set_and_the_list_stays() -> None:
    sure = told(readings()).ranking
    assert sure.answer == "db"
    assert sure.confidence > 0.75  # both halves of the quiet rows agree
    unsure = told(readings(), unknown_below=sure.confidence + 1e-9).ranking
    assert (unsure.answer, unsure.causes, unsure.confidence) == ("unknown", sure.causes, sure.confidence)
    assert told(readings(), unknown_below=sure.confidence).ranking.answer == "db"


def test_an_answer_that_hangs_on_one_half_of_the_quiet_rows_is_not_sure() -> None:
    x = readings()
    before = told(x).ranking
    x[: FAULT // 2, 0] += 60.0 * np.sin(np.arange(FAULT // 2))  # half of the past says: the db has always done that
    after = told(x).ranking
    assert after.confidence < before.confidence - 0.05


def test_each_half_measures_as_the_whole_does_where_the_halves_are_alike() -> None:
    before = np.tile(readings()[:200], (2, 1))
    window = Window(before, before[-3:], readings()[FAULT:])
    quiet = know_quiet(before, peer_groups(NAMES), EvidenceSettings())
    evidence = gather(window, quiet)
    looks = second_looks(window, quiet, evidence)
    for look in (*looks.halves, *looks.steady):
        for name in ("deviation", "conditional", "total"):
            np.testing.assert_allclose(getattr(look, name), getattr(evidence, name), rtol=1e-9)


def test_noise_alone_is_answered_with_unknown() -> None:
    x = np.random.default_rng(3).normal(size=(700, 5))
    ranking = told(x, at=650).ranking
    assert (ranking.answer, ranking.confidence) == ("unknown", 0.0)
    assert "noise" in ranking.note


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_a_level_that_is_no_confidence_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="unknown_below must be between 0 and 1"):
        CausesSettings(unknown_below=level)
