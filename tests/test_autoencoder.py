"""The autoencoder beside the vote path: what it learns, that it repeats, and that nobody ever waits for it."""

import importlib.util
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from fakes import FakeMonitor, row

from detectors.background.autoencoder import Autoencoder, AutoencoderSettings, available
from detectors.background.worker import Background, InStep, Result, Worker
from detectors.block import State
from stream.pipeline import Pipeline
from stream.records import FindingRecord, VerdictRecord

SEED = 5
SMALL = AutoencoderSettings(hidden=32, code=4, memory_rows=512, device="cpu")


def related(rows: int) -> np.ndarray:
    """Six variables that follow two waves."""
    rng = np.random.default_rng(SEED)
    waves = np.column_stack([np.sin(np.arange(rows) / 7), np.cos(np.arange(rows) / 11)])
    return waves @ rng.normal(size=(2, 6)) + 0.05 * rng.normal(size=(rows, 6))


def scored(values: np.ndarray, *, normal: np.ndarray | None = None, model: Autoencoder | None = None) -> np.ndarray:
    model = model or Autoencoder(values.shape[1], SMALL, seed=SEED)
    normal = np.ones(len(values), np.bool_) if normal is None else normal
    return np.array([score for _, score in model.step(np.arange(len(values)), values, normal)])


def test_a_broken_relation_is_over_the_line_and_normal_rows_are_not() -> None:
    values = related(1_600)
    values[1_500:1_505, 0] *= -1  # of its usual size, on the wrong side of the others
    scores = scored(values)
    assert scores[1_500:1_505].max() > 1.5
    assert (scores[1_000:1_500] > 1).mean() < 0.03


def test_scores_are_late_by_less_than_a_micro_batch_and_in_order() -> None:
    model, values = Autoencoder(6, SMALL), related(40)
    assert model.step(np.arange(15), values[:15], np.ones(15, np.bool_)) == []
    found = model.step(np.arange(15, 40), values[15:], np.ones(25, np.bool_))
    assert [time for time, _ in found] == list(range(32))


def test_no_opinion_before_it_has_learned() -> None:
    assert not scored(related(400), normal=np.zeros(400, np.bool_)).any()


def test_rows_judged_anomalous_are_not_learned() -> None:
    values, normal = related(1_200), np.ones(1_200, np.bool_)
    shifted = values.copy()
    shifted[800:, :3] += 2.0
    learned = scored(shifted, normal=normal)
    normal[800:] = False
    refused = scored(shifted, normal=normal)
    assert np.median(refused[1_100:]) > 2 * np.median(learned[1_100:])


def test_flat_tiny_huge_and_missing_rows_give_finite_scores() -> None:
    values = related(600) * np.array([1e-9, 1e9, 1.0, 0.0, 1.0, 1.0])
    values[200:, 4] = np.nan
    values[np.random.default_rng(SEED).random(values.shape) < 0.1] = np.nan
    values[400:420] = np.nan
    values[450, 5] = np.inf
    scores = scored(values)
    assert np.isfinite(scores).all() and (scores >= 0).all() and scores[300:400].any()
    assert not scores[400:420].any()


def test_any_split_gives_the_same_bits() -> None:
    values, normal = related(500), np.ones(500, np.bool_)
    whole, model, found = scored(values), Autoencoder(6, SMALL, seed=SEED), []
    for start in range(0, 500, 7):
        cut = slice(start, start + 7)
        found += model.step(np.arange(500)[cut], values[cut], normal[cut])
    np.testing.assert_array_equal([score for _, score in found], whole)


def test_a_state_in_mid_stream_continues_bit_for_bit() -> None:
    values = related(800)
    model = Autoencoder(6, SMALL, seed=SEED)
    scored(values[:501], model=model)
    other = Autoencoder(6, SMALL, seed=SEED)
    other.load_state({name: array.copy() for name, array in model.state().items()})
    np.testing.assert_array_equal(scored(values[501:], model=other), scored(values[501:], model=model))
    assert all(array.dtype.kind in "fiub" for array in model.state().values())


