"""The demo's shop really runs, really breaks, and leaves no process behind; its recording is what it says it is."""

import csv
import doctest
import gzip
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record
import scrape
from scrape import Sample, Scraper
from shop import payments
from shop.clients import Demand
from shop.faults import DEFAULT_AMOUNTS, Faults
from shop.gateway import token
from shop.outside import outside_fault
from shop.peers import Peer, PeerError
from shop.system import CALLS, SERVICES, Shop, process, running_shop

from detectors.block import Block
from detectors.causes.explain import explain
from detectors.causes.graph import CausalGraph
from detectors.causes.ranking import entities
from detectors.causes.settings import CausesSettings
from detectors.findings import Explanation
from detectors.monitor import Monitor
from detectors.settings import MonitorSettings

DEMO = Path(record.__file__).resolve().parent
CARD = "4539578763621486"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with running_shop() as running:
        yield running
    assert not any(is_running(process_id) for process_id in running.process_ids.values())


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def is_serving(address: str) -> bool:
    with closing(Peer(address)) as peer:
        try:
            return bool(peer.get("/metrics"))
        except PeerError:
            return False


def ask(shop: Shop, route: str, **changes: Any) -> dict[str, Any]:
    body = {"customer": "c", "token": token("c"), "basket": {"item-001": 2, "item-007": 1}, "card": CARD}
    with closing(Peer(shop.addresses["gateway"], timeout_s=10.0)) as gateway:
        return gateway.post(route, body | changes)


def order_many(shop: Shop, count: int) -> None:
    for _ in range(count):
        try:
            ask(shop, "/order")
        except PeerError:
            continue


def comes(true: Callable[[], bool]) -> bool:
    """Whether it becomes true while anybody would wait for it."""
    for _ in range(400):
        if true():
            return True
        time.sleep(0.05)
    return False


def sample(shop: Shop, service: str) -> Sample:
    with closing(Peer(shop.addresses[service], timeout_s=10.0)) as peer:
        return scrape.sample_of(peer.get("/metrics"))


def rises(shop: Shop, name: str, count: int) -> dict[str, float]:
    """How much a metric of each service rose over some orders."""
    before = {service: sample(shop, service).values.get(name, 0.0) for service in SERVICES}
    order_many(shop, count)
    return {service: sample(shop, service).values.get(name, 0.0) - before[service] for service in SERVICES}


@pytest.fixture
def broken(shop: Shop, request: pytest.FixtureRequest) -> Iterator[Shop]:
    service, kind, amount = request.param
    shop.begin_fault(service, kind, amount)
    yield shop
    shop.end_fault(service)


def break_with(service: str, kind: str, amount: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("broken", [(service, kind, amount)], indirect=True)


def test_a_quote_and_an_order_pass_through_every_service(shop: Shop) -> None:
    before = {service: sample(shop, service).counts[-1] for service in SERVICES}
    assert ask(shop, "/quote")["available"]
    assert len(ask(shop, "/order")["receipt"]) == 64
    assert all(sample(shop, service).counts[-1] > before[service] for service in SERVICES)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"token": "stolen"}, 401), ({"basket": {"itme-001": 1}}, 404), ({"card": CARD[:-1] + "7"}, 402)],
)
def test_what_is_wrong_with_an_order_comes_back_as_its_status(shop: Shop, changes: dict[str, Any], status: int) -> None:
    with pytest.raises(PeerError) as caught:
        ask(shop, "/order", **changes)
    assert caught.value.status == status


def test_a_short_item_is_delivered_and_a_refused_order_gives_its_items_back(shop: Shop) -> None:
    for _ in range(12):
        ask(shop, "/order", basket={"item-300": 20})
    with pytest.raises(PeerError):
        ask(shop, "/order", basket={"item-300": 1}, card="1")
    with closing(Peer(shop.addresses["store"])) as store:
        assert store.post("/stock", {"items": ["item-300"]})["stock"]["item-300"] == 100 + 200 - 12 * 20


@break_with("inventory", "cpu", 1.0)
def test_cpu_fault_burns_cpu_in_its_service_only(broken: Shop) -> None:
    used = rises(broken, "shop_cpu_seconds_total", 30)
    assert used["inventory"] > 3 * max(used[service] for service in SERVICES if service != "inventory")


@break_with("inventory", "latency", 0.02)
def test_latency_fault_reaches_the_callers_and_not_the_called(broken: Shop) -> None:
    spent = rises(broken, "shop_request_duration_seconds_sum", 10)
    assert min(spent["inventory"], spent["orders"], spent["gateway"]) >= 10 * 0.5 * 0.02
    assert spent["store"] < spent["inventory"]


