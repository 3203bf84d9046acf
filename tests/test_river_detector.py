"""Any anomaly detector of river joins by name, and its state travels as plain arrays."""

import collections
import functools
import random

import numpy as np
import pytest
from river import anomaly

from detectors.block import Block, Rows
from detectors.monitor import Monitor
from detectors.online.objects import NotCarriedError, freeze, thaw
from detectors.online.registry import DetectorSettings, build
from detectors.online.river_detector import RiverDetector, RiverSettings, not_negative
from detectors.settings import MonitorSettings

SEED = 3
LODA = RiverSettings("river.anomaly.LODA", {"n_random_cuts": 5})


def noise(rows: int, variables: int = 3) -> np.ndarray:
    return np.random.default_rng(SEED).normal(size=(rows, variables))


def fed(detector: RiverDetector, values: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Scores (T,) of rows that are scored and learned one by one."""
    rows, scores = Rows.complete(values), []
    for t in range(len(rows)):
        scores.append(detector.score(rows[t : t + 1]).members[0, 0])
        detector.learn(rows[t : t + 1], np.full(1, weight))
    return np.array(scores)


class TestObjects:
    def test_what_python_has_comes_back_equal(self) -> None:
        things = [
            *(None, True, False, 0, -(2**63), 2**64, 0.1, float("inf"), "", "naïve", b"\x00\xff", (), (1, (2,))),
            *([1, [2]], {}, {1: {"a": 2.5}}, {1}, frozenset({"x"}), collections.deque([1, 2], maxlen=2)),
            *(collections.defaultdict(list, {1: [2]}), collections.Counter("aab"), collections.OrderedDict(a=1)),
        ]
        for thing in things:
            back = thaw(freeze(thing, []), [])
            assert back == thing and type(back) is type(thing)
        bounded = thaw(freeze(collections.deque([1, 2], maxlen=2), []), [])
        bounded.append(3)
        assert list(bounded) == [2, 3]

    def test_floats_and_arrays_keep_their_bits(self) -> None:
        assert np.isnan(thaw(freeze(float("nan"), []), []))
        assert np.signbit(thaw(freeze(-0.0, []), []))
        array = np.array([[1.5, np.nan], [np.inf, -0.0]], dtype=np.float32)
        back = thaw(freeze(array, []), [])
        assert back.dtype == array.dtype and back.tobytes() == array.tobytes()

    def test_references_stay_shared_and_circular(self) -> None:
        shared: list[object] = [1]
        shared.append(shared)
        first, second = thaw(freeze((shared, {"again": shared}), []), [])
        assert first is second["again"] and first[1] is first

    def test_a_random_generator_goes_on_where_it_was(self) -> None:
        rng = random.Random(SEED)
        rng.gauss(0, 1)
        back = thaw(freeze(rng, []), [])
        assert [back.gauss(0, 1) for _ in range(9)] == [rng.gauss(0, 1) for _ in range(9)]

    @pytest.mark.parametrize(
        ("thing", "told"),
        [
            ({"f": lambda: 1}, r"dict\.f"),
            ([{1, 2}], r"list\[0\] is a set of 2, whose order is not kept"),
            ([open], r"list\[0\] is a global of its module, open"),
            (functools.partial(print), r"partial\[0\] is a global of its module, print"),
            (LODA, r"is the class detectors\.online\.river_detector\.RiverSettings"),
        ],
    )
    def test_what_cannot_be_carried_is_refused_with_the_way_to_it(self, thing: object, told: str) -> None:
        with pytest.raises(NotCarriedError, match=told):
            freeze(thing, ["river"])

    def test_a_state_cannot_bring_in_what_is_not_of_the_packages(self) -> None:
        state = freeze(anomaly.OneClassSVM(), ["river"])
        with pytest.raises(ValueError, match=r"river\.anomaly\.svm:OneClassSVM is not of any package"):
            thaw(state, [])
        words = state["words"].tobytes().replace(b"river.anomaly.svm:OneClassSVM", b"os:system")
        with pytest.raises(ValueError, match="os:system is not of river"):
            thaw({**state, "words": np.frombuffer(words, dtype=np.uint8)}, ["river"])

    def test_a_state_calls_no_function(self) -> None:
        state = freeze(collections.OrderedDict(a=1), ["river"])
        words = state["words"].tobytes().replace(b"collections:OrderedDict", b"river.utils.math:softmax")
        with pytest.raises(ValueError, match=r"softmax.* makes none"):
            thaw({**state, "words": np.frombuffer(words, dtype=np.uint8)}, ["river"])

    def test_arrays_that_hold_no_object_are_refused(self) -> None:
        state = freeze([1, 2.5], [])
        for name in ("codes", "integers", "floats"):
            with pytest.raises(ValueError, match="do not hold an object"):
                thaw({**state, name: state[name][:-1]}, [])


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("os.system", {}, "class must be one under river.anomaly, such as river.anomaly.LODA, got 'os.system'"),
        ("river.anomaly.LODAA", {}, "got 'river.anomaly.LODAA'; nearest: LODA"),
        ("river.anomaly.loda.os", {}, "got 'river.anomaly.loda.os'"),
        ("river.anomaly.QuantileFilter", {}, "a filter turns another detector's score into yes or no"),
        ("river.anomaly.GaussianScorer", {}, "it judges one target y given x, not a row"),
        ("river.anomaly.PredictiveAnomalyDetection", {}, "it judges one target y given x, not a row"),
        ("river.anomaly.LODA", {"bins": 3}, "parameters must be those of river.anomaly.LODA.*'bins'"),
        ("river.anomaly.LODA", {"n_bins": "ten"}, "parameters must let river.anomaly.LODA learn"),
        ("river.anomaly.LocalOutlierFactor", {"engine": {"class": "os.system"}}, "one of river's.*'os.system'"),
        ("river.anomaly.LocalOutlierFactor", {"engine": {"class": "river.neighbors.LazySearch", "x": 1}}, "only"),
    ],
)
def test_what_cannot_join_is_refused_with_what_would_be_right(name: str, parameters: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RiverSettings(name, parameters)


def test_a_class_whose_state_cannot_be_carried_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unbound(anomaly.LODA):
        """Keeps a function that no name leads to."""

        def __init__(self) -> None:
            super().__init__()
            self.weigh = lambda x: x

    monkeypatch.setattr(anomaly, "Unbound", Unbound, raising=False)
    with pytest.raises(ValueError, match=r"class must have a state that can be carried, got river\.anomaly\.Unbound"):
        RiverSettings("river.anomaly.Unbound")


def test_names_are_the_classes_and_must_differ() -> None:
    assert LODA.name == "river.LODA"
    with pytest.raises(ValueError, match=r"a name of its own for each detector, got 'river\.LODA' twice"):
        DetectorSettings(river=(LODA, LODA))
    with pytest.raises(ValueError, match="got 'ewma' twice"):
        DetectorSettings(river=(RiverSettings("river.anomaly.LODA", name="ewma"),))
    both = DetectorSettings(river=(LODA, RiverSettings("river.anomaly.LODA", {"n_bins": 3}, name="coarse")))
    assert [d.name for d in build(["coarse", "river.LODA", "ewma"], 3, both)] == ["coarse", "river.LODA", "ewma"]


def test_scores_are_rivers_over_standardised_rows() -> None:
    """What is scored is what is learned later: in deviations of all rows learned so far."""
    values = noise(150) * np.array([1e-6, 1.0, 1e6])
    detector, model = RiverDetector(3, LODA, seed=SEED), anomaly.LODA(n_random_cuts=5, seed=SEED)
    detector.learn(Rows.complete(values[:50]), np.ones(50))  # the scale only: there was none to see these rows by
    for t in range(50, 150):
        rows = Rows.complete(values[t : t + 1], first=t)
        z = dict(enumerate(((values[t] - values[:t].mean(axis=0)) / values[:t].std(axis=0)).tolist()))
        assert detector.score(rows).members[0, 0] == pytest.approx(not_negative(model.score_one(z)), rel=1e-6)
        detector.learn(rows, np.ones(1))
        model.learn_one(z)


def test_a_tenth_of_the_weight_learns_a_tenth_of_the_rows() -> None:
    detector = RiverDetector(3, LODA, seed=SEED)
    fed(detector, noise(60))
    before = seen(detector)
    fed(detector, noise(100), weight=0.1)
    assert seen(detector) - before in (9, 10)
    before = seen(detector)
    fed(detector, noise(50), weight=0.0)
    assert seen(detector) == before


def seen(detector: RiverDetector) -> int:
    return int(detector._model.histograms_[0].n)


def test_a_missing_cell_stands_at_the_mean_and_an_empty_row_is_passed_over() -> None:
    detector = RiverDetector(3, LODA, seed=SEED)
    values = noise(120)
    fed(detector, values)
    mean = values.mean(axis=0)
    rows = Rows.complete(np.array([[1.0, mean[1], -1.0], [1.0, 1e30, -1.0], [0.0, 0.0, 0.0]]), first=120)
    rows.present[1, 1], rows.present[2] = False, False
    at_mean, missing, empty = detector.score(rows).members[:, 0]
    assert missing == pytest.approx(at_mean, rel=1e-6) and empty == 0.0
    before = seen(detector)
    detector.learn(rows[2:3], np.ones(1))
    assert seen(detector) == before


def test_the_seed_is_the_monitors_unless_it_is_given() -> None:
    fixed = RiverSettings("river.anomaly.LODA", {"n_random_cuts": 5, "seed": 1})
    values = noise(100)
    ours, other = (fed(RiverDetector(3, LODA, seed=seed), values) for seed in (1, 2))
    assert (ours != other).any()
    np.testing.assert_array_equal(fed(RiverDetector(3, fixed, seed=2), values), ours)


def test_a_state_of_another_class_is_refused() -> None:
    state = RiverDetector(3, RiverSettings("river.anomaly.OneClassSVM")).state()
    with pytest.raises(ValueError, match="the state must be of LODA, got one of OneClassSVM"):
        RiverDetector(3, LODA).load_state(state)


@pytest.mark.parametrize("vote", [True, False])
def test_it_votes_or_is_told_as_muted_and_its_monitor_goes_on_from_a_state(vote: bool) -> None:
    entry = RiverSettings("river.anomaly.LODA", {"n_random_cuts": 5}, vote=vote)
    settings = MonitorSettings(detectors=DetectorSettings(river=(entry,)))
    values = noise(500)
    values[450] = 12.0
    blocks = [Block(np.arange(a, b), values[a:b]) for a, b in ((0, 403), (403, 500))]
    whole, other = Monitor(list("abc"), settings, seed=SEED), Monitor(list("abc"), settings, seed=SEED)
    whole.step(blocks[0])
    other.load_state(whole.state())
    found, again = whole.step(blocks[1]), other.step(blocks[1])
    np.testing.assert_array_equal(found.scores, again.scores)
    assert found.details == again.details
    verdict = next(v for v in found.details if v.row == 450)
    states = {v.detector: v.state for v in verdict.votes}
    assert (states["river.LODA.score"] == "muted") is not vote
