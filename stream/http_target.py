"""Documents to another process over HTTP or HTTPS: what the sinks for Alertmanager and webhooks, and OAuth, share.

A connection for each request, closed after it: there are few, and one that stood idle may be dead. Redirects are not
followed and no proxy is asked: what is configured is what is spoken to.
"""

import base64
import logging
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from stream.addresses import is_loopback
from stream.errors import ConfigError, DependencyError
from stream.settings import HttpTargetSettings, TlsSettings
from stream.version import VERSION

log = logging.getLogger(__name__)

# The other end has understood us and will never take this document: to try again is of no use.
UNACCEPTABLE = (400, 413, 422)
READ_BYTES = 1 << 16
SHOWN_BYTES = 200  # of an answer that is an error


class RefusedError(Exception):
    """The other end will never take this document."""


class HttpTarget:
    """One URL, which its settings have checked. is_secret: nothing but its host is told.

    option: whose it is in the config. Raises ConfigError for TLS files that cannot be used.
    """

    def __init__(self, url: str, settings: HttpTargetSettings, *, option: str, is_secret: bool = False) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc}" + ("" if is_secret else parts.path)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = settings.timeout
        self._tls = _context(settings.tls, option) if parts.scheme == "https" else None
        self._headers = {"User-Agent": f"tocsin/{VERSION}", "Connection": "close", **_authorization(settings)}
        if "Authorization" in self._headers and self._tls is None and not is_loopback(self._host):
            log.warning("credentials are sent without encryption", extra={"url": self.name})

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """Returns once it is acknowledged, with the answer; headers may replace its being JSON.

        Raises DependencyError if it is not, RefusedError if it never will be.
        """
        return self._ask("POST", body, {"Content-Type": "application/json", **(headers or {})})

    def get(self) -> None:
        """Raises DependencyError without an answer of success."""
        try:
            self._ask("GET", None, {})
        except RefusedError as error:
            raise DependencyError(str(error)) from error

    def _ask(self, method: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        connection = self._connection()
        try:
            connection.request(method, self._path, body, {**self._headers, **headers})
            answer = connection.getresponse()
            text = answer.read(READ_BYTES)
            self._judge(answer.status, answer.reason, text)
            return text
        except TimeoutError as error:
            raise DependencyError(f"{self.name} does not answer within {self._timeout:g} s") from error
        except (OSError, HTTPException) as error:
            raise DependencyError(f"{self.name} cannot be reached: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=self._timeout)
        return HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)

    def _judge(self, status: int, reason: str, text: bytes) -> None:
        if 200 <= status < 300:
            return
        said = " ".join(text[:SHOWN_BYTES].decode(errors="replace").split())
        message = f"{self.name} answers {status} {reason}" + (f": {said}" if said else "")
        raise RefusedError(message) if status in UNACCEPTABLE else DependencyError(message)


def _authorization(settings: HttpTargetSettings) -> dict[str, str]:
    if settings.bearer_token:
        return {"Authorization": f"Bearer {settings.bearer_token}"}
    if not settings.username:
        return {}
    both = f"{settings.username}:{settings.password}".encode()
    return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}


def _context(tls: TlsSettings, option: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        context.check_hostname = tls.check_hostname
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None, tls.key_password or None)
        return context
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise ConfigError(f"{option}: cannot use the TLS files {files}: {error}") from error