@break_with("payments", "errors", 1.0)
def test_errors_fault_fails_the_orders(broken: Shop) -> None:
    failed = rises(broken, "shop_request_errors_total", 5)
    assert failed == {"gateway": 5, "orders": 5, "payments": 5, "inventory": 0, "pricing": 0, "store": 0}


@break_with("pricing", "leak", 1e6)
def test_leak_fault_keeps_memory(broken: Shop) -> None:
    grown = rises(broken, "process_resident_memory_bytes", 30)
    assert grown["pricing"] > 10e6 > grown["inventory"]


@break_with("store", "lock", 0.05)
def test_lock_fault_makes_writers_wait(broken: Shop) -> None:
    assert rises(broken, "shop_lock_wait_seconds_total", 20)["store"] > 0.05


@break_with("pricing", "pool", 0.2)
def test_pool_fault_makes_requests_wait_for_a_worker(broken: Shop) -> None:
    began = time.monotonic()
    order_many(broken, 17)
    assert time.monotonic() - began >= 2 * 0.2  # eight workers, each kept twice before the 17th has one
    assert ask(broken, "/quote")["available"]


@break_with("orders", "shed", 1.0)
def test_shed_fault_answers_at_once_and_sends_nothing_on(broken: Shop) -> None:
    answered = rises(broken, "shop_request_duration_seconds_count", 5)
    assert answered == {"gateway": 5, "orders": 5, "inventory": 0, "pricing": 0, "payments": 0, "store": 0}


@break_with("payments", "work", 0.02)
def test_work_fault_costs_cpu_with_each_request(broken: Shop) -> None:
    used = rises(broken, "shop_cpu_seconds_total", 10)
    assert used["payments"] >= 10 * 0.02 > used["inventory"]


def test_jitter_fault_lets_a_tenth_of_the_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("shop.faults.time.sleep", waits.append)
    faults = Faults()
    faults.begin("jitter", 0.1)
    for _ in range(2000):
        faults.on_request()
    assert len(waits) == pytest.approx(200, rel=0.25)
    assert np.mean(waits) == pytest.approx(0.1, rel=0.3) and max(waits) > 4 * np.mean(waits)


def test_a_crowd_comes_from_outside_and_goes(shop: Shop) -> None:
    before = sample(shop, "gateway").counts[-1]
    with outside_fault(shop, "crowd", 50.0, seed=1):
        assert comes(lambda: sample(shop, "gateway").counts[-1] > before + 3)
    came = sample(shop, "gateway").counts[-1]
    assert sample(shop, "gateway").counts[-1] == came


def test_a_neighbour_takes_cpu_until_it_is_ended() -> None:
    def cpu_ticks(process_id: int) -> int:
        return int(Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[11])

    with process("neighbour") as neighbour:
        assert comes(lambda: cpu_ticks(neighbour.pid) >= 50)  # half a second, far more than it takes to start
    assert neighbour.poll() == 0


def test_neighbours_come_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("shop.outside.process", lambda module: nullcontext(started.append(module)))
    with outside_fault(Shop({}, {}), "neighbours", 2.0, seed=0):
        assert started == ["neighbour", "neighbour"]


def test_cpu_returns_to_normal_when_the_fault_ends(shop: Shop) -> None:
    shop.begin_fault("inventory", "cpu", 1.0)
    shop.end_fault("inventory")
    used = rises(shop, "shop_cpu_seconds_total", 30)
    assert used["inventory"] < 3 * used["orders"]


@pytest.mark.parametrize(("service", "kind"), [("orders", "lock"), ("orders", "fire")])
def test_a_fault_that_a_service_cannot_have_is_refused(shop: Shop, service: str, kind: str) -> None:
    with pytest.raises(PeerError) as caught:
        shop.begin_fault(service, kind, 1.0)
    assert caught.value.status == 400


def test_recorder_writes_rows_under_load_and_makes_the_fault(shop: Shop) -> None:
    out = io.StringIO()
    chosen = record.options(["--minutes", "0.067", "--at", "2", "--lasts", "1"])
    with process("clients", shop.addresses["gateway"], "--rate", "60"):
        happened = record.record(shop, chosen, out)
    header, *rows = csv.reader(io.StringIO(out.getvalue()))
    values = np.array([[float(cell or "nan") for cell in row] for row in rows])
    assert header == ["time", *scrape.columns()] and len(set(header)) == len(header)
    assert happened["rows"] == len(rows) >= 1 and np.all(np.diff(values[:, 0]) >= 1)
    assert np.nansum(values[:, header.index("gateway.requests_per_s")]) > 0
    assert values[0, 0] < happened["inject_time"] <= happened["end_time"]


