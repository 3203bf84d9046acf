"""The Alertmanager sink against the real Alertmanager: what fires there, what ends, and what an outage costs."""

import base64
import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_servers import Alertmanager, Receiver, command, wait_for
from fakes import Broker, FakeClock, FakeMonitor, ListRejects, ListSink, ListSource, row
from hypothesis import given, settings
from hypothesis import strategies as st
from keeper import Keeper
from test_pipeline import level

from stream.cli import main
from stream.clock import SystemClock
from stream.errors import ConfigError, DependencyError
from stream.event_time import from_text, to_text
from stream.http_target import HttpTarget
from stream.observer import Observer
from stream.pipeline import Pipeline
from stream.records import IncidentRecord
from stream.runner import Runner
from stream.settings import AlertmanagerSettings, HttpTargetSettings, IncidentSettings, TlsSettings
from stream.sinks.alertmanager import AWAY_S, MOST_WAITING
from stream.sinks.alertmanager import Alertmanager as Sink
from stream.sinks.protocol import Repeating
from stream.sinks.protocol import Sink as SinkProtocol

CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
CAUSES = [
    {"entity": "inventory", "variable": "inventory.cpu", "score": 1.0, "share": 0.62, "evidence": {"deviation": 12.3}},
    {"entity": "gateway", "variable": "gateway.p50", "score": 0.5, "share": 0.21, "evidence": {"deviation": 4.0}},
]
SECOND, MS = 10**9, 10**6


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture
def alertmanager(keeper: Keeper, tmp_path: Path) -> Iterator[Callable[..., Alertmanager]]:
    """Starts Alertmanagers, and stops them at the end."""
    started: list[Alertmanager] = []

    def start(config: str = CONFIG, **options: Any) -> Alertmanager:
        started.append(Alertmanager(tmp_path / f"am{len(started)}", keeper, config, **options))
        return started[-1].start()  # type: ignore[return-value]

    yield start
    for server in started:
        server.stop()


def ago(seconds: float) -> str:
    return to_text(SystemClock().now_ns() - int(seconds * SECOND))


def incident(status: str = "open", **fields: Any) -> IncidentRecord:
    opened = fields.pop("opened_at", ago(60))
    told = {"severity": "warning", "opened_by": "verdict", "score": 1.62, "verdicts": 8, "paged_at": opened}
    resolved = {"resolved_at": ago(1)} if status in ("resolved", "revised") else {}
    times = {"opened_at": opened, "updated_at": ago(2), **resolved}
    return IncidentRecord(**{"id": "i1", "system": "shop", "status": status, **told, **times, **fields})


def tell(sink: Sink, *records: IncidentRecord) -> None:
    sink.write(records)
    sink.flush()


@pytest.mark.alerting
def test_an_incident_is_an_alert_with_its_causes_and_ends_with_it(alertmanager):
    server = alertmanager(prefix="/alerts")
    options = AlertmanagerSettings(
        urls=(f"{server.url}/",),
        labels={"cluster": "eu"},
        generator_url="https://grafana/d/tocsin?var-system={system}&var-incident={id}",
        runbook_url="https://runbooks/tocsin",
    )
    sink = Sink(options)
    assert isinstance(sink, SinkProtocol) and isinstance(sink, Repeating)
    tell(sink, incident(causes=CAUSES, system="web shop", confidence=0.7, converged=True, note="young"))
    (alert,) = server.alerts()
    assert alert["labels"] == {
        "alertname": "TocsinIncident",
        "cluster": "eu",
        "system": "web shop",
        "entity": "inventory",
        "severity": "warning",
    }
    assert alert["annotations"]["summary"] == "web shop: most likely inventory (8 rows over the line, peak 1.62)"
    told = alert["annotations"]["description"].splitlines()
    assert told[1:] == [
        "1. inventory: inventory.cpu (share 0.62, deviation 12.3)",
        "2. gateway: gateway.p50 (share 0.21, deviation 4)",
        "Confidence 0.7, settled.",
        "Note: young.",
    ]
    assert alert["annotations"]["incident"] == "i1"
    assert alert["annotations"]["runbook_url"] == "https://runbooks/tocsin"
    assert alert["generatorURL"] == "https://grafana/d/tocsin?var-system=web%20shop&var-incident=i1"
    listed = command("amtool", f"--alertmanager.url={server.url}", "alert", "query", "system=web shop", "-o", "json")
    assert [found["labels"]["entity"] for found in json.loads(listed.stdout)] == ["inventory"], listed.stderr
    tell(sink, incident("resolved", causes=CAUSES, system="web shop"))
    assert server.alerts() == []


