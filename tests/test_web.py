"""The HTTP port behind TLS and passwords: who gets in, what a scrape costs, and what happens when the files change."""

import base64
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from alert_servers import Prometheus, command, free_ports, get, wait_for
from certificates import Authority, Certificate
from keeper import Keeper
from prometheus_client import CollectorRegistry

from stream import passwords
from stream.cli import main
from stream.errors import ConfigError
from stream.passwords import Passwords
from stream.web import WebServer
from stream.web_config import WebAccess, load_web

EXAMPLE = Path(__file__).resolve().parents[1] / "deploy" / "config" / "web.yml"
HUSH = "$2b$04$abcdefghijklmnopqrstuuppZFpU9n.F.R29ic//YRPBUgRHbgy9m"  # of "hush"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> dict[str, Certificate]:
    return {name: authority.sign(name) for name in ("server", "renewed", "client")}


@pytest.fixture
def web(tmp_path: Path, certificates: dict[str, Certificate]) -> Path:
    """A web config with TLS and one user; its paths are relative to it."""
    copy(certificates["server"], tmp_path)
    path = tmp_path / "web.yml"
    path.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: {HUSH}}}\n"
    )
    return path


def copy(certificate: Certificate, folder: Path) -> None:
    shutil.copy(certificate.file, folder / "server.crt")
    shutil.copy(certificate.key, folder / "server.key")


@pytest.fixture
def serve() -> Iterator[Any]:
    """Starts web servers, and closes them at the end."""
    started: list[WebServer] = []

    def start(path: Path) -> WebServer:
        access = WebAccess(str(path))
        started.append(WebServer("127.0.0.1:0", CollectorRegistry(), lambda: True, access=access))
        return started[-1]

    yield start
    for server in started:
        server.close()


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def ask(
    server: WebServer, trusted: Path | None, authorization: str = "", client: Certificate | None = None
) -> tuple[int, str]:
    """Status and common name of the server's certificate, or of none, by a connection of its own."""
    if trusted is None:
        connection = http.client.HTTPConnection("localhost", server.port, timeout=10)
    else:
        context = ssl.create_default_context(cafile=str(trusted))
        if client:
            context.load_cert_chain(client.file, client.key)
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=10, context=context)
    try:
        headers = {"Authorization": authorization} if authorization else {}
        connection.request("GET", "/-/ready", headers=headers)
        shown = connection.sock.getpeercert() if trusted else None  # type: ignore[union-attr]
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(pair for (pair,) in shown["subject"])["commonName"] if shown else ""
    finally:
        connection.close()


def test_only_who_has_the_password_gets_in_and_only_over_tls(web, serve, authority):
    server, trusted = serve(web), authority.certificate.file
    assert ask(server, trusted, basic("prometheus", "hush")) == (200, "server")
    for wrong in (
        "",
        basic("prometheus", "hash"),
        basic("somebody", "hush"),
        basic("", ""),
        "Basic !",
        "Basic",
        "Bearer x",
    ):
        assert ask(server, trusted, wrong)[0] == 401
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, None, basic("prometheus", "hush"))
    assert ask(server, trusted, basic("prometheus", "hush"))[0] == 200


def test_who_does_not_finish_a_handshake_keeps_nobody_out(web, serve, authority):
    server = serve(web)
    with socket.create_connection(("127.0.0.1", server.port)):
        assert ask(server, authority.certificate.file, basic("prometheus", "hush"))[0] == 200


def test_an_empty_web_config_is_plain_and_open(tmp_path, serve):
    (tmp_path / "web.yml").write_text("")
    assert ask(serve(tmp_path / "web.yml"), None) == (200, "")


@pytest.mark.parametrize(
    ("kind", "without", "with_one"),
    [("RequireAndVerifyClientCert", None, 200), ("VerifyClientCertIfGiven", 200, 200)],
)
def test_clients_are_known_by_their_certificates(kind, without, with_one, tmp_path, serve, authority, certificates):
    copy(certificates["server"], tmp_path)
    shutil.copy(authority.certificate.file, tmp_path / "ca.crt")
    files = "cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt"
    (tmp_path / "web.yml").write_text(f"tls_server_config: {{{files}, client_auth_type: {kind}}}\n")
    server, trusted = serve(tmp_path / "web.yml"), authority.certificate.file
    assert ask(server, trusted, client=certificates["client"])[0] == with_one
    stranger = Authority(tmp_path / "other").sign("stranger")
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, trusted, client=stranger)
    if without is None:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(server, trusted)
    else:
        assert ask(server, trusted)[0] == without


