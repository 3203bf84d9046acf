"""Certificates for a test, made by openssl: an authority, and what it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]


@dataclass(frozen=True)
class Certificate:
    """PEM files. key: PKCS 8, not encrypted."""

    file: Path
    key: Path


class Authority:
    """Signs. certificate: its own, for those who are to trust it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl(self.certificate, name, [])

    def sign(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1") -> Certificate:
        """A certificate of a host, or of a client. names: what it holds for, as openssl writes them."""
        made = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        own = self.certificate
        _openssl(made, name, ["-CA", str(own.file), "-CAkey", str(own.key), "-addext", f"subjectAltName={names}"])
        return made


def _openssl(made: Certificate, name: str, options: list[str]) -> None:
    words = ["openssl", "req", "-x509", *KEY, "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run([*words, *options], check=True, capture_output=True)
