"""A small OAuth server: tokens that are not signed, to a client that knows its secret (RFC 6749, section 4.4)."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote_plus

from certificates import Certificate
from loopback import LoopbackServer

CLIENT, SECRET = "tocsin", "s+cret:/?"


@dataclass
class TokenServer(LoopbackServer):
    """certificate: of the server; None: plain HTTP.  lasts_s: of the tokens.  asked: the forms of good requests.

    answers: what is sent in place of a token, in order, as (status, body).
    """

    certificate: Certificate | None = None
    lasts_s: float = 3600.0
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{super().url}/token"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        return self._grant(headers["Authorization"], parse_qs(body.decode()))

    def _grant(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
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


def unsigned(subject: str, now: float, lasts_s: float) -> str:
    """A JSON web token without a signature."""
    claims = {"sub": subject, "iat": now, "exp": now + lasts_s}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