@pytest.mark.alerting
def test_a_firing_alert_lasts_a_few_resends_and_each_makes_it_longer(alertmanager):
    server = alertmanager()
    sink = Sink(AlertmanagerSettings(urls=(server.url,), resend=1.0))
    before = SystemClock().now_ns()
    tell(sink, incident())
    fired = SystemClock().now_ns()
    assert before + 4 * SECOND - MS <= ends(server) <= fired + 4 * SECOND
    sink.repeat([incident()])
    wait_for(sink.is_due)
    sink.repeat([incident()])
    assert ends(server) >= fired + 5 * SECOND - MS
    sink.repeat([])  # it is another process's now: nobody repeats it
    wait_for(lambda: server.alerts() == [])


def ends(server: Alertmanager) -> int:
    (alert,) = server.alerts()
    return from_text(alert["endsAt"])


@pytest.mark.alerting
def test_a_new_cause_or_severity_ends_the_alert_and_begins_another(alertmanager):
    server = alertmanager()
    sink = Sink(AlertmanagerSettings(urls=(server.url,)))
    for changes in ({}, {"causes": CAUSES}, {"causes": CAUSES, "severity": "critical"}):
        tell(sink, incident("update", **changes))
        (labels,) = server.labels()
        assert labels.get("entity") == ("inventory" if changes else None)
    assert labels["severity"] == "critical"
    tell(sink, incident("resolved", causes=CAUSES, severity="critical"))
    assert server.labels() == []
    tell(sink, incident("revised", causes=CAUSES[::-1], severity="critical"))
    assert server.labels() == []


@pytest.mark.alerting
def test_what_opens_and_ends_and_opens_again_before_a_flush_fires_at_last(alertmanager):
    server = alertmanager()
    sink = Sink(AlertmanagerSettings(urls=(server.url,)))
    tell(sink, incident(), incident("resolved"), incident())
    assert len(server.labels()) == 1
    tell(sink, incident("resolved"), incident("open", id="i2"), incident("resolved", id="i2"))
    assert server.labels() == []


@pytest.mark.alerting
def test_rows_of_the_future_and_of_long_ago_make_alerts_that_fire_and_end_all_the_same(alertmanager):
    server = alertmanager()
    sink = Sink(AlertmanagerSettings(urls=(server.url,)))
    for opened, system in ((ago(-200), "fast"), ("2022-08-22T03:51:00Z", "old")):
        times = {"opened_at": opened, "updated_at": opened}
        tell(sink, incident(system=system, id=system, **times))
        assert [labels["system"] for labels in server.labels()] == [system]
        tell(sink, incident("resolved", system=system, id=system, **{**times, "resolved_at": opened}))
        wait_for(lambda: server.labels() == [])
    assert sink.passed_over == 0


@pytest.mark.alerting
def test_each_of_several_gets_everything_and_one_that_was_away_gets_it_with_the_next_resend(alertmanager):
    first, second = alertmanager(), alertmanager()
    sink = Sink(AlertmanagerSettings(urls=(first.url, second.url), resend=1.0))
    tell(sink, incident())
    assert first.labels() == second.labels() != []
    first.stop()
    tell(sink, incident("resolved"), incident(id="i2", system="ship"))
    assert [labels["system"] for labels in second.labels()] == ["ship"]
    first.start()
    sink._replicas[0].away_until = 0.0  # 15 s later
    sink.repeat([incident(id="i2", system="ship")])
    assert "ship" in [labels["system"] for labels in first.labels()]
    wait_for(lambda: [labels["system"] for labels in first.labels()] in (["ship"], []))  # what it missed ends by itself


@pytest.mark.alerting
def test_an_outage_pauses_the_loop_loses_nothing_and_what_fires_fires_after_it(alertmanager):
    server = alertmanager()
    base = SystemClock().now_ns() / SECOND - 600
    values = [1.0, 1.0, 15.0, *[1.0] * 20, 25.0, 1.0, 1.0]
    broker = Broker({"p": [row(i, base + i, {"a.x": v}) for i, v in enumerate(values)]})
    clock = Outage(server)
    sink = Sink(AlertmanagerSettings(urls=(server.url,)), clock=clock)
    source, told = ListSource(broker), Told(broker)
    server.stop()
    Runner(source, Pipeline(FakeMonitor), [sink, told], ListRejects(broker), clock=clock).run()
    assert clock.slept[:3] and source.reads_while_paused > 0
    (labels,) = server.labels()
    assert (labels["system"], labels["severity"]) == ("shop", "critical")
    incidents = [finding for finding in broker.findings if isinstance(finding, IncidentRecord)]
    assert [(record.status, record.severity) for record in incidents] == [
        ("open", "warning"),
        ("resolved", "warning"),
        ("open", "critical"),
        ("update", "critical"),
    ]


