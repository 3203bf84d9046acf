"""An episode from its opening to its end: onset, revisions, convergence, and the same bits in any split."""

import numpy as np
import pytest
from reference_triggers import SlowCauses

from detectors.block import Block
from detectors.causes.causes import Causes
from detectors.causes.episode import Episode, open_episode, rows_since_onset
from detectors.causes.graph import CausalGraph
from detectors.causes.settings import CausesSettings, ChangeSettings, EpisodeSettings, EvidenceSettings, MssaSettings
from detectors.findings import Ranking, Trigger
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

NAMES = ["db.cpu", "db.io", "shop.ms", "shop.rate", "web.ms"]
ONLY_VERDICTS = CausesSettings(change=ChangeSettings(enabled=False), mssa=MssaSettings(enabled=False))


def system(rows: int, *, fault: int, seed: int = 0) -> np.ndarray:
    """db.cpu slows the shop, which slows the web; from row `fault` on the db burns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    x[fault:, 0] += 8.0
    x[1:, 2] += 0.8 * x[:-1, 0]
    x[1:, 4] += 0.8 * x[:-1, 2]
    return x


def run(
    x: np.ndarray,
    verdicts: set[int],
    *,
    settings: CausesSettings = ONLY_VERDICTS,
    cut: int = 1000,
    graph=None,
    made=Causes,
) -> tuple[list[Trigger], list[Ranking]]:
    causes = made(NAMES, settings, graph=graph, seed=0)
    triggers, rankings = [], []
    for start in range(0, len(x), cut):
        rows = x[start : start + cut]
        times = np.arange(start, start + len(rows)) * 10
        flagged = np.isin(np.arange(start, start + len(rows)), list(verdicts))
        found = causes.step(Block(times, rows), flagged, np.zeros_like(rows))
        triggers += found[0]
        rankings += found[1]
    return triggers, rankings


def test_a_verdict_opens_an_episode_that_names_the_root_and_ends() -> None:
    _, rankings = run(system(400, fault=300), {302, 303})
    assert {r.opened for r in rankings} == {3020}
    assert [r.revision for r in rankings] == list(range(len(rankings)))
    assert rankings[0].time == 3020  # the first list does not wait
    assert rankings[-1].ended and rankings[-1].converged
    assert all(r.causes[0].entity == "db" for r in rankings)
    assert all(r.baseline_causes for r in rankings)


def test_the_onset_is_before_the_alarm_where_the_change_was() -> None:
    _, rankings = run(system(400, fault=300), {305})
    assert rankings[0].onset == 3000


def test_the_onset_is_never_after_the_alarm_and_drift_is_no_onset() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        z = rng.normal(size=(30, 4)) * rng.choice([1.0, 6.0], size=(30, 4))
        assert 0 <= rows_since_onset(z) < 30
    assert rows_since_onset(np.full((30, 2), 9.0)) == 0


def test_verdicts_within_one_unrest_open_one_episode() -> None:
    _, rankings = run(system(500, fault=300), set(range(302, 420)))
    assert {r.opened for r in rankings} == {3020}


def test_after_calm_another_verdict_opens_another_episode() -> None:
    x = system(600, fault=300)
    x[310:] = system(290, fault=0, seed=1) - [8.0, 0, 0, 0, 0]
    x[500:, 1] += 9.0
    _, rankings = run(x, {301, 302, 500})
    assert sorted({r.opened for r in rankings}) == [3010, 5000]
    assert [r.causes[0].variable for r in rankings if r.opened == 5000][-1] == "db.io"


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_any_split_into_blocks_gives_the_same_bits(cut: int) -> None:
    settings = CausesSettings(mssa=MssaSettings(window=6, columns=6))
    x = system(500, fault=300)
    x[100:110, 1] = np.nan
    assert run(x, {301, 450}, settings=settings, cut=cut) == run(x, {301, 450}, settings=settings)


@pytest.mark.parametrize("settings", [CausesSettings(), CausesSettings(history_rows=60, accept_rows=20), ONLY_VERDICTS])
def test_quiet_rows_taken_at_once_give_the_same_bits_as_a_slow_loop_over_rows(settings: CausesSettings) -> None:
    x = system(500, fault=300)
    x[360:] = system(140, fault=0, seed=1) - [8.0, 0, 0, 0, 0]
    x[100:110, 1] = np.nan
    verdicts = {301, 302, 330, 450}
    slow = run(x, verdicts, settings=settings, made=SlowCauses)
    assert slow[1]
    for cut in (1, 9, 1000):
        assert run(x, verdicts, settings=settings, cut=cut) == slow


def test_a_state_taken_anywhere_goes_on_bit_for_bit() -> None:
    settings = CausesSettings()
    x, graph = system(500, fault=300), CausalGraph.from_pairs([("db", "shop"), ("shop", "web")], NAMES)
    expected = run(x, {301, 470}, settings=settings, graph=graph)
    causes = Causes(NAMES, settings, graph=graph, seed=0)
    found: tuple[list[Trigger], list[Ranking]] = ([], [])
    for i, row in enumerate(x):
        if i in (50, 295, 305, 310, 471):
            state = causes.state()
            causes = Causes(NAMES, settings, graph=graph, seed=0)
            causes.load_state(state)
        step = causes.step(Block(np.array([10 * i]), row[None]), np.array([i in (301, 470)]), np.zeros((1, 5)))
        found[0].extend(step[0])
        found[1].extend(step[1])
    assert found == expected
    assert expected[1]


def test_given_edges_are_shown_as_given_and_learned_ones_as_learned() -> None:
    graph = CausalGraph.from_pairs([("web", "db")], NAMES)
    settings = CausesSettings(change=ChangeSettings(enabled=False), mssa=MssaSettings(enabled=False))
    _, rankings = run(system(700, fault=600), {601}, settings=settings, graph=graph)
    origins = {(e.cause, e.effect): e.origin for e in rankings[-1].edges}
    assert origins[("web.ms", "db.cpu")] == "given"
    assert origins[("db.cpu", "shop.ms")] == "learned"


def test_a_list_that_never_settles_is_given_up_with_a_reason() -> None:
    x = system(400, fault=300)
    x[300:] = np.random.default_rng(5).normal(size=(100, 5)) * 9.0
    settings = CausesSettings(
        change=ChangeSettings(enabled=False),
        mssa=MssaSettings(enabled=False),
        episode=EpisodeSettings(batch_rows=2, max_batches=4, agreements=9),
    )
    _, rankings = run(x, {300}, settings=settings)
    assert rankings[-1].ended and not rankings[-1].converged
    assert "settle" in rankings[-1].note
    assert len(rankings) == 4


def test_a_lasting_change_becomes_history_after_a_bounded_time() -> None:
    settings = CausesSettings(
        change=ChangeSettings(enabled=False), mssa=MssaSettings(enabled=False), accept_rows=50, history_rows=100
    )
    x = system(900, fault=300)
    x[700:, 3] += 9.0
    _, rankings = run(x, {*range(300, 600), 700}, settings=settings)
    last = [r for r in rankings if r.opened == 7000][-1]
    assert last.causes[0].variable == "shop.rate"  # not db.cpu: its new level is normal by now


def test_an_episode_survives_its_state() -> None:
    x = system(100, fault=90)
    episode = open_episode("trigger", x[:90], np.arange(90), x[90], 90, EvidenceSettings())
    episode.extend(x[90:91], most=100)
    episode.settle((2, 0), EpisodeSettings())
    again = Episode.of_state(episode.state())
    assert again.leaders == (2, 0)
    np.testing.assert_array_equal(again.window.after, episode.window.after)


def test_another_change_supersedes_an_episode_that_has_not_settled() -> None:
    settings = CausesSettings(
        mssa=MssaSettings(enabled=False), episode=EpisodeSettings(agreements=9), history_rows=400, accept_rows=400
    )
    x = system(480, fault=480)
    x[400:, 0] += 12.0
    x[430:, 2:5] += 60.0
    triggers, rankings = run(x, set(), settings=settings)
    assert [t.row for t in triggers if t.row >= 400] == [400, 430]
    first = [r for r in rankings if r.opened == 4000]
    assert first[-1].ended and "another change" in first[-1].note
    assert first[-1].time == 4290  # the rows of the next change are not its own
    assert any(r.opened == 4300 for r in rankings)


def test_an_absurd_reading_is_a_missing_one_to_triggers_and_causes():
    values = np.random.default_rng(3).normal(10.0, 0.1, (400, 4))
    values[300:310, 1] += 4.0
    rankings = []
    for odd in (np.nan, 1e308):
        values[303:306, 2] = values[150, 0] = odd
        times = np.arange(len(values)) * 10**9
        found = Monitor(("a.x", "a.y", "b.x", "b.y"), MonitorSettings()).step(Block(times, values.copy()))
        assert found.rankings
        rankings.append((found.triggers, found.rankings))
    assert repr(rankings[0]) == repr(rankings[1])
