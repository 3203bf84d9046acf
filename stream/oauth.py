"""Access tokens by OAuth 2.0's client credentials (RFC 6749, section 4.4): fetched, kept, renewed before they expire.

A token is asked for in the client's own network thread, where nothing may take long: heartbeats wait there. So a token
that is getting old is renewed beside; who asks waits for that for WAIT_S at most and is else given the old one, which
is still valid. After a failure nobody waits for the endpoint again for RETRY_S. Only when no token is valid any more is
one fetched there and then.
"""

import json
import logging
import re
import threading
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

from stream.clock import Clock, SystemClock
from stream.errors import DependencyError
from stream.http_target import HttpTarget, RefusedError
from stream.settings import HttpTargetSettings, OAuthSettings

log = logging.getLogger(__name__)

RENEW_AT = 0.8  # of its life; clients authenticate again at .85 of what is left of it
LASTS_S = 60.0  # a token whose answer does not say
WAIT_S = 1.0
RETRY_S = 10.0
BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float  # monotonic seconds
    expires_at: float


class Tokens:
    """The token of one client at one endpoint. Safe to use from several threads. Raises ConfigError for TLS files."""

    def __init__(self, settings: OAuthSettings, *, clock: Clock | None = None) -> None:
        # Name and secret are encoded as in a form before they are put together: RFC 6749, section 2.3.1.
        name, secret = quote_plus(settings.client_id), quote_plus(settings.client_secret)
        http = HttpTargetSettings(timeout=settings.timeout, username=name, password=secret, tls=settings.tls)
        self._target = HttpTarget(settings.token_url, http, option="kafka.sasl.oauth")
        wanted = {"grant_type": "client_credentials", **({"scope": settings.scope} if settings.scope else {})}
        self._body = urlencode(wanted).encode()
        self._clock = clock or SystemClock()
        self._fetching = threading.Lock()
        self._token: _Token | None = None
        self._failure: tuple[float, DependencyError] | None = None  # when, and what

    def token(self) -> str:
        """One that is valid now. Raises DependencyError if there is none and none is given."""
        now, token = self._clock.monotonic(), self._token
        if token is None or now >= token.expires_at:
            return self._fetch_now().text
        return self._renewed(token).text if now >= token.renew_at else token.text

    def _renewed(self, token: _Token) -> _Token:
        """The next token if it comes soon."""
        if not self._fetching.locked():
            thread = threading.Thread(target=self._renew, name="oauth", daemon=True)
            thread.start()
            thread.join(WAIT_S)
        return self._token or token

    def _fetch_now(self) -> _Token:
        with self._fetching:
            now = self._clock.monotonic()
            if self._token and now < self._token.expires_at:  # another thread was faster
                return self._token
            if self._failure and now < self._failure[0] + RETRY_S:
                raise DependencyError(str(self._failure[1])) from self._failure[1]
            return self._fetch()

    def _renew(self) -> None:
        with self._fetching:
            now = self._clock.monotonic()
            is_fresh = self._token is not None and now < self._token.renew_at
            if is_fresh or (self._failure and now < self._failure[0] + RETRY_S):
                return
            try:
                self._fetch()
            except DependencyError as error:
                log.warning("access token not renewed, trying again", extra={"error": str(error)})

    def _fetch(self) -> _Token:
        asked = self._clock.monotonic()
        try:
            text, lasts = _parsed(self._answer(), self._target.name)
        except DependencyError as error:
            self._failure = self._clock.monotonic(), error
            raise
        self._failure = None
        self._token = _Token(text, asked + RENEW_AT * lasts, asked + lasts)
        return self._token

    def _answer(self) -> bytes:
        try:
            return self._target.post(self._body, FORM)
        except (RefusedError, DependencyError) as error:
            refused = any(word in str(error) for word in ("invalid_client", "unauthorized_client", " 401 "))
            hint = " (wrong client_id or client_secret?)" if refused else ""
            raise DependencyError(f"no access token: {error}{hint}") from error


def _parsed(answer: bytes, name: str) -> tuple[str, float]:
    """The token and the seconds it lasts; RFC 6749, section 5.1."""
    try:
        document = json.loads(answer)
        text, lasts = document["access_token"], float(document.get("expires_in", LASTS_S))
        if not BEARER.fullmatch(text) or not lasts > 0:
            raise ValueError(f"a token of {len(text)} characters that lasts {lasts:g} s")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DependencyError(f"no access token: {name} gives none that can be used ({error!r})") from None
    return text, lasts