class Told(ListSink):
    """Keeps findings in its broker, as other sinks beside Alertmanager do."""


class Outage(FakeClock):
    """The wall clock is the real one, as Alertmanager looks at its own; a minute of pauses, and the server is back."""

    def __init__(self, server: Alertmanager) -> None:
        super().__init__()
        self._server = server
        self._is_back = False

    def now_ns(self) -> int:
        return SystemClock().now_ns()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if not self._is_back and sum(self.slept) > 60:
            self._server.start()
            self._is_back = True


@pytest.mark.alerting
def test_after_a_restart_what_is_open_is_sent_again_without_a_row(alertmanager):
    server = alertmanager()
    base = SystemClock().now_ns() / SECOND - 600
    items = [row(i, base + i, {"a.x": v}) for i, v in enumerate([1.0, 1.0, 15.0, 1.0])]
    pipeline = Pipeline(FakeMonitor)
    pipeline.process(items)
    restored = Pipeline(FakeMonitor)
    source = ListSource(Broker({"p": []}), ends=False)
    sink = Sink(AlertmanagerSettings(urls=(server.url,)))
    runner = Runner(source, restored, [sink], ListRejects(Broker({})), observers=[StopAfterThree()], clock=FakeClock())
    restored.load_state("p", pipeline.state("p"))
    runner._take_over = lambda batch: None  # type: ignore[method-assign]  # the state is there already
    runner.run()
    assert [labels["system"] for labels in server.labels()] == ["shop"]


class StopAfterThree(Observer):
    def __init__(self) -> None:
        self.turns = 0

    def on_turn(self, runner: Runner) -> None:
        self.turns += 1
        if self.turns == 3:
            runner.stop()


@pytest.mark.alerting
def test_tls_and_a_password_are_checked_and_what_is_wrong_is_told(alertmanager, tmp_path):
    certificate(tmp_path)
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem}}\n"
        f"basic_auth_users: {{tocsin: {BCRYPT}}}\n"
    )
    server = alertmanager(web=web)
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    tls = TlsSettings(ca_file=str(tmp_path / "cert.pem"))
    http = HttpTargetSettings(username="tocsin", password="hush", tls=tls)
    Sink(AlertmanagerSettings(urls=(url,), http=http)).close()
    for wrong, told in (
        (dataclasses.replace(http, password="hash"), "answers 401 Unauthorized"),
        (dataclasses.replace(http, tls=TlsSettings()), "certificate verify failed"),
    ):
        with pytest.raises(DependencyError, match=told):
            Sink(AlertmanagerSettings(urls=(url,), http=wrong))
    with pytest.raises(ConfigError, match="cannot use the TLS files /nowhere"):
        Sink(AlertmanagerSettings(urls=(url,), http=HttpTargetSettings(tls=TlsSettings(ca_file="/nowhere"))))


BCRYPT = "$2b$04$abcdefghijklmnopqrstuuppZFpU9n.F.R29ic//YRPBUgRHbgy9m"  # of "hush"


def certificate(folder: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files]
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def test_what_is_refused_for_good_is_counted_and_the_others_of_its_request_arrive(receiver):
    sink = Sink(AlertmanagerSettings(urls=(receiver.url,)))
    receiver.statuses = [400, 200, 400, 200]
    tell(sink, *(incident(id=f"i{n}", system=f"s{n}") for n in range(3)))
    sent = [alert["labels"]["system"] for body in receiver.documents("/api/v2/alerts") for alert in body]
    assert (sent, sink.passed_over) == (["s0", "s2"], 1)


def test_what_does_not_page_is_not_sent(receiver):
    sink = Sink(AlertmanagerSettings(urls=(receiver.url,)))
    tell(sink, incident(paged_at=None), incident(suppressed=True), incident("revised"))
    sink.repeat([incident(paged_at=None)])
    assert receiver.received == []


def test_none_that_answers_at_the_start_is_told(receiver):
    for urls, statuses in ((("http://127.0.0.1:1",), []), ((receiver.url,), [401])):
        receiver.statuses = list(statuses)
        with pytest.raises(DependencyError, match=r"cannot be reached|answers 401"):
            Sink(AlertmanagerSettings(urls=urls))
    Sink(AlertmanagerSettings(urls=("http://127.0.0.1:1", receiver.url)))


