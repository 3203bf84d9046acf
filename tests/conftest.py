"""A real Kafka broker for the tests that need one: started once a session, once a worker under pytest-xdist.

TOCSIN_TEST_KAFKA=host:port uses a running broker instead; what kills, restarts or asks a password is then skipped.
Tests with the real Prometheus and Alertmanager start their own (alert_servers.py).
"""

import dataclasses
import gc
import itertools
import os
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import alert_servers
import pytest
from broker import Broker
from distribution import INSTALL, missing

from stream.settings import ConsumerSettings, KafkaSettings, ProducerSettings

ENVIRONMENT = "TOCSIN_TEST_KAFKA"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A broker of our own, to be killed and restarted at will; whoever stops it starts it again."""
    if os.environ.get(ENVIRONMENT):
        pytest.skip(f"needs a broker of its own, and {ENVIRONMENT} is set")
    lacking = missing()
    if lacking is not None:
        message = f"Kafka tests need {lacking}: {INSTALL}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with Broker(secure=True) as started:
        yield started


@pytest.fixture(scope="session")
def kafka_servers(request: pytest.FixtureRequest) -> str:
    return os.environ.get(ENVIRONMENT) or str(request.getfixturevalue("broker").servers)


@pytest.fixture
def kafka(kafka_servers: str) -> KafkaSettings:
    """Settings of a group and topics that only this test uses; the topics are not there yet."""
    own = f"t{os.getpid()}-{next(_numbers)}"
    return KafkaSettings(
        bootstrap_servers=(kafka_servers,),
        consumer=ConsumerSettings(
            topics=(f"{own}.metrics",), group=own, instance_id="", session_timeout=6.0, heartbeat_interval=0.5
        ),
        producer=ProducerSettings(
            verdicts=f"{own}.verdicts", incidents=f"{own}.incidents", acknowledge_timeout=15.0, linger=0.002
        ),
    )


@pytest.fixture
def create_topics(kafka: KafkaSettings) -> Callable[..., KafkaSettings]:
    """Makes the test's topics, with so many partitions each."""

    from stream import topics  # loads the client, which most tests do without

    def create(partitions: int = 1, **options: str) -> KafkaSettings:
        planned = topics.planned(kafka, partitions=partitions, replication=1)
        wanted = [dataclasses.replace(topic, options={**topic.options, **options}) for topic in planned]
        assert set(topics.create(kafka, wanted).values()) == {"created"}
        return kafka

    return create


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or under CI fail, what needs Prometheus and Alertmanager where they are not."""
    lacking = alert_servers.missing() if item.get_closest_marker("alerting") else []
    if lacking:
        message = f"alerting tests need {', '.join(lacking)}: {alert_servers.INSTALL}"
        pytest.skip(message) if alert_servers.is_excused() else pytest.fail(message)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """kafka-python leaves sockets to Python's collector: those of refused connections, and some that it closes."""
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <s(ocket|sl):ResourceWarning"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Collects them when the test is over, and its log, whose records hold them, is gone."""
    result = yield
    if item.get_closest_marker("kafka"):
        for thread in threading.enumerate():
            if thread.name.startswith("kafka-io"):
                thread.join(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A loud line for each kind of tests that were left out."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not os.environ.get(ENVIRONMENT) and any("kafka" in report.keywords for report in skipped):
        terminalreporter.write_line(f"KAFKA TESTS WERE SKIPPED: {INSTALL}", red=True, bold=True)
    if any("alerting" in report.keywords for report in skipped):
        terminalreporter.write_line(f"ALERTING TESTS WERE SKIPPED: {alert_servers.INSTALL}", red=True, bold=True)
