"""The HTTP side that all services of the shop share: a thread a connection, a few workers, metrics and faults.

A service's process prints the port it listens on and ends when its standard input ends, so that none outlives the
process that started it, however that one dies.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from shop.faults import Faults, InjectedError
from shop.peers import Peer, PeerError
from shop.telemetry import Telemetry

WORKERS = 8  # requests that a service works on at once; the others wait

Body: TypeAlias = dict[str, Any]
Routes: TypeAlias = dict[str, Callable[[Body], Body]]  # a route raises RefusedError, or gives the answer's body


class RefusedError(Exception):
    """The request cannot be served as it is: an unknown item, a bad card."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, routes: Routes, faults: Faults, telemetry: Telemetry) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes, self.faults, self.telemetry = routes, faults, telemetry
        self.workers = threading.BoundedSemaphore(WORKERS)

    def answer(self, route: str, body: Body) -> tuple[int, Body]:
        """Status and body for one request of the shop's own."""
        handle = self.routes.get(route)
        if handle is None:
            return 404, {"error": f"no route {route}"}
        try:
            with self.worker():
                if self.faults.sheds_request():
                    return 200, {}
                self.faults.on_request()
                return 200, handle(body)
        except (RefusedError, PeerError) as error:
            return error.status, {"error": str(error)}
        except InjectedError as error:
            return 500, {"error": str(error)}

    @contextmanager
    def worker(self) -> Iterator[None]:
        """One of the workers, as soon as one is free."""
        self.workers.acquire()
        try:
            yield
        finally:
            kept = self.faults.keeps_worker_s
            if kept:
                threading.Timer(kept, self.workers.release).start()
            else:
                self.workers.release()

    def change_fault(self, body: Body) -> tuple[int, Body]:
        """Begins {"kind": ..., "amount": ...}; ends the fault that is on for {}."""
        try:
            if body:
                self.faults.begin(body["kind"], body["amount"])
            else:
                self.faults.end()
        except ValueError as error:
            return 400, {"error": str(error)}
        return 200, {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece
    server: Server

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._send(200, self.server.telemetry.exposition(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._send(404, b"only /metrics can be read\n", "text/plain")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        began = time.perf_counter()  # not at the first line: a slow caller's time is not ours
        if self.path == "/fault":
            status, answer = self.server.change_fault(body)
        else:
            status, answer = self.server.answer(self.path, body)
            self.server.telemetry.answered(status, time.perf_counter() - began)
        self._send(status, json.dumps(answer).encode(), "application/json")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: what happens can be read from the metrics."""

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(
    routes: Routes, *, hold_lock: Callable[[float], None] | None = None, telemetry: Telemetry | None = None
) -> None:
    """Serves until standard input ends."""
    server = Server(routes, Faults(hold_lock), telemetry or Telemetry())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


def peer_arguments() -> list[Peer]:
    """The services to call, as host:port arguments of the process, in the order of shop.system.CALLS."""
    return [Peer(address) for address in sys.argv[1:]]