def test_a_password_costs_one_bcrypt_however_often_it_is_shown(monkeypatch):
    checked, compare = [], bcrypt.checkpw

    def check(password: bytes, hashed: bytes) -> bool:
        checked.append(password)
        return compare(password, hashed)

    monkeypatch.setattr(passwords.bcrypt, "checkpw", check)
    users = Passwords({"prometheus": HUSH, "other": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()})
    assert all(users.admit(basic("prometheus", "hush")) for _ in range(5))
    assert checked == [b"hush"]
    assert not any(users.admit(basic("prometheus", "hash")) for _ in range(2))
    assert not users.admit(basic("nobody", "hush"))  # a name that nobody has takes as long
    assert checked == [b"hush", b"hash", b"hash", b"hush"]
    assert users.admit(basic("other", "x" * 80))  # bcrypt looks at 72 bytes
    assert not users.admit(basic("prometheus", "hush\0")) and not users.admit(basic("prometheushush", ""))


def test_files_that_change_are_read_again_and_wrong_ones_are_told_and_left(web, serve, authority, certificates, caplog):
    server, trusted, right = serve(web), authority.certificate.file, basic("prometheus", "hush")
    assert ask(server, trusted, right) == (200, "server")
    copy(certificates["renewed"], web.parent)
    assert ask(server, trusted, right) == (200, "renewed")
    good = web.read_text()
    web.write_text(good + "basic_auth: {}\n")
    assert ask(server, trusted, right) == (200, "renewed")
    assert "unknown option basic_auth; did you mean basic_auth_users?" in str(caplog.records[-1].error)
    told = len(caplog.records)
    assert ask(server, trusted, right) == (200, "renewed") and len(caplog.records) == told
    web.write_text(good.replace("prometheus:", "someone_else:"))
    assert ask(server, trusted, right)[0] == 401
    (web.parent / "server.key").write_text("half of a ke")
    assert ask(server, trusted, basic("someone_else", "hush")) == (200, "renewed")
    copy(certificates["server"], web.parent)
    assert ask(server, trusted, basic("someone_else", "hush")) == (200, "server")
    web.write_text("")
    assert ask(server, None) == (200, "")


def test_a_password_that_is_withdrawn_ends_an_old_connections_rights_too(web, serve, authority):
    server, context = serve(web), ssl.create_default_context(cafile=str(authority.certificate.file))
    connection = http.client.HTTPSConnection("localhost", server.port, timeout=10, context=context)
    try:
        statuses = []
        for users in (f"prometheus: {HUSH}", f"somebody: {HUSH}"):
            web.write_text(re.sub("basic_auth_users: .*", f"basic_auth_users: {{{users}}}", web.read_text()))
            connection.request("GET", "/metrics", headers={"Authorization": basic("prometheus", "hush")})
            with connection.getresponse() as answer:
                answer.read()
                statuses.append(answer.status)
        assert statuses == [200, 401]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls_server_confg: {}", "web.yml:1: unknown option tls_server_confg; did you mean tls_server_config?"),
        ("tls_server_config:\n  cert_file: a", "web.yml:2: tls_server_config must have key_file"),
        (
            "tls_server_config:\n  cert_file: a\n  key_fil: b",
            "web.yml:3: unknown option tls_server_config.key_fil; did you mean key_file?",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: RequestClientCert",
            "web.yml:4: tls_server_config.client_auth_type must be one of NoClientCert, VerifyClientCertIfGiven, ",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c",
            "web.yml:4: tls_server_config.client_ca_file must come with a client_auth_type that verifies",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b}",
            "web.yml: tls_server_config: cannot use FOLDER/a, FOLDER/b: [Errno 2] No such file or directory",
        ),
        ("basic_auth_users:\n  me: plain", "web.yml:1: basic_auth_users must be names with bcrypt hashes such as "),
        ("a: [", "web.yml:1: not valid YAML"),
    ],
)
def test_a_mistake_in_a_web_config_is_told_with_its_line(tmp_path, text, told):
    (tmp_path / "web.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        WebAccess(str(tmp_path / "web.yml"))
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(told.replace("FOLDER", str(tmp_path)))


def test_check_config_looks_at_the_web_config_too(tmp_path, capsys):
    config = tmp_path / "c.yml"
    config.write_text(f"http: {{web_config_file: {tmp_path}/web.yml}}\n")
    assert main(["check-config", str(config)]) == 2
    assert "cannot read web config" in capsys.readouterr().err


def test_nothing_in_it_stands_for_the_environment(tmp_path):
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: '${HOME}', key_file: $$}")
    tls = load_web(tmp_path / "web.yml").tls_server_config
    assert tls is not None and (tls.cert_file, tls.key_file) == ("${HOME}", "$$")


