"""Connecting to Kafka: what the client is given, what it is told to keep to itself, and why a connection failed."""

import dataclasses
import logging
import threading
import time
from typing import Any

import pytest
from broker import PASSWORD, USER, Broker, free_ports
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from stream.errors import ConfigError, DependencyError
from stream.kafka_client import connect, connection_options, tame, warn_if_open
from stream.settings import KafkaSettings, SaslSettings, TlsSettings
from stream.sources.kafka import instance_id


def settings(*servers: str, **changes: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=servers or ("localhost:9092",), connect_timeout=2.0, **changes)


def test_plain_connection_is_given_no_secret():
    options = connection_options(settings(sasl=SaslSettings("PLAIN", "user", "secret")))
    assert not [name for name in options if name.startswith(("sasl_", "ssl_"))]
    assert "api_version" not in options


def test_tls_and_sasl_are_passed_through(tmp_path):
    file = tmp_path / "ca.pem"
    file.touch()
    given = settings(
        security_protocol="SASL_SSL",
        tls=TlsSettings(ca_file=str(file), check_hostname=False),
        sasl=SaslSettings("SCRAM-SHA-256", "user", "secret"),
    )
    options = connection_options(given)
    assert options["ssl_cafile"] == str(file)
    assert options["ssl_check_hostname"] is False
    assert "ssl_certfile" not in options
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-256", "user")
    assert options["sasl_plain_password"] == "secret"


def test_a_tls_file_that_is_not_there_is_told_before_connecting():
    with pytest.raises(ConfigError, match="cafile must be a file that exists, got /nowhere"):
        connection_options(settings(security_protocol="SSL", tls=TlsSettings(ca_file="/nowhere")))


def test_sasl_without_a_password_is_told():
    with pytest.raises(ConfigError, match="needs a username and a password"):
        connection_options(settings(security_protocol="SASL_SSL", sasl=SaslSettings(username="user")))


@pytest.mark.parametrize(
    ("server", "protocol", "warns"),
    [
        ("kafka.example:9092", "PLAINTEXT", True),
        ("10.0.0.7:9092", "SASL_PLAINTEXT", True),
        ("kafka.example:9092", "SASL_SSL", False),
        ("localhost:9092", "PLAINTEXT", False),
        ("127.0.0.5:9092", "PLAINTEXT", False),
        ("[::1]:9092", "PLAINTEXT", False),
    ],
)
def test_only_an_open_connection_to_another_host_warns(caplog, server, protocol, warns):
    warn_if_open(settings(server, security_protocol=protocol))
    assert ("not encrypted" in caplog.text) is warns


def test_the_clients_log_repeats_a_message_once_a_minute(caplog):
    tame()
    for number in range(50):
        logging.getLogger("kafka.consumer.test").error("attempt %d failed", number)
    logging.getLogger("kafka.consumer.test").info("nobody needs this")
    said = [record.said for record in caplog.records if record.name == "stream.kafka_client"]
    assert said == ["attempt 0 failed"]


def test_a_port_where_nobody_listens_is_told_with_its_reason_and_leaves_no_thread():
    (port,) = free_ports(1)
    before, began = threading.active_count(), time.monotonic()
    with pytest.raises(DependencyError, match=rf"127.0.0.1:{port}: .*ECONNREFUSED \(nothing listens on that port\)"):
        connect(KafkaConsumer, settings(f"127.0.0.1:{port}"))
    assert time.monotonic() - began < 10
    assert threading.active_count() == before


@pytest.mark.parametrize("address", ["localhost:abc", "localhost:", "a b:1", "one:1,two:2", ""])
def test_an_address_that_is_none_is_told_before_connecting(address):
    with pytest.raises(ConfigError, match="must be host:port, got"):
        connect(KafkaConsumer, settings(address))


def test_an_address_may_be_a_number_or_leave_out_the_port():
    given = ("[::1]:9092", "10.0.0.7:9092", "kafka")
    assert connection_options(settings(*given))["bootstrap_servers"] == list(given)


@pytest.mark.kafka
def test_a_wrong_password_is_told_and_the_right_one_works(broker: Broker):
    right = settings(
        broker.sasl_servers, security_protocol="SASL_PLAINTEXT", sasl=SaslSettings("PLAIN", USER, PASSWORD)
    )
    connect(KafkaAdminClient, right).close()
    wrong = dataclasses.replace(right, sasl=SaslSettings("PLAIN", USER, "no"))
    with pytest.raises(DependencyError, match=r"Invalid username or password|wrong .* password") as caught:
        connect(KafkaConsumer, wrong)
    assert "Unable to bootstrap" not in str(caught.value)


@pytest.mark.kafka
def test_a_wrong_security_protocol_is_told(broker: Broker):
    with pytest.raises(DependencyError, match="security_protocol"):
        connect(KafkaConsumer, settings(broker.sasl_servers))
    with pytest.raises(DependencyError, match="security_protocol"):
        connect(KafkaProducer, settings(broker.servers, security_protocol="SSL"))


def test_the_instance_id_is_one_that_kafka_takes():
    assert instance_id("rack 7/node.1_a-b") == "rack-7-node.1_a-b"
    assert instance_id("auto")
    assert instance_id("") is None