def test_run_ends_with_exit_code_4_where_no_alertmanager_answers(tmp_path, capsys):
    sinks = "{kinds: [alertmanager], dead_letters: none, alertmanager: {urls: ['http://127.0.0.1:1']}}"
    source = f"{{kind: file, file: {{path: {tmp_path}/rows.csv}}}}"
    (tmp_path / "rows.csv").write_text("time,a\n1,2\n")
    (tmp_path / "c.yml").write_text(f"source: {source}\nsinks: {sinks}\nautoencoder: {{enabled: false}}\n")
    assert main(["run", "--config", str(tmp_path / "c.yml")]) == 4
    assert "http://127.0.0.1:1/api/v2/status cannot be reached" in capsys.readouterr().err


def test_one_that_is_away_is_not_waited_for_while_another_answers(receiver):
    clock = FakeClock()
    sink = Sink(AlertmanagerSettings(urls=("http://127.0.0.1:1", receiver.url)), clock=clock)
    tries: list[int] = []
    dead = sink._replicas[0].target
    post = dead.post
    dead.post = lambda body: (tries.append(1), post(body))[1]  # type: ignore[method-assign]
    for _ in range(3):
        tell(sink, incident())
    assert len(tries) == 1
    clock.sleep(AWAY_S + 1)
    tell(sink, incident())
    assert len(tries) == 2
    receiver.statuses = [503]
    with pytest.raises(DependencyError, match=r"answers 503.*cannot be reached"):
        tell(sink, incident())
    assert len(tries) == 3  # nobody else was there


def test_a_failed_repetition_is_due_again_soon_and_reading_goes_on(receiver):
    clock = FakeClock()
    sink = Sink(AlertmanagerSettings(urls=(receiver.url,)), clock=clock)
    assert sink.is_due()
    receiver.statuses = [503]
    with pytest.raises(DependencyError):
        sink.repeat([incident()])
    assert not sink.is_due()
    clock.sleep(10.0)
    assert sink.is_due()
    sink.repeat([incident()])
    assert len(receiver.received) == 1
    clock.sleep(59.0)
    assert not sink.is_due()
    clock.sleep(1.0)
    assert sink.is_due()


def test_the_runner_repeats_without_rows_and_while_another_sink_is_away(receiver):
    clock = FakeClock()
    broker = Broker({"p": [row(i, i, {"a.x": v}) for i, v in enumerate([1.0, 15.0, 1.0, 15.0])]})
    sink, other = Sink(AlertmanagerSettings(urls=(receiver.url,)), clock=clock), ListSink(broker)
    other.failures = [DependencyError("away")] * 9  # 1 + 2 + 4 + 8 + 16 + 4 * 30 s
    Runner(ListSource(broker), Pipeline(FakeMonitor), [sink, other], ListRejects(broker), clock=clock).run()
    assert 2 <= len(receiver.received) - 1 <= 4  # one for the incident, one a minute


def test_a_repetition_that_fails_is_counted_and_pauses_nothing(receiver):
    clock, seen = FakeClock(), []

    class Counts(Observer):
        def on_attempt(self, what: str) -> None:
            seen.append(what)

        def on_failure(self, what: str, error: DependencyError) -> None:
            seen.append(f"{what} failed")

    sink = Sink(AlertmanagerSettings(urls=(receiver.url,)), clock=clock)
    sink.repeat = fail  # type: ignore[method-assign]
    broker = Broker({"p": [row(0, 0, {"a.x": 1.0})]})
    Runner(
        ListSource(broker), Pipeline(FakeMonitor), [sink], ListRejects(broker), observers=[Counts()], clock=clock
    ).run()
    assert seen.count("repeat") == seen.count("repeat failed") > 0
    assert clock.slept == []


def fail(incidents: Any) -> None:
    raise DependencyError("away")


def test_what_waits_is_bounded(receiver):
    sink = Sink(AlertmanagerSettings(urls=(receiver.url,)))
    sink.write([incident(id=f"i{n}", system=f"s{n}") for n in range(MOST_WAITING)])
    receiver.statuses = [503] * 2
    for _ in range(2):
        with pytest.raises(DependencyError):
            sink.write([incident(id="new")])
    tell(sink, incident(id="new"))
    sent = [alert["labels"]["system"] for body in receiver.documents("/api/v2/alerts") for alert in body]
    assert len(sent) == len(set(sent)) == MOST_WAITING + 1