@pytest.mark.alerting
def test_promtool_accepts_the_example_and_so_do_we(tmp_path, certificates):
    shutil.copy(EXAMPLE, tmp_path / "web.yml")
    copy(certificates["server"], tmp_path)
    done = command("promtool", "check", "web-config", str(tmp_path / "web.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    (hashed,) = load_web(tmp_path / "web.yml").basic_auth_users.values()
    assert WebAccess(str(tmp_path / "web.yml")).admits(basic("prometheus", "change-me"))
    assert hashed.startswith("$2b$10$")


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.mark.alerting
def test_prometheus_scrapes_a_run_over_tls_with_a_password(web, authority, keeper, tmp_path):
    """Real ones, both; with a wrong password, and without trust in the authority, Prometheus says why it cannot."""
    port = free_ports(1)[0]
    config = {
        "source": {"kind": "file"},
        "sinks": {"kinds": ["jsonlines"], "dead_letters": "none", "jsonlines": {"path": str(tmp_path / "found")}},
        "snapshot": {"directory": ""},
        "http": {"listen": f"127.0.0.1:{port}", "web_config_file": str(web)},
        "autoencoder": {"enabled": False},
    }
    (tmp_path / "c.yml").write_text(json.dumps(config))
    words = [sys.executable, "-m", "stream", "run", "--config", str(tmp_path / "c.yml")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    keeper.keep(process.pid)
    scrapes = {"right": ("hush", authority.certificate.file), "wrong": ("hash", authority.certificate.file)}
    prometheus = Prometheus(tmp_path / "prometheus", keeper, scrape_config(port, scrapes), "groups: []\n").start()
    try:
        found = wait_for(lambda: health(prometheus, ["right", "wrong", "untrusting"]), 120)
        assert found["right"] == ("up", "")
        assert "401" in found["wrong"][1]
        assert "certificate" in found["untrusting"][1]
    finally:
        prometheus.stop()
        process.terminate()
        process.communicate(timeout=30)
        keeper.release(process.pid)


def scrape_config(port: int, scrapes: dict[str, tuple[str, Path]]) -> str:
    def job(name: str, password: str, tls: dict[str, str]) -> dict[str, Any]:
        login = {"username": "prometheus", "password": password}
        targets = [{"targets": [f"localhost:{port}"]}]
        common = {"scheme": "https", "scrape_interval": "1s", "static_configs": targets}
        return {"job_name": name, **common, "basic_auth": login, "tls_config": tls}

    jobs = [job(name, password, {"ca_file": str(ca)}) for name, (password, ca) in scrapes.items()]
    return json.dumps({"scrape_configs": [*jobs, job("untrusting", "hush", {})]})


def health(prometheus: Prometheus, names: list[str]) -> dict[str, tuple[str, str]] | None:
    """Health and error of each job, once the first is up and the others have failed for their own reasons."""
    answer = get(f"{prometheus.url}/api/v1/targets")
    targets = answer["data"]["activeTargets"] if answer else []
    found = {target["labels"]["job"]: (target["health"], target["lastError"]) for target in targets}
    is_done = found.get("right", ("",))[0] == "up" and all(
        re.search("401|certificate", found[name][1]) for name in names[1:]
    )
    return found if is_done else None
