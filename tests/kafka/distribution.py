"""Apache Kafka itself: its jars, fetched by Maven into build/kafka once, and the Java command that runs them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).resolve().parent / "pom.xml"
BUILD = POM.parents[2] / "build" / "kafka"
JVM = ("-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
INSTALL = "install Java 17 and Maven (Debian: openjdk-17-jre-headless maven), or set TOCSIN_TEST_KAFKA=host:port"

LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


def missing() -> str | None:
    """What this machine lacks to run a broker, or None."""
    try:
        version = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return "java"
    major = re.search(r'version "(\d+)', version)
    if major is None or int(major[1]) < 17:
        return f"Java 17 or later (found {version.splitlines()[0]})"
    return None if shutil.which("mvn") or is_ready() else "mvn"


def is_ready() -> bool:
    """Is all there for this pom? mark_ready() says so."""
    mark = BUILD / "fetched.xml"
    return mark.exists() and mark.read_bytes() == POM.read_bytes()


def mark_ready() -> None:
    shutil.copy(POM, BUILD / "fetched.xml")


def fetch_jars() -> None:
    jars = BUILD / "jars"
    shutil.rmtree(jars, ignore_errors=True)
    run("mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}")


def java(directory: Path, *words: str) -> list[str]:
    """The command that runs a class of Kafka, its log to standard output. directory: for what it needs to say so."""
    file = directory / "log4j2.properties"
    file.write_text(LOGGING)
    return ["java", *JVM, f"-Dlog4j2.configurationFile={file}", "-cp", str(BUILD / "jars" / "*"), *words]


def run(*command: str) -> str:
    """Its standard output. Raises RuntimeError with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} ... failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