def test_another_seed_is_another_network() -> None:
    values = related(500)
    assert (scored(values) != scored(values, model=Autoencoder(6, SMALL, seed=SEED + 1))).any()


def test_windows_do_not_reach_over_a_gap() -> None:
    values, normal = related(800), np.ones(800, np.bool_)
    model = Autoencoder(6, SMALL, seed=SEED)
    model.step(np.arange(640), values[:640], normal[:640])
    found = model.step(np.arange(640, 800), values[640:], normal[640:], after_gap=True)
    scores = np.array([score for _, score in found])
    assert not scores[:7].any() and scores[7:].all()


def test_it_leaves_torchs_threads_and_random_state_alone() -> None:
    import torch

    threads, state = torch.get_num_threads(), torch.get_rng_state()
    scored(related(200))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_without_torch_it_says_in_one_line_why_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available() is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("detectors.background.autoencoder.find_spec", lambda name: None)
    reason = available()
    assert reason is not None and "torch is not installed" in reason and "\n" not in reason


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, detectors.background.worker, detectors.monitor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class FakeModel:
    """Scores a row by its first value; fails at 13, ends its thread at 14, waits at a gate, tells when it is done."""

    def __init__(self, gate: threading.Event | None = None, done: threading.Event | None = None) -> None:
        self.gate, self.done, self.gaps = gate, done or threading.Event(), 0

    def step(
        self, times: np.ndarray, values: np.ndarray, normal: np.ndarray, *, after_gap: bool = False
    ) -> list[tuple[int, float]]:
        if self.gate is not None:
            self.gate.wait()
        if (values == 13).any():
            raise RuntimeError("unlucky")
        if (values == 14).any():
            raise SystemExit
        self.gaps += after_gap
        self.done.set()
        return [(int(time), float(row[0])) for time, row in zip(times, values, strict=True)]

    def state(self) -> State:
        return {"gaps": np.array(self.gaps)}

    def load_state(self, state: State) -> None:
        self.gaps = int(state["gaps"])


def submit(background: Background, *values: float, system: str = "shop") -> bool:
    rows = np.array(values)[:, None]
    return background.submit(system, np.arange(len(rows)), rows, np.ones(len(rows), np.bool_))


@contextmanager
def working(**options: object) -> Iterator[Worker]:
    worker = Worker(**{"make": lambda variables: FakeModel(), **options})  # type: ignore[arg-type]
    try:
        yield worker
    finally:
        worker.close()


def test_in_step_gives_results_at_once_and_each_once() -> None:
    background = InStep(make=lambda variables: FakeModel())
    assert submit(background, 1.0, 2.0)
    assert background.results() == [Result("shop", 0, 1.0), Result("shop", 1, 2.0)]
    assert background.results() == []


def test_worker_gives_what_in_step_gives() -> None:
    values, normal = related(400), np.ones(400, np.bool_)
    in_step = InStep(SMALL, seed=SEED)
    with working(make=None, settings=SMALL, seed=SEED) as worker:
        for background in (in_step, worker):
            for start in range(0, 400, 100):
                cut = slice(start, start + 100)
                assert background.submit("shop", np.arange(400)[cut], values[cut], normal[cut])
        worker.drain()
        assert worker.results() == in_step.results()
        assert worker.counts() == in_step.counts()


def test_a_full_queue_drops_and_counts_and_never_waits() -> None:
    gate = threading.Event()
    with working(capacity_rows=4, make=lambda variables: FakeModel(gate)) as worker:
        assert submit(worker, 1.0, 2.0, 3.0)
        assert submit(worker, 4.0)
        assert not submit(worker, 5.0)
        gate.set()
        worker.drain()
        assert submit(worker, 6.0)
        worker.drain()
        assert [result.score for result in worker.results()] == [1.0, 2.0, 3.0, 4.0, 6.0]
        assert (worker.counts().submitted, worker.counts().dropped, worker.counts().scored) == (6, 1, 5)
        assert worker.state("shop")["model/gaps"] == 1  # told of the hole


def test_a_block_larger_than_the_queue_is_taken_when_it_is_empty() -> None:
    with working(capacity_rows=2) as worker:
        assert submit(worker, 1.0, 2.0, 3.0)


