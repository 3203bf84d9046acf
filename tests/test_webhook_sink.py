"""The webhook sink against a real HTTP server: signed, in order, at least once, and nothing lost while it is away."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_servers import Receiver
from fakes import Broker, FakeClock, FakeMonitor, ListRejects, ListSource, row

from stream.errors import DependencyError
from stream.pipeline import Pipeline
from stream.records import IncidentRecord, TriggerRecord
from stream.runner import Runner
from stream.settings import HttpTargetSettings, Settings, SinkSettings, WebhookSettings
from stream.sinks.protocol import Repeating, Sink
from stream.sinks.registry import open_sinks
from stream.sinks.webhook import MOST_WAITING, Webhook

README = Path(__file__).resolve().parents[1] / "README.md"
SECRET = "hush"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def incident(status: str = "open", **fields: Any) -> IncidentRecord:
    told = {"severity": "warning", "opened_by": "verdict", "score": 1.5, "verdicts": 3, "paged_at": "2026-11-24T15:36Z"}
    times = {"opened_at": "2026-11-24T15:36:49Z", "updated_at": "2026-11-24T15:37:00Z"}
    return IncidentRecord(**{"id": "i1", "system": "shop", "status": status, **told, **times, **fields})


def open_sink(receiver: Receiver, **options: Any) -> Webhook:
    settings = WebhookSettings(url=f"{receiver.url}/hook?a=b", secret=SECRET, **options)
    return Webhook(settings, clock=FakeClock())


def test_each_incident_that_pages_arrives_in_order(receiver):
    sink = open_sink(receiver)
    assert isinstance(sink, Sink) and not isinstance(sink, Repeating)
    trigger = TriggerRecord(id="t", system="s", ts=1, detector="d", statistic=1.0, threshold=1.0, calibrated=True)
    sink.write(
        [incident(), trigger, incident("update", paged_at=None), incident("resolved"), incident(suppressed=True)]
    )
    sink.flush()
    sink.flush()
    assert [document["status"] for document in receiver.documents("/hook?a=b")] == ["open", "resolved"]
    assert receiver.received[0].document["id"] == "i1"
    assert receiver.received[0].headers["Content-Type"] == "application/json"
    sink.close()


def test_the_readmes_snippet_accepts_what_is_sent_and_nothing_else(receiver):
    (snippet,) = (code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "is_ours" in code)
    names: dict[str, Any] = {}
    exec(snippet, names)
    sink = open_sink(receiver)
    sink.write([incident()])
    sink.flush()
    (received,) = receiver.received
    now = FakeClock().now
    is_ours = names["is_ours"]
    assert is_ours(received.headers, received.body, SECRET, now)
    assert not is_ours(received.headers, received.body + b" ", SECRET, now)
    assert not is_ours(received.headers, received.body, "another", now)
    assert not is_ours(received.headers, received.body, SECRET, now + 301)
    late = {**received.headers, "Tocsin-Timestamp": str(int(now) + 301)}
    assert not is_ours(late, received.body, SECRET, now + 301)
    assert not is_ours({}, received.body, SECRET, now)


def test_without_a_secret_nothing_is_signed(receiver):
    sink = Webhook(WebhookSettings(url=receiver.url))
    sink.write([incident()])
    sink.flush()
    assert "Tocsin-Signature" not in receiver.received[0].headers


def test_what_was_not_acknowledged_is_sent_again_and_the_order_holds(receiver):
    sink = open_sink(receiver)
    sink.write([incident(), incident("update"), incident("resolved")])
    for status in (500, 429, 302, 401, 404):
        receiver.statuses = [status]
        with pytest.raises(DependencyError, match=f"answers {status}"):
            sink.flush()
    receiver.statuses = [200, 503]
    with pytest.raises(DependencyError):
        sink.flush()
    sink.flush()
    assert [document["status"] for document in receiver.documents("/hook?a=b")] == ["open", "update", "resolved"]


def test_a_repeat_has_the_same_event_and_another_document_another(receiver):
    sink = open_sink(receiver)
    for status in ("open", "open", "resolved"):
        sink.write([incident(status)])
    sink.flush()
    first, second, third = (received.headers["Tocsin-Event"] for received in receiver.received)
    assert first == second != third


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_for_good_is_counted_and_passed_over(receiver, status):
    sink = open_sink(receiver)
    sink.write([incident(), incident("resolved")])
    receiver.statuses = [status]
    sink.flush()
    assert [document["status"] for document in receiver.documents("/hook?a=b")] == ["resolved"]
    assert sink.passed_over == 1


def test_what_waits_is_bounded_by_a_write_that_takes_nothing_more(receiver):
    sink = open_sink(receiver)
    sink.write([incident()] * MOST_WAITING)
    receiver.statuses = [503] * 3
    for _ in range(3):
        with pytest.raises(DependencyError):
            sink.write([incident("resolved")])
    sink.write([incident("resolved")])
    sink.flush()
    assert len(receiver.received) == MOST_WAITING + 1


def test_a_url_is_a_secret_and_never_told():
    sink = Webhook(WebhookSettings(url="http://127.0.0.1:1/token"))
    sink.write([incident()])
    with pytest.raises(DependencyError) as caught:
        sink.flush()
    assert "token" not in str(caught.value)
    assert "http://127.0.0.1:1 cannot be reached" in str(caught.value)
    for wrong in ("token", "http://host:port/token", "ftp://h/token"):
        with pytest.raises(ValueError, match="url must be a URL such as") as refused:
            WebhookSettings(url=wrong)
        assert "token" not in str(refused.value)
    with pytest.raises(ValueError, match="url must not hold a user: username and password"):
        WebhookSettings(url="http://me:token@host/")


def test_credentials_are_sent_as_told(receiver):
    for options, told in (
        ({"username": "me", "password": "p:w"}, "Basic bWU6cDp3"),
        ({"bearer_token": "abc"}, "Bearer abc"),
    ):
        sink = open_sink(receiver, http=HttpTargetSettings(**options))
        sink.write([incident()])
        sink.flush()
        assert receiver.received[-1].headers["Authorization"] == told


def test_a_config_without_a_url_is_refused():
    with pytest.raises(ValueError, match=r"kinds must not hold webhook without a webhook\.url"):
        SinkSettings(kinds=("webhook",))
    (sink,) = open_sinks(Settings(sinks=SinkSettings(kinds=("webhook",), webhook=WebhookSettings(url="http://h/"))))
    assert isinstance(sink, Webhook)


def test_an_outage_pauses_the_loop_and_costs_no_document(receiver):
    values = [1.0, 15.0, 25.0, *[1.0] * 12]
    whole, disturbed = (Broker({"p": [row(i, i, {"a": v}) for i, v in enumerate(values)]}) for _ in range(2))
    digests = []
    for broker, statuses in ((whole, []), (disturbed, [503] * 4)):
        receiver.received.clear()
        receiver.statuses = list(statuses)
        clock = FakeClock()
        Runner(ListSource(broker), Pipeline(FakeMonitor), [open_sink(receiver)], ListRejects(broker), clock=clock).run()
        assert sum(clock.slept) == pytest.approx(sum([1, 2, 4, 8][: len(statuses)]))
        digests.append([hashlib.sha256(received.body).hexdigest() for received in receiver.received])
    assert digests[0] == digests[1] and len(digests[0]) == 3
