"""Connecting to Kafka: one place for what kafka-python does otherwise than one would expect.

Whatever is wrong with a connection (a password, a port, a certificate, a name that does not resolve), the client tries
again until its time is up and then says only "Unable to bootstrap"; the reason stands in its log alone. So
:func:`connect` listens to that log, and tries no longer once it says that we are refused; and :func:`tame` keeps the
log itself readable: in an outage of a minute the client writes some 500 lines.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from kafka.errors import KafkaConfigurationError, KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.sasl.oauth import AbstractTokenProvider

from stream.addresses import is_loopback
from stream.errors import ConfigError, DependencyError
from stream.oauth import Tokens
from stream.settings import KafkaSettings, OAuthSettings

log = logging.getLogger(__name__)

Client = TypeVar("Client")

# With the client's own 30 s it is back up to 30 s after the broker is; with 1 s, 1.5 s after.
RECONNECT_MS = 1_000
# New partitions and topics are seen after 30 s instead of 5 minutes.
METADATA_MS = 30_000
FIRST_S = 3.0
HUNG_UP = "SaslAuthenticationFailed: the broker hung up at our credentials (wrong mechanism, user, password or token?)"
# Reasons that will be the same at the next try.
LASTING = ("SaslAuthenticationFailed", "UnsupportedSaslMechanism", "IllegalSaslState", "CERTIFICATE", "access token")
HINTS = {
    "socket disconnected": "wrong security_protocol for that port, or wrong mechanism, user or password?",
    "ECONNREFUSED": "nothing listens on that port",
    "IllegalSaslState": "the port does not ask for SASL: is security_protocol right?",
    "UNEXPECTED_EOF": "the port does not speak TLS: is security_protocol right?",
}
QUIET_S = 60.0
# Warnings of no use: "in the clear" at each connection (warn_if_open says it once), a busy machine's late wake-ups.
NOISE = ("kafka.net.sasl", "kafka.net.selector")
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\],]+)(:\d{1,5})?")


def connect(client: Callable[..., Client], settings: KafkaSettings, **options: Any) -> Client:
    """A connected client (KafkaConsumer, KafkaProducer, KafkaAdminClient), or an error within connect_timeout.

    Raises ConfigError for options the client refuses and files that are not there, DependencyError with the reason
    from the client's log if the cluster does not answer or does not take us. What will not pass by itself (a password,
    a certificate) is told after FIRST_S: the client would try it again and again, until the account is locked.
    """
    tame()
    left = settings.connect_timeout - FIRST_S
    if left <= 0:
        return _connect(client, settings, options)
    try:
        return _connect(client, settings, {**options, "bootstrap_timeout_ms": milliseconds(FIRST_S)})
    except DependencyError as error:
        if any(reason in str(error) for reason in LASTING):
            raise
    return _connect(client, settings, {**options, "bootstrap_timeout_ms": milliseconds(left)})


def _connect(client: Callable[..., Client], settings: KafkaSettings, options: Mapping[str, Any]) -> Client:
    made: list[KafkaNetClient] = []

    def network(**chosen: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**chosen))
        return made[-1]

    connection = {**connection_options(settings), **options}
    with _reasons() as reasons:
        try:
            return client(**connection, kafka_client=network)
        except (
            KafkaConfigurationError,
            ValueError,
            TypeError,
            RuntimeError,
        ) as error:  # an address, a codec, an option
            _close(made)
            raise ConfigError(f"Kafka client at {_names(settings)}: {error}") from error
        except KafkaError as error:
            _close(made)
            raise DependencyError(f"Kafka at {_names(settings)}: {_reason(reasons, error)}") from error


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """What each of the clients is given. Raises ConfigError for an address that is none and a file that is not there,
    DependencyError if there is no access token.

    Never api_version: with it a wrong password is a consumer that reads nothing and says nothing.
    """
    for server in settings.bootstrap_servers:
        if not ADDRESS.fullmatch(server):
            raise ConfigError(f"kafka.bootstrap_servers must be host:port, got {server!r}")
    return {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": settings.client_id,
        "bootstrap_timeout_ms": milliseconds(settings.connect_timeout),
        "request_timeout_ms": milliseconds(settings.request_timeout),
        "reconnect_backoff_max_ms": RECONNECT_MS,
        "metadata_max_age_ms": METADATA_MS,
        "security_protocol": settings.security_protocol,
        **(_tls(settings) if settings.security_protocol.endswith("SSL") else {}),
        **(_sasl(settings) if settings.security_protocol.startswith("SASL") else {}),
    }


def warn_if_open(settings: KafkaSettings) -> None:
    """Say once at start if what we send could be read on its way: no TLS, and not to this host."""
    if settings.security_protocol.endswith("SSL"):
        return
    for server in settings.bootstrap_servers:
        host = server.rpartition(":")[0] or server
        if not is_loopback(host):
            log.warning("connection to Kafka is not encrypted", extra={"server": server})


def tame() -> None:
    """Send the client's log through ours: warnings and errors, each once a minute, with the number left out."""
    client = logging.getLogger("kafka")
    if any(isinstance(handler, _OncePerMinute) for handler in client.handlers):
        return
    client.addHandler(_OncePerMinute())
    client.setLevel(logging.WARNING)
    client.propagate = False
    for name in NOISE:
        logging.getLogger(name).setLevel(logging.ERROR)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _tls(settings: KafkaSettings) -> dict[str, Any]:
    tls = settings.tls
    files = {"ssl_cafile": tls.ca_file, "ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file}
    for name, file in files.items():
        if file and not Path(file).is_file():
            raise ConfigError(f"kafka.tls: {name.removeprefix('ssl_')} must be a file that exists, got {file}")
    given = {name: file for name, file in files.items() if file}
    return {**given, "ssl_password": tls.key_password or None, "ssl_check_hostname": tls.check_hostname}


def _sasl(settings: KafkaSettings) -> dict[str, Any]:
    sasl = settings.sasl
    if sasl.mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": _token_provider(sasl.oauth)}
    if not sasl.username or not sasl.password:
        raise ConfigError(f"kafka.sasl: {settings.security_protocol} needs a username and a password")
    return {
        "sasl_mechanism": sasl.mechanism,
        "sasl_plain_username": sasl.username,
        "sasl_plain_password": sasl.password,
    }


def _token_provider(oauth: OAuthSettings) -> Any:
    """Has a token before anybody connects, so that a wrong secret is told as that."""
    for name in ("token_url", "client_id", "client_secret"):
        if not getattr(oauth, name):
            raise ConfigError(
                f"kafka.sasl.oauth: OAUTHBEARER needs token_url, client_id and client_secret, got no {name}"
            )
    tokens = _tokens(oauth)
    tokens.token()
    return _TokenProvider(tokens)


@cache
def _tokens(oauth: OAuthSettings) -> Tokens:
    """One for all clients of the process."""
    return Tokens(oauth)


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """What the client wants."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def token(self) -> str:
        return self._tokens.token()


class _OncePerMinute(logging.Handler):
    """Passes on one record a minute of each message, and one of all that a lost connection makes the client say."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[str, tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:  # by any of the client's threads, under the handler's lock
        is_network = record.name.startswith(("kafka.net", "kafka.cluster"))
        what, now = "network" if is_network else record.name, time.monotonic()
        key = what if is_network else f"{what} {record.msg}"
        since, left_out = self._since.get(key, (-QUIET_S, 0))
        if now - since < QUIET_S:
            self._since[key] = since, left_out + 1
            return
        self._since[key] = now, 0
        log.warning("Kafka client", extra={"what": what, "said": record.getMessage(), "left_out": left_out})


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """Collects why connections failed while the block runs; the caller's error says it, so the log need not."""
    collect, net, connection = _Collect(), logging.getLogger("kafka.net"), logging.getLogger("kafka.net.connection")
    level = connection.level
    net.addHandler(collect)
    net.propagate = False
    connection.setLevel(logging.DEBUG)  # it tells its requests there
    try:
        yield collect.found
    finally:
        connection.setLevel(level)
        net.propagate = True
        net.removeHandler(collect)


class _Collect(logging.Handler):
    """The errors that the client logs.

    A broker that refuses credentials says why and hangs up. The client drops the answer where both arrive together,
    and says "socket disconnected": that this came right after the credentials is all there is to know.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._has_shown = False  # our credentials, with the last request

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if record.levelno < logging.WARNING:
            requests = [name for name in (type(argument).__name__ for argument in arguments) if "Request" in name]
            self._has_shown = bool(requests and "SaslAuthenticate" in requests[0]) or (self._has_shown and not requests)
            return
        for error in (argument for argument in arguments if isinstance(argument, Exception)):
            self.found.append(HUNG_UP if self._has_shown and "socket disconnected" in str(error) else str(error))


def _reason(reasons: list[str], error: Exception) -> str:
    """The first reason that is not a mere consequence: repeats of a refused password only say "disconnected"."""
    vague = ("Unable to bootstrap", "RequestTimedOut", "socket disconnected", HUNG_UP)  # the vaguest first
    reason = max(reasons, key=lambda said: next((n for n, v in enumerate(vague) if v in said), len(vague)), default="")
    reason = reason or f"no answer ({error})"
    return next((f"{reason} ({hint})" for part, hint in HINTS.items() if part in reason), reason)


def _close(made: list[KafkaNetClient]) -> None:
    """A client whose constructor fails leaves its IO thread running and connecting: end it."""
    for network in made:
        network.close()


def _names(settings: KafkaSettings) -> str:
    return ",".join(settings.bootstrap_servers)