def test_a_service_that_is_away_leaves_its_cells_empty(shop: Shop) -> None:
    away = Shop(shop.addresses | {"pricing": "127.0.0.1:1"}, shop.process_ids)
    with closing(Scraper(away)) as scraper:
        scraper.row()
        row = dict(zip(scrape.columns(), scraper.row(), strict=True))
    assert math.isnan(row["pricing.cpu_s_per_s"]) and row["orders.cpu_s_per_s"] > 0


def test_a_recorder_that_is_killed_leaves_no_service() -> None:
    program = (
        "import json, time; from shop.system import running_shop\n"
        "with running_shop() as shop: print(json.dumps(shop.addresses), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=DEMO, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout is not None
        left = list(json.loads(recorder.stdout.readline()).values())
        recorder.send_signal(signal.SIGKILL)
    for _ in range(200):
        left = [address for address in left if is_serving(address)]
        if not left:
            break
        time.sleep(0.05)
    assert not left


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fault", "lock", "--service", "orders"],
        ["--fault", "shed", "--service", "store"],
        ["--at", "1300"],
        ["--at", "0"],
    ],
)
def test_options_that_do_not_fit_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        record.options(arguments)
    assert caught.value.code == 2 and arguments[-1] in capsys.readouterr().err


def test_every_kind_of_fault_has_a_default_amount_and_a_symptom() -> None:
    assert set(record.AMOUNTS) == set(record.KIND_OF) == {*record.SYMPTOMS, record.NO_FAULT}
    metrics = {name.partition(".")[2] for name in scrape.columns()}
    assert set(record.SYMPTOMS.values()) <= metrics
    assert record.options([]).amount == DEFAULT_AMOUNTS["cpu"]


def test_demand_keeps_its_rate_over_whole_waves() -> None:
    demand, now, gap, count = Demand(20.0, random.Random(1)), 0.0, 0.0, 0
    while now < 4 * 420.0:
        gap = demand.gap(now, gap)
        now += gap
        count += 1
    assert 0.9 * 20 < count / now < 1.2 * 20  # bursts add a few per cent


def test_quantile_of_no_request_is_missing_and_of_the_overflow_is_the_last_bound() -> None:
    assert math.isnan(scrape.quantile(0.5, (1.0, math.inf), (0, 0)))
    assert scrape.quantile(0.5, (1.0, math.inf), (0, 3)) == 1.0


@pytest.mark.parametrize("module", [scrape, payments])
def test_examples_in_docstrings_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_graph_says_who_calls_whom() -> None:
    with (DEMO / "graph.csv").open() as file:
        edges = {(line["cause"], line["effect"]) for line in csv.DictReader(file)}
    assert edges == {(called, caller) for caller, peers in CALLS.items() for called in peers}


NAMED_FIRST = ("cpu", "latency", "lock", "leak", "pool", "jitter")
RECORDINGS = sorted(path.relative_to(DEMO).as_posix() for path in DEMO.rglob("*.csv.gz"))


def load(name: str) -> tuple[list[str], np.ndarray, dict[str, Any]]:
    path = DEMO / name
    with gzip.open(path, "rt") as file:
        header, *rows = csv.reader(file)
    truth = json.loads(path.with_name(path.name.replace(".csv.gz", ".truth.json")).read_text())
    return header, np.array([[float(cell or "nan") for cell in row] for row in rows]), truth


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_committed_recording_is_small_whole_and_shows_its_fault(name: str) -> None:
    header, values, truth = load(name)
    assert (DEMO / name).stat().st_size <= 300_000
    assert header == ["time", *scrape.columns()] and len(values) == truth["rows"]
    assert np.all(np.diff(values[:, 0]) >= 1) and np.isnan(values).mean() < 0.001
    if truth["fault"] == record.NO_FAULT:
        return
    seen_in = truth["root_metrics"] or [f"gateway.{record.SYMPTOMS[truth['fault']]}"]
    symptom = values[:, header.index(seen_in[0])]
    quiet = values[:, 0] < truth["inject_time"]
    for first, last in truth.get("also_outside", []):
        quiet &= (values[:, 0] < first) | (values[:, 0] > last)
    before = symptom[quiet]
    during = symptom[(values[:, 0] >= truth["inject_time"] + 10) & (values[:, 0] <= truth["end_time"])]
    if truth["kind"] == "drop":
        assert np.nanmedian(during) < np.nanquantile(before, 0.01)
    else:
        assert np.nanmedian(during) > np.nanquantile(before, 0.99)


