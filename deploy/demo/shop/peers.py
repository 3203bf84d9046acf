"""How one service calls another: JSON over a kept-alive connection of the calling thread."""

import http.client
import json
import threading
from typing import Any


class PeerError(Exception):
    """The other service refused (its status of 400 or more), was silent (504) or was not there (502)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


class Peer:
    """One other service at host:port."""

    def __init__(self, address: str, *, timeout_s: float = 2.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._mine = threading.local()

    def post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's body. Raises PeerError unless the status is below 400."""
        status, text = self._exchange("POST", route, json.dumps(body).encode())
        answer: dict[str, Any] = json.loads(text)
        if status >= 400:
            raise PeerError(status, str(answer.get("error", "")))
        return answer

    def get(self, route: str) -> str:
        """A page as text. Raises PeerError unless the status is below 400."""
        status, text = self._exchange("GET", route, None)
        if status >= 400:
            raise PeerError(status, text)
        return text

    def close(self) -> None:
        """Closes the calling thread's connection; the next call opens another."""
        self._connection().close()

    def _exchange(self, method: str, route: str, body: bytes | None) -> tuple[int, str]:
        connection = self._connection()
        try:
            connection.request(method, route, body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except TimeoutError as error:
            connection.close()
            raise PeerError(504, f"no answer from {self._address} within {self._timeout_s} s") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise PeerError(502, f"{self._address}: {error}") from error

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._address, timeout=self._timeout_s)
            self._mine.connection = connection
        return connection