def test_a_model_that_fails_is_started_anew_and_counted() -> None:
    with working() as worker:
        submit(worker, 1.0)
        submit(worker, 13.0)
        submit(worker, 3.0)
        worker.drain()
        assert [result.score for result in worker.results()] == [1.0, 3.0]
        assert worker.counts().restarts == 1
        assert worker.counts().last_failure == "RuntimeError: unlucky"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_ended_is_started_anew_and_counted_and_the_vote_hears_nothing_of_it() -> None:
    with working() as worker:
        watched, alone = (Pipeline(FakeMonitor, background=background) for background in (worker, None))
        told: list[list[FindingRecord]] = []
        for number, value in enumerate((1.0, 12.0, 14.0, 12.0, 1.0, 150.0)):
            readings = [row(number, number, {"a.x": value})]
            told.append(watched.process(readings).records)
            assert [_without_shadow(r) for r in told[-1]] == alone.process(readings).records
            if value == 14.0:
                worker._thread.join(60.0)
                assert not worker._thread.is_alive()
        worker.drain()
        counts = worker.counts()
        assert (counts.restarts, counts.last_failure) == (1, "the thread ended")
        assert (counts.submitted, counts.scored, counts.dropped) == (6, 5, 1)
        assert worker.state("p/shop")["model/gaps"] == 1  # a new model, told of the hole


def _without_shadow(record: FindingRecord) -> FindingRecord:
    return msgspec.structs.replace(record, shadow={}) if isinstance(record, VerdictRecord) else record


def test_in_step_lets_errors_out() -> None:
    with pytest.raises(RuntimeError, match="unlucky"):
        submit(InStep(make=lambda variables: FakeModel()), 13.0)


@pytest.mark.parametrize("kind", [InStep, Worker])
def test_systems_are_apart_and_their_models_move(kind: type[InStep] | type[Worker]) -> None:
    here, there = kind(SMALL, seed=SEED), kind(SMALL, seed=SEED)
    values, normal = related(300), np.ones(300, np.bool_)
    try:
        here.submit("shop", np.arange(300), values, normal)
        here.submit("ship", np.arange(20), values[:20, :2], normal[:20])
        if isinstance(here, Worker):
            here.drain()
        there.load_state("shop", here.state("shop"))
        assert here.state("nobody") == {}
        assert there.state("ship") == {}
        for name, array in here.state("shop").items():
            np.testing.assert_array_equal(there.state("shop")[name], array)
        there.forget("shop")
        assert there.state("shop") == {}
    finally:
        here.close()
        there.close()


def test_the_input_may_be_overwritten_once_it_was_handed_over() -> None:
    gate = threading.Event()
    with working(make=lambda variables: FakeModel(gate)) as worker:
        times, values, normal = np.arange(1), np.ones((1, 1)), np.ones(1, np.bool_)
        worker.submit("shop", times, values, normal)
        values[:] = 7.0
        gate.set()
        worker.drain()
        assert worker.results() == [Result("shop", 0, 1.0)]


def test_a_worker_rests_for_its_share_and_ends_at_once_all_the_same() -> None:
    days = itertools.count(step=1e6)  # each piece takes that long, and earns as long a rest
    done = threading.Event()
    worker = Worker(make=lambda variables: FakeModel(done=done), share=0.5, clock=lambda: next(days))
    submit(worker, 1.0)
    submit(worker, 2.0)
    assert done.wait(60.0)
    worker.close()
    assert worker.counts().scored == 1
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, got 0"):
        Worker(share=0.0)


def test_a_closed_worker_takes_nothing_and_its_thread_has_ended() -> None:
    worker = Worker(make=lambda variables: FakeModel())
    worker.close()
    assert not submit(worker, 1.0)
    assert "autoencoder" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "options", [{"hidden": 0}, {"memory_rows": 20}, {"learning_rate": 0.0}, {"device": "tpu"}, {"warmup_steps": 0}]
)
def test_options_out_of_range_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        AutoencoderSettings(**options)  # type: ignore[arg-type]