class Model:
    """What Alertmanager makes of alerts: the last word on each set of labels. Now and then it is away."""

    def __init__(self, clock: FakeClock, away: set[int]) -> None:
        self._clock = clock
        self._away = away
        self._posts = 0
        self._ends: dict[tuple[tuple[str, str], ...], int] = {}

    def post(self, body: bytes) -> None:
        self._posts += 1
        if self._posts in self._away:
            raise DependencyError("away")
        for alert in json.loads(body):
            assert from_text(alert["startsAt"]) <= self._clock.now_ns()
            self._ends[tuple(sorted(alert["labels"].items()))] = from_text(alert["endsAt"])

    def firing(self) -> list[dict[str, str]]:
        return [dict(labels) for labels, ends in self._ends.items() if ends > self._clock.now_ns()]


@given(
    st.lists(level, min_size=1, max_size=80),
    st.sets(st.integers(1, 80)),
    st.sets(st.integers(1, 20), max_size=8),
    st.integers(0, 80),
)
@settings(max_examples=60, deadline=None)
def test_what_fires_at_the_end_is_what_is_open_and_pages(values, flushes, away, restart):
    """Whatever comes between: outages, blocks of any size, and another process that goes on from a snapshot."""
    clock = FakeClock()
    model = Model(clock, away)
    sink, pipeline = modelled(clock, model), Pipeline(FakeMonitor, incidents=RULES)
    for place, value in enumerate(values):
        clock.sleep(1.0)
        if place == restart:
            before, pipeline = pipeline, Pipeline(FakeMonitor, incidents=RULES)
            pipeline.load_state("p", before.state("p"))
            flush(sink, clock)
            sink = modelled(clock, model)
            flush(sink, clock, *pipeline.standing())
        sink.write(pipeline.process([row(place, clock.now, {"a.x": value, "b.x": 1.0})]).records)
        if place in flushes:
            flush(sink, clock)
    flush(sink, clock, *pipeline.standing())
    open_ones = [record for record in pipeline.standing() if record.pages]
    assert [labels["system"] for labels in model.firing()] == ["shop" for _ in open_ones]
    for record, labels in zip(open_ones, model.firing(), strict=True):
        assert labels["severity"] == record.severity
        assert labels.get("entity") == (record.causes[0]["entity"] if record.causes else None)


RULES = IncidentSettings(quiet_rows=3, page_after=2.0, cooldown=5.0, pages_per_day=5.0)


def modelled(clock: FakeClock, model: Model) -> Sink:
    with Receiver() as receiver:
        sink = Sink(AlertmanagerSettings(urls=(receiver.url,)), clock=clock)
    sink._replicas[0].target = model  # type: ignore[assignment]
    return sink


def flush(sink: Sink, clock: FakeClock, *standing: IncidentRecord) -> None:
    """As the runner does: again and again until it is taken."""
    while True:
        try:
            return sink.repeat(standing) if standing else sink.flush()
        except DependencyError:
            clock.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"urls": ()}, "urls must name at least one Alertmanager"),
        ({"urls": ("http://host:9093", "host")}, "urls must be a URL such as http://host:9093/path"),
        ({"urls": ("http://me:hush@host",)}, "urls must not hold a user"),
        ({"resend": 0.5}, "resend must be at least 1, got 0.5"),
        ({"labels": {"a-b": "c"}}, "labels must be names such as cluster"),
        ({"labels": {"severity": "c"}}, "labels must be names such as cluster"),
        ({"http": lambda: HttpTargetSettings(username="a", bearer_token="b")}, "bearer_token and username exclude"),
        ({"http": lambda: HttpTargetSettings(bearer_token="a\nb: c")}, "bearer_token must be a line of ASCII"),
        ({"urls": ("http://host/a b",)}, "urls must be a URL"),
        ({"http": lambda: HttpTargetSettings(timeout=0.0)}, "timeout must be longer than 0s"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        AlertmanagerSettings(**{name: value() if callable(value) else value for name, value in options.items()})


def test_credentials_in_the_clear_to_another_machine_are_warned_of(caplog):
    http = HttpTargetSettings(username="me", password="hush")
    HttpTarget("http://127.0.0.1:9093", http, option="o")
    assert caplog.records == []
    HttpTarget("http://alertmanager.example:9093", http, option="o")
    assert caplog.messages == ["credentials are sent without encryption"]
    assert base64.b64encode(b"me:hush").decode() not in caplog.text
