"""Access tokens for Kafka: fetched with the secret, kept, renewed in time, and told when there is none."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from fakes import FakeClock
from tokens import CLIENT, SECRET, TokenServer

from stream.errors import ConfigError, DependencyError
from stream.oauth import Tokens
from stream.settings import OAuthSettings, TlsSettings


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer(lasts_s=100.0) as started:
        yield started


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, a renewal is waited for."""
    monkeypatch.setattr("stream.oauth.WAIT_S", 60.0)


def settings(server: TokenServer, **changes: Any) -> OAuthSettings:
    given = {"token_url": server.url, "client_id": CLIENT, "client_secret": SECRET, "timeout": 5.0}
    return OAuthSettings(**{**given, **changes})


def test_a_token_is_asked_for_once_and_again_before_it_expires(server):
    clock = FakeClock()
    tokens = Tokens(settings(server, scope="kafka read"), clock=clock)
    first = tokens.token()
    clock.now += 79
    assert tokens.token() == first and len(server.asked) == 1
    assert server.asked[0] == {"grant_type": ["client_credentials"], "scope": ["kafka read"]}
    clock.now += 2
    assert tokens.token() != first
    assert tokens.token() != first and len(server.asked) == 2
    clock.now += 500
    tokens.token()
    assert len(server.asked) == 3


def test_an_endpoint_that_fails_is_asked_again_later_while_the_old_token_serves(server, caplog):
    clock = FakeClock()
    tokens = Tokens(settings(server), clock=clock)
    first = tokens.token()
    server.answers = [(503, b"busy"), (503, b"busy")]
    clock.now += 81
    assert [tokens.token() for _ in range(3)] == [first] * 3
    assert len(server.asked) == 2 and "503" in caplog.records[-1].error
    clock.now += 11
    assert tokens.token() == first and len(server.asked) == 3
    clock.now += 9  # it has expired, and the endpoint failed a moment ago
    with pytest.raises(DependencyError, match=r"answers 503 .*busy"):
        tokens.token()
    assert len(server.asked) == 3
    clock.now += 2
    assert tokens.token() != first


def test_an_endpoint_that_hangs_holds_nobody_up_while_the_token_is_valid(server, monkeypatch):
    clock, hangs = FakeClock(), threading.Event()
    tokens = Tokens(settings(server), clock=clock)
    first = tokens.token()
    answer = tokens._answer
    monkeypatch.setattr(tokens, "_answer", lambda: hangs.wait(60) and answer())
    monkeypatch.setattr("stream.oauth.WAIT_S", 0.01)
    clock.now += 81
    assert [tokens.token() for _ in range(3)] == [first] * 3
    (renewing,) = (thread for thread in threading.enumerate() if thread.name == "oauth")
    hangs.set()
    renewing.join(60)
    assert tokens.token() != first and len(server.asked) == 2


@pytest.mark.parametrize(
    ("changes", "answers", "told"),
    [
        ({"client_secret": "wrong"}, [], r"401 .*invalid_client.*\(wrong client_id or client_secret\?\)"),
        ({"token_url": "http://127.0.0.1:1/"}, [], "http://127.0.0.1:1/ cannot be reached: .*refused"),
        ({}, [(400, b'{"error": "invalid_scope"}')], "400 .*invalid_scope"),
        ({}, [(200, b"<html>")], "gives none that can be used"),
        ({}, [(200, b"[]")], "gives none that can be used"),
        ({}, [(200, b'{"access_token": "a\\u0001b"}')], "a token of 3 characters that lasts 60 s"),
        ({}, [(200, b'{"access_token": "a", "expires_in": 0}')], "a token of 1 characters that lasts 0 s"),
    ],
)
def test_no_token_is_told_with_its_reason(server, changes, answers, told):
    server.answers = answers
    with pytest.raises(DependencyError, match="no access token: .*" + told) as caught:
        Tokens(settings(server, **changes)).token()
    assert SECRET not in str(caught.value)


def test_a_token_that_does_not_say_how_long_it_lasts_is_good_for_a_minute(server):
    server.answers = [(200, json.dumps({"access_token": "abc"}).encode())]
    clock = FakeClock()
    tokens = Tokens(settings(server), clock=clock)
    assert tokens.token() == "abc"
    clock.now += 47
    assert tokens.token() == "abc"
    clock.now += 2
    assert tokens.token() != "abc"


def test_the_endpoints_certificate_is_looked_at(tmp_path: Path):
    authority = Authority(tmp_path)
    with TokenServer(authority.sign("server")) as server:
        trusting = TlsSettings(ca_file=str(authority.certificate.file))
        assert Tokens(settings(server, tls=trusting)).token()
        with pytest.raises(DependencyError, match="certificate verify failed"):
            Tokens(settings(server)).token()
    with pytest.raises(ConfigError, match=r"kafka\.sasl\.oauth: cannot use the TLS files /nowhere"):
        Tokens(OAuthSettings(token_url="https://h/", tls=TlsSettings(ca_file="/nowhere")))
