"""A small OAuth server: tokens that are not signed, to a client that knows its secret (RFC 6749, section 4.4)."""

import base64
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote_plus

from certificates import Certificate

CLIENT, SECRET = "tocsin", "s+cret:/?"


@dataclass
class TokenServer:
    """certificate: of the server; None: plain HTTP.  lasts_s: of the tokens.  asked: the forms of good requests.

    answers: what is sent in place of a token, in order, as (status, body).
    """

    certificate: Certificate | None = None
    lasts_s: float = 3600.0
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.file, self.certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        scheme, port = "https" if self.certificate else "http", self._server.server_address[1]
        return f"{scheme}://127.0.0.1:{port}/token"

    def answer(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(name), unquote_plus(secret)) != (CLIENT, SECRET):
            return 401, b'{"error": "invalid_client"}'
        if form.get("grant_type") != ["client_credentials"]:
            return 400, b'{"error": "unsupported_grant_type"}'
        self.asked.append(form)
        if self.answers:
            return self.answers.pop(0)
        token = unsigned(CLIENT, time.time(), self.lasts_s)
        return 200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": self.lasts_s}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, body = server.answer(self.headers["Authorization"], form)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        return Handler


def unsigned(subject: str, now: float, lasts_s: float) -> str:
    """A JSON web token without a signature."""
    claims = {"sub": subject, "iat": now, "exp": now + lasts_s}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
