"""Basic authentication against bcrypt hashes (RFC 7617): one bcrypt for each password, not for each request.

A bcrypt of cost 10 takes a tenth of a second. What was found right is remembered by a keyed hash whose key dies with
the process; what was wrong costs a bcrypt again. One is computed at a time, without the interpreter's lock, so that
whoever guesses keeps one core busy at most and the vote goes on. A name that nobody has costs as much as a wrong
password.
"""

import base64
import binascii
import hashlib
import secrets
import threading
from collections.abc import Mapping

import bcrypt

MOST_BYTES = 72  # of a password that bcrypt looks at


class Passwords:
    """users: name -> bcrypt hash; none: everybody may come in. Safe to use from several threads."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = {name.encode(): hashed.encode() for name, hashed in users.items()}
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()  # one for each user at most
        self._one_at_a_time = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._users)

    def admit(self, authorization: str) -> bool:
        """Whether the header names a user and the user's password."""
        if not self._users:
            return True
        name, password = _credentials(authorization)
        return name is not None and self._is_right(name, password[:MOST_BYTES])

    def _is_right(self, name: bytes, password: bytes) -> bool:
        proof = hashlib.blake2b(len(name).to_bytes(4, "big") + name + password, key=self._key).digest()
        if proof in self._right:
            return True
        anybody = next(iter(self._users.values()))
        with self._one_at_a_time:
            is_right = bcrypt.checkpw(password, self._users.get(name, anybody)) and name in self._users
        if is_right:
            self._right.add(proof)
        return is_right


def _credentials(authorization: str) -> tuple[bytes | None, bytes]:
    """Name and password of the header; no name if it holds none."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None, b""
    return (name, password) if scheme.lower() == "basic" and colon else (None, b"")