def told(name: str) -> Explanation:
    """What is said of a recording whose fault's time is told, with the graph of the shop."""
    header, values, truth = load(name)
    times = np.round(values[:, 0] * 1e9).astype(np.int64)
    pairs = [(called, caller) for caller, peers in CALLS.items() for called in peers]
    graph = CausalGraph.from_pairs(pairs, header[1:])
    at, readings = int(truth["inject_time"] * 1e9), np.ascontiguousarray(values[:, 1:])
    return explain(times, readings, header[1:], at, settings=CausesSettings(), graph=graph)


@pytest.mark.parametrize(("fault", "within"), [*dict.fromkeys(NAMED_FIRST, 1).items(), ("errors", 3), ("work", 3)])
def test_told_when_it_began_the_broken_service_is_named(fault: str, within: int) -> None:
    name = next(name for name in RECORDINGS if load(name)[2]["fault"] == fault)
    named = entities(told(name).ranking.causes)
    assert load(name)[2]["root_entities"][0] in named[:within]


def test_every_kind_of_fault_is_recorded_and_so_is_none() -> None:
    recorded = {truth["fault"]: truth["kind"] for _, _, truth in map(load, RECORDINGS)}
    assert recorded == record.KIND_OF


def opened(name: str) -> list[float]:
    """When the episodes of a recording began, with nothing told, in seconds since 1970."""
    header, values, _ = load(name)
    times = np.round(values[:, 0] * 1e9).astype(np.int64)
    found = Monitor(header[1:], MonitorSettings()).step(Block(times, np.ascontiguousarray(values[:, 1:])))
    return sorted({one.opened / 1e9 for one in found.rankings})


@pytest.mark.parametrize("name", ["more/crowd.csv.gz", "more/lock.csv.gz"])
def test_a_crowd_at_the_gate_and_a_lock_are_noticed_with_nothing_told(name: str) -> None:
    begin = load(name)[2]["inject_time"]
    assert any(begin <= time <= begin + 20 for time in opened(name))


def test_thirteen_minutes_without_a_fault_have_few_episodes() -> None:
    assert len(opened("more/quiet.csv.gz")) <= 8  # one in 300 rows is what the trigger promises, and some as it learns


@pytest.fixture(scope="module")
def incidents(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a replay of the committed recording says with nothing told: the last word on each incident, by time."""
    findings = tmp_path_factory.mktemp("demo") / "findings.jsonl"
    tocsin("replay", str(DEMO / "recording.csv.gz"), "--findings", str(findings))
    lines = [json.loads(line) for line in findings.read_text().splitlines()]
    last = {line["id"]: line for line in lines if line["kind"] == "incident"}
    return sorted(last.values(), key=lambda incident: incident["opened_at"])


def tocsin(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "stream", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def covers(incident: dict[str, Any], first: float, last: float) -> bool:
    """It was open at some time from first to last."""
    return incident["opened_at"] <= last and (incident["resolved_at"] or math.inf) >= first


def test_replay_names_the_broken_service_soon_after_the_fault(incidents: list[dict[str, Any]]) -> None:
    _, _, truth = load("recording.csv.gz")
    found = [one for one in incidents if covers(one, truth["inject_time"], truth["inject_time"] + 20)]
    assert found and found[0]["causes"][0]["entity"] == truth["root_entities"][0]


def test_replay_is_quiet_outside_the_fault(incidents: list[dict[str, Any]]) -> None:
    _, _, truth = load("recording.csv.gz")
    recovered = truth["end_time"] + 20  # the return to normal is a change, too
    waking = {one["id"] for one in incidents if one["severity"] != "info"}
    outside = [one for one in incidents if not covers(one, truth["inject_time"], recovered)]
    assert sum(one["id"] in waking for one in outside) <= 2
    assert len(outside) <= 8  # one change of state in 300 rows is what the trigger promises, and some as it learns


def test_explain_names_the_broken_service() -> None:
    _, _, truth = load("recording.csv.gz")
    words = ["--at", str(truth["inject_time"]), "--graph", str(DEMO / "graph.csv"), "--output", "json"]
    said = json.loads(tocsin("explain", str(DEMO / "recording.csv.gz"), *words))
    assert said["causes"][0]["entity"] == truth["root_entities"][0]
