"""What a running tocsin serves over HTTP: /metrics, /-/healthy and /-/ready, as Prometheus and Kubernetes ask."""

import logging
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.errors import ConfigError

log = logging.getLogger(__name__)
READY = b"tocsin is ready.\n"
NOT_READY = b"tocsin is not ready: no partition is assigned and restored.\n"
TEXT = "text/plain; charset=utf-8"


class WebServer:
    """Serves in a thread of its own until close(). listen: host:port, port 0 for any free one.

    is_ready: assigned and restored. Raises ConfigError if the address cannot be listened on.
    """

    def __init__(self, listen: str, registry: CollectorRegistry, is_ready: Callable[[], bool]) -> None:
        host, _, port = listen.rpartition(":")
        if not port.isdigit():
            raise ConfigError(f"http.listen must be host:port, got {listen!r}")
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(registry, is_ready))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}") from None
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: CollectorRegistry, is_ready: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path == "/-/healthy":
                self._answer(200, TEXT, b"tocsin is healthy.\n")
            elif path == "/-/ready":
                ready = is_ready()
                text = (
                    b"tocsin is ready.\n" if ready else b"tocsin is not ready: no partition is assigned and restored.\n"
                )
                self._answer(200 if ready else 503, TEXT, text)
            else:
                self._answer(404, TEXT, b"there are /metrics, /-/healthy and /-/ready\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("http request", extra={"request": format % args})

    return Handler
