"""A real Apache Kafka broker on free loopback ports, for the tests and for `make kafka`.

    with Broker() as broker:
        ... broker.servers ...        # plain;  broker.sasl_servers: USER and PASSWORD by SASL PLAIN
        # secure=True: broker.tls_servers, by a certificate of broker.authority for 127.0.0.1 and no name, and
        # broker.oauth_servers, which take any token that is not signed and has not expired
        broker.kill(); broker.start() # the same ports, the same data

    python tests/kafka/broker.py --port 9092      # for a person, until Ctrl-C

One node is broker and controller. Its jars are fetched by Maven into build/kafka once, its data folder is a temporary
one. Ready 1.5 to 3 s after start; nothing is left behind, not even when the owner is killed (see keeper.py).
"""

import argparse
import fcntl
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from certificates import Authority
from distribution import BUILD, INSTALL, fetch_jars, is_ready, java, mark_ready, missing, run
from keeper import Keeper

ARCHIVE, FORMATTED = BUILD / "classes.jsa", BUILD / "formatted"
USER, PASSWORD = "tocsin", "tocsin-secret"
READY = "Kafka Server started"

# The short sessions make a killed broker ready in 3 s instead of 12, the short delays a group in none instead of 3 s.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=\
PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,OAUTH:SASL_PLAINTEXT
inter.broker.listener.name=PLAIN
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=100
log.cleaner.backoff.ms=500
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
"""

SECURE = """\
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={keystore}
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.oauth.oauthbearer.connections.max.reauth.ms=3600000
"""


class Broker:
    """One broker; start, stop, kill and start again keep its ports and its data until it is closed."""

    def __init__(self, *, port: int | None = None, archive: Path | None = None, secure: bool = False) -> None:
        """port: where it listens; None: a free one. archive: keep its loaded classes there when it stops."""
        if archive is None:
            prepare()
        self._port = port
        self._sharing = f"-XX:ArchiveClassesAtExit={archive}" if archive else f"-XX:SharedArchiveFile={ARCHIVE}"
        self._keeper = Keeper()
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-kafka-"))
        self._keeper.keep(self._directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_before = False
        shutil.copytree(FORMATTED, self._directory / "data")
        self._secure = secure
        self.authority = Authority(self._directory / "tls") if secure else None
        if self.authority:
            made = self.authority.sign("broker", names="IP:127.0.0.1")
            (self._directory / "keystore.pem").write_text(made.key.read_text() + made.file.read_text())
        self._choose_ports()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self._ports['plain']}"

    @property
    def sasl_servers(self) -> str:
        return f"127.0.0.1:{self._ports['sasl']}"

    @property
    def tls_servers(self) -> str:
        return f"127.0.0.1:{self._ports['tls']}"

    @property
    def oauth_servers(self) -> str:
        return f"127.0.0.1:{self._ports['oauth']}"

    @property
    def log(self) -> Path:
        return self._directory / "broker.log"

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Start it and wait until it is ready. A port taken in the meantime means other ports, on the first start."""
        for _ in range(3):
            if self._try_start(timeout_s):
                self._started_before = True
                return
            if self._started_before or self._port or "Address already in use" not in self.log.read_text():
                break
            self._choose_ports()
        raise RuntimeError(f"the Kafka broker did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """As an operator would: SIGTERM, and wait (about half a second)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would: SIGKILL."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it and remove its data. SIGKILL, as nobody will read them again."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._keeper.close()

    def _try_start(self, timeout_s: float) -> bool:
        with self.log.open("ab") as log:
            seen = log.tell()
            config = str(self._directory / "server.properties")
            self._process = subprocess.Popen(
                java(self._directory, self._sharing, "kafka.Kafka", config),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the owner, who then ends us
            )
        self._keeper.keep(self._process.pid)
        if self._wait_until_ready(seen, timeout_s):
            return True
        self.kill()
        return False

    def _wait_until_ready(self, seen: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._process and self._process.poll() is None and time.monotonic() < deadline:
            with self.log.open("rb") as log:
                log.seek(seen)
                if READY.encode() in log.read():
                    return True
            time.sleep(0.02)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._keeper.release(process.pid)

    def _choose_ports(self) -> None:
        names = ("controller", "plain", "sasl", *(("tls", "oauth") if self._secure else ()))
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        if self._port is not None:
            self._ports["plain"] = self._port
        text = properties(self._directory / "data", self._ports)
        text += SECURE.format(keystore=self._directory / "keystore.pem") if self._secure else ""
        (self._directory / "server.properties").write_text(text)


def properties(data: Path, ports: dict[str, int]) -> str:
    """The broker's config; it listens on each of the ports by its name."""
    listeners = [f"{name.upper()}://127.0.0.1:{port}" for name, port in ports.items() if name != "controller"]
    controller = ports["controller"]
    return PROPERTIES.format(
        data=data, user=USER, password=PASSWORD, listeners=",".join(listeners), controller=controller
    )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listened on a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def prepare() -> None:
    """Fetch Kafka and what makes a start short, unless build/kafka has it. Safe in parallel."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ready():
            fetch_jars()
            _format()
            _archive()
            mark_ready()


def _format() -> None:
    """An empty data folder, as StorageTool makes it: copied for each broker it saves a second of Java at each start."""
    shutil.rmtree(FORMATTED, ignore_errors=True)
    config = BUILD / "format.properties"
    config.write_text(properties(FORMATTED, {"plain": 1, "sasl": 2, "controller": 3}))
    tool = java(BUILD, "kafka.tools.StorageTool")
    cluster = run(*tool, "random-uuid").split()[-1]
    run(*tool, "format", "-t", cluster, "-c", str(config))


def _archive() -> None:
    """Java's class-data sharing: a start with the loaded classes of an earlier one takes 40 % less CPU."""
    ARCHIVE.unlink(missing_ok=True)
    with Broker(archive=ARCHIVE) as broker:
        broker.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="A real Kafka broker on this machine, until Ctrl-C; its data go with it."
    )
    parser.add_argument("--port", type=int, default=9092)
    port = parser.parse_args().port
    lacking = missing()
    if lacking is not None:
        print(f"this machine lacks {lacking}: {INSTALL.partition(',')[0]}", file=sys.stderr)
        return 1
    try:
        with Broker(port=port) as broker:
            print(f"Kafka listens on {broker.servers}; Ctrl-C ends it", flush=True)
            signal.pause()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
