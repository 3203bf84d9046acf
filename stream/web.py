"""What a running tocsin serves over HTTP or HTTPS: /metrics, /-/healthy and /-/ready, as Prometheus and Kubernetes ask.

Who may ask, and in what it is wrapped: :mod:`stream.web_config`.
"""

import logging
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.addresses import is_loopback
from stream.errors import ConfigError
from stream.web_config import WebAccess

log = logging.getLogger(__name__)
TEXT = "text/plain; charset=utf-8"
NOT_READY = b"tocsin is not ready: no partition is assigned and restored.\n"
HANDSHAKE_S = 10.0  # for each step of a TLS handshake
IDLE_S = 300.0  # then a connection is closed, as by Prometheus


class WebServer:
    """Serves in a thread of its own until close(). listen: host:port, port 0 for any free one.

    is_ready: assigned and restored.  access: None lets everybody in, without TLS; it may be replaced at any time.
    Raises ConfigError if the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        is_ready: Callable[[], bool],
        *,
        access: WebAccess | None = None,
    ) -> None:
        host, _, port = listen.rpartition(":")
        if not port.isdigit():
            raise ConfigError(f"http.listen must be host:port, got {listen!r}")
        try:
            self._server = _Server((host.strip("[]"), int(port)), _handler(registry, is_ready))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}") from None
        self.use(access)
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def use(self, access: WebAccess | None) -> None:
        """From the next connection on."""
        self._server.access = access
        host = str(self._server.server_address[0])
        if access and access.asks_for_passwords and access.refresh() is None and not is_loopback(host):
            log.warning("passwords for the HTTP port travel without encryption", extra={"host": host})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """A thread for each connection, in which its TLS handshake is waited for, too."""

    daemon_threads = True
    access: WebAccess | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        context = self.access.refresh() if self.access else None
        if context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(HANDSHAKE_S)
        with context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)
            self.shutdown_request(secured)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whatever a client does, a plain request to a TLS port or an early end, is its own affair."""
        log.debug("http connection failed", extra={"client": client_address, "error": repr(sys.exc_info()[1])})


def _handler(registry: CollectorRegistry, is_ready: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_S

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if not self._may_ask():
                self._answer(401, TEXT, b"Unauthorized\n", {"WWW-Authenticate": "Basic"})
            elif path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path == "/-/healthy":
                self._answer(200, TEXT, b"tocsin is healthy.\n")
            elif path == "/-/ready":
                ready = is_ready()
                self._answer(200 if ready else 503, TEXT, b"tocsin is ready.\n" if ready else NOT_READY)
            else:
                self._answer(404, TEXT, b"there are /metrics, /-/healthy and /-/ready\n")

        def _may_ask(self) -> bool:
            access = self.server.access if isinstance(self.server, _Server) else None
            return access is None or access.admits(self.headers.get("Authorization", ""))

        def _answer(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": content_type, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("http request", extra={"request": format % args})

    return Handler
