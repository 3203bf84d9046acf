"""TLS and passwords of the HTTP port, in the format of Prometheus's web config file.

    tls_server_config: {cert_file, key_file, client_ca_file, client_auth_type}
    basic_auth_users: {name: bcrypt hash}

The keys that are here mean what they mean there, `promtool check web-config` accepts the same file, and paths are
relative to it. Other keys of Prometheus's are refused like any unknown option. Nothing stands for the environment.

The file and all that it names are looked at with each connection and request, and read again when one of them changed.
What is then wrong is told, and the old stays in force until it is right; Prometheus turns connections away meanwhile.
"""

import logging
import re
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from stream.errors import ConfigError
from stream.passwords import Passwords
from stream.settings import Secret
from stream.typed_yaml import parse, read

log = logging.getLogger(__name__)

BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
# Of Go's five the ones that Python has, too: it verifies each certificate that it asks for.
VERIFIES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
Stamp: TypeAlias = tuple[int, int, int] | None  # of a file: changes when it does; None: it is not there


@dataclass(frozen=True, slots=True)
class TlsServerSettings:
    """PEM files. client_ca_file: whose certificates clients may, or must, show."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"

    def __post_init__(self) -> None:
        for name in ("cert_file", "key_file"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be the path of a PEM file, got none")
        if self.client_ca_file and self.client_auth_type == "NoClientCert":
            raise ValueError("client_ca_file must come with a client_auth_type that verifies, got NoClientCert")
        if not self.client_ca_file and self.client_auth_type != "NoClientCert":
            raise ValueError(f"client_auth_type {self.client_auth_type} must come with a client_ca_file")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What a web config file says. basic_auth_users: name -> bcrypt hash; none: everybody may come in."""

    tls_server_config: TlsServerSettings | None = None
    basic_auth_users: dict[str, Secret] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name, hashed in self.basic_auth_users.items():
            if not BCRYPT.fullmatch(hashed):
                raise ValueError(f"basic_auth_users must be names with bcrypt hashes such as $2b$10$..., see {name}")


class WebAccess:
    """The web config file at a path, as it is now. Raises ConfigError if it is wrong at the start.

    Safe to use from several threads.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._watched = [self._path]  # the file, and what it names
        self._stamps: list[Stamp] = []
        self._context: ssl.SSLContext | None = None
        self._passwords = Passwords({})
        self._read()

    @property
    def asks_for_passwords(self) -> bool:
        return bool(self._passwords)

    def refresh(self) -> ssl.SSLContext | None:
        """Reads again what changed. Gives what a new connection is wrapped in; None: nothing."""
        with self._lock:
            if self._stamps != [_stamp(file) for file in self._watched]:
                self._read_again()
            return self._context

    def admits(self, authorization: str) -> bool:
        """Whether a request with this header (empty: none) may be answered, on an old connection, too."""
        self.refresh()
        return self._passwords.admit(authorization)

    def _read_again(self) -> None:
        try:
            self._read()
            log.info("web config read again", extra={"file": str(self._path)})
        except ConfigError as error:
            log.error("web config is wrong, the old one stays in force", extra={"error": str(error)})

    def _read(self) -> None:
        """Stamps first: what changes while it is read is read again."""
        self._watched, self._stamps = [self._path], [_stamp(self._path)]
        settings = load_web(self._path)
        tls = settings.tls_server_config
        self._watch([] if tls is None else [tls.cert_file, tls.key_file, tls.client_ca_file])
        context = None if tls is None else server_context(tls, self._path)
        self._context, self._passwords = context, Passwords(settings.basic_auth_users)

    def _watch(self, files: list[str]) -> None:
        named = [self._path.parent / file for file in files if file]
        self._watched += named
        self._stamps += [_stamp(file) for file in named]


def load_web(path: Path) -> WebSettings:
    """Raises ConfigError with file and line for whatever is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read web config {path}: {getattr(error, 'strerror', None) or error}") from None
    return read(parse(text, str(path)), WebSettings, None)


def server_context(tls: TlsServerSettings, path: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer. path: of the web config file. Raises ConfigError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key, clients = (path.parent / file for file in (tls.cert_file, tls.key_file, tls.client_ca_file))
    used = f"{certificate}, {key}"
    try:
        context.load_cert_chain(certificate, key, _no_password)
        if tls.client_ca_file:
            used = str(clients)
            context.load_verify_locations(clients)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(f"{path}: tls_server_config: cannot use {used}: {error}") from None
    context.verify_mode = VERIFIES[tls.client_auth_type]
    return context


def _no_password() -> str:
    raise ValueError("the key must not be encrypted")


def _stamp(file: Path) -> Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
