"""Connecting to Kafka: what the client is given, what it is told to keep to itself, and why a connection failed."""

import dataclasses
import json
import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broker import PASSWORD, USER, Broker, free_ports
from certificates import Authority
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from tokens import CLIENT, SECRET, TokenServer, unsigned

from stream.cli import main
from stream.errors import ConfigError, DependencyError
from stream.kafka_client import connect, connection_options, tame, warn_if_open
from stream.settings import KafkaSettings, OAuthSettings, SaslSettings, TlsSettings
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
    with pytest.raises(DependencyError, match=r"Invalid username or password|hung up at our credentials") as caught:
        connect(KafkaConsumer, wrong)
    assert "Unable to bootstrap" not in str(caught.value)


@pytest.mark.kafka
def test_a_wrong_security_protocol_is_told(broker: Broker):
    with pytest.raises(DependencyError, match="security_protocol"):
        connect(KafkaConsumer, settings(broker.sasl_servers))
    with pytest.raises(DependencyError, match="security_protocol"):
        connect(KafkaProducer, settings(broker.servers, security_protocol="SSL"))


def oauth(server: TokenServer, secret: str = SECRET) -> SaslSettings:
    return SaslSettings(
        "OAUTHBEARER", oauth=OAuthSettings(token_url=server.url, client_id=CLIENT, client_secret=secret)
    )


def test_oauth_without_an_endpoint_is_told():
    with pytest.raises(ConfigError, match="OAUTHBEARER needs token_url, client_id and client_secret, got no token_url"):
        connection_options(settings(security_protocol="SASL_SSL", sasl=SaslSettings("OAUTHBEARER")))


@pytest.mark.kafka
def test_messages_pass_with_tokens_that_are_renewed_as_they_expire(
    broker: Broker, create_topics: Callable[..., KafkaSettings]
):
    """The broker ends a session when its token expires; nothing is lost when one comes too late."""
    topic = create_topics().consumer.topics[0]
    with TokenServer(lasts_s=6.0) as server:
        given = settings(broker.oauth_servers, security_protocol="SASL_PLAINTEXT", sasl=oauth(server))
        consumer, producer = connect(KafkaConsumer, given), connect(KafkaProducer, given)
        try:
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek_to_beginning()
            sent = seen = 0
            until = time.monotonic() + 60
            while len(server.asked) < 3 or seen < sent:
                assert time.monotonic() < until
                if len(server.asked) < 3:
                    producer.send(topic, b"x").get(timeout=10)
                    sent += 1
                seen += sum(map(len, consumer.poll(timeout_ms=100).values()))
            assert seen == sent
        finally:
            consumer.close(timeout_ms=1000)
            producer.close(timeout=1)


@pytest.mark.kafka
def test_tls_is_spoken_with_the_broker_that_its_authority_vouches_for(broker: Broker):
    connect(KafkaAdminClient, settings(broker.tls_servers, security_protocol="SSL", tls=trust(broker))).close()


def trust(broker: Broker) -> TlsSettings:
    assert broker.authority is not None
    return TlsSettings(ca_file=str(broker.authority.certificate.file))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> TlsSettings:
    return TlsSettings(ca_file=str(Authority(tmp_path_factory.mktemp("stranger")).certificate.file))


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("password", r"Authentication failed: Invalid username or password|hung up at our credentials"),
        ("authority", r"CERTIFICATE_VERIFY_FAILED"),
        ("host name", r"CERTIFICATE_VERIFY_FAILED.*Hostname mismatch, certificate is not valid for 'localhost'"),
        ("host", r"DNS"),
        ("port", r"ECONNREFUSED \(nothing listens on that port\)"),
        ("oauth secret", r"no access token: .* answers 401 .*\(wrong client_id or client_secret\?\)"),
        ("token", r"invalid_token|hung up at our credentials"),
    ],
)
def test_run_tells_what_is_wrong_with_the_cluster_within_10_s_and_ends_with_exit_code_4(
    broker: Broker, stranger: TlsSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, told: str
):
    """With the default time-outs: 3 s for what will not pass, 8 s for what is away. A busy machine may take longer."""
    with TokenServer(lasts_s=3600.0) as server:
        server.answers = [(200, json.dumps({"access_token": unsigned("x", 0.0, 1.0)}).encode())]  # long expired
        kafka = cluster(broker, stranger, server, wrong)
        document = {"kafka": kafka, "autoencoder": {"enabled": False}, "http": {"listen": ""}}
        (tmp_path / "c.yml").write_text(json.dumps(document))
        began = time.monotonic()
        code = main(["run", "--config", str(tmp_path / "c.yml")])
        took = time.monotonic() - began
    err = capsys.readouterr().err
    assert (code, bool(re.search(told, err))) == (4, True), err
    assert took < (20 if wrong in ("host", "port") else 10)
    assert "hidden" not in err and SECRET not in err


def cluster(broker: Broker, stranger: TlsSettings, server: TokenServer, wrong: str) -> dict[str, Any]:
    """The options of a cluster with one mistake in them."""
    trusted = {"ca_file": trust(broker).ca_file}
    port = broker.tls_servers.partition(":")[2]
    secret = "hidden" if wrong == "oauth secret" else SECRET
    endpoint = {"token_url": server.url, "client_id": CLIENT, "client_secret": secret}
    by_token = {
        "bootstrap_servers": [broker.oauth_servers],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl": {"mechanism": "OAUTHBEARER", "oauth": endpoint},
    }
    found: dict[str, dict[str, Any]] = {
        "password": {
            "bootstrap_servers": [broker.sasl_servers],
            "security_protocol": "SASL_PLAINTEXT",
            "sasl": {"mechanism": "PLAIN", "username": USER, "password": "hidden"},
        },
        "authority": {
            "bootstrap_servers": [broker.tls_servers],
            "security_protocol": "SSL",
            "tls": {"ca_file": stranger.ca_file},
        },
        "host name": {"bootstrap_servers": [f"localhost:{port}"], "security_protocol": "SSL", "tls": trusted},
        "host": {"bootstrap_servers": ["nowhere.invalid:9092"]},
        "port": {"bootstrap_servers": [f"127.0.0.1:{free_ports(1)[0]}"]},
        "oauth secret": by_token,
        "token": by_token,
    }
    return found[wrong]


def test_the_instance_id_is_one_that_kafka_takes():
    assert instance_id("rack 7/node.1_a-b") == "rack-7-node.1_a-b"
    assert instance_id("auto")
    assert instance_id("") is None
