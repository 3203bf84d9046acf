"""`make kafka`: a real broker, the demo's recording through it, `tocsin run` beside it, findings as they arrive.

It runs the very commands that it shows. Ctrl-C ends it at any time; nothing is left behind.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from broker import Broker, free_ports
from distribution import INSTALL, missing
from kafka import KafkaConsumer, TopicPartition
from keeper import Keeper
from process import TOCSIN, Process

from stream.config import load
from stream.console import Paint, number
from stream.kafka_client import connect
from stream.log_lines import set_up
from stream.report import deviation

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path("deploy/config/kafka.yml")
RECORDING = Path("deploy/demo/recording.csv.gz")
PAINT = Paint()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=float, default=60.0, help="times the recording's own (60: 22 minutes in 22 s)")
    speed = parser.parse_args().speed
    lacking = missing()
    if lacking is not None:
        print(f"this machine lacks {lacking}: {INSTALL.partition(',')[0]}", file=sys.stderr)
        return 1
    os.chdir(ROOT)
    set_up("error", "logfmt")
    say("starting Apache Kafka 4.3.0 (the first time Maven fetches it into build/kafka, 44 MB)")
    try:
        with tempfile.TemporaryDirectory(prefix="tocsin-") as folder, Broker() as broker:
            watch(broker, Path(folder, "run.log"), speed)
    except KeyboardInterrupt:
        say("stopped")
    return 0


def watch(broker: Broker, log_file: Path, speed: float) -> None:
    """Everything between the start of the broker and its end."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    environment = {"TOCSIN_KAFKA": broker.servers, "TOCSIN_LISTEN": listen}
    os.environ.update(environment)
    say(f"Kafka listens on {broker.servers}; what runs now:")
    show("export " + " ".join(f"{name}={value}" for name, value in environment.items()))
    show(f"tocsin topics create --config {CONFIG}")
    subprocess.run([*TOCSIN, "topics", "create", "--config", str(CONFIG)], check=True, stdout=subprocess.DEVNULL)
    show(f"tocsin run --config {CONFIG}")
    keeper = Keeper()
    with log_file.open("wb") as log:
        process = Process(CONFIG, listen, keeper, log=log)
    try:
        process.wait_until_ready()
        show("python " + " ".join(producer_of(speed, broker.servers)))
        say("and what you can run beside it:")
        show(f"curl -s http://{listen}/metrics | grep ^tocsin_")
        say("findings of anomaly.verdicts.v1 and anomaly.incidents.v1 as they arrive:")
        totals = follow(process, producer_of(speed, broker.servers))
        if not process.is_running():
            say(f"tocsin run ended:\n{log_file.read_text()[-3000:]}")
            return
        say(f"{totals['tocsin_rows_total']:,.0f} rows read, {totals['tocsin_verdicts_total']:.0f} over the line")
    finally:
        if process.is_running():
            process.stop()
        keeper.close()


def producer_of(speed: float, servers: str) -> list[str]:
    script = ["tests/kafka/produce.py", str(RECORDING), "--system", "shop", "--until-now"]
    return [*script, "--speed", f"{speed:g}", "--servers", servers]


def follow(process: Process, producer: list[str]) -> dict[str, float]:
    """Produce the recording, and print what is found until it was read to its end and nothing follows.

    Gives the process's last metrics, which are empty only if it ended.
    """
    with subprocess.Popen([sys.executable, *producer], start_new_session=True) as producing:
        try:
            shown: dict[str, str] = {}  # incident -> the cause that was shown last
            totals: dict[str, float] = {}
            for finding in findings(process, producing, totals):
                if is_news(finding, shown):
                    print("  " + line(finding), flush=True)
        finally:
            producing.terminate()
    return totals


def is_news(finding: dict[str, Any], shown: dict[str, str]) -> bool:
    """An incident's update is, if it names another cause."""
    if finding["kind"] != "incident":
        return True
    before, cause = shown.get(finding["id"]), first_cause(finding)
    shown[finding["id"]] = cause
    return finding["status"] != "update" or cause != before


def findings(
    process: Process, producer: "subprocess.Popen[bytes]", totals: dict[str, float]
) -> Iterator[dict[str, Any]]:
    """What is found, until all that was written is stepped through and 2 s passed without more; fills totals."""
    settings = load(str(CONFIG)).kafka
    consumer: Any = connect(
        KafkaConsumer, settings, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False
    )
    consumer.subscribe([settings.producer.verdicts, settings.producer.incidents])
    inputs = [TopicPartition(t, n) for t in settings.consumer.topics for n in consumer.partitions_for_topic(t)]
    quiet_since = time.monotonic()
    while process.is_running() and time.monotonic() - quiet_since < 2.0:
        batches = consumer.poll(timeout_ms=200)
        for batch in batches.values():
            yield from (json.loads(record.value) for record in batch)
        totals.update(process.metrics())
        if batches or producer.poll() is None or stepped(totals) < sum(consumer.end_offsets(inputs).values()):
            quiet_since = time.monotonic()
    consumer.close(autocommit=False)


def stepped(totals: dict[str, float]) -> float:
    """Messages that were dealt with. Not read only: the first rows may wait a minute for kernels to be compiled."""
    names = ("tocsin_rows_total", "tocsin_rejects_total")
    return sum(value for name, value in totals.items() if name.startswith(names))


def first_cause(incident: dict[str, Any]) -> str:
    return str(incident["causes"][0]["entity"]) if incident["causes"] else ""


def line(finding: dict[str, Any]) -> str:
    """A finding in one line."""
    when = str(finding.get("updated_at") or finding["ts"])[11:19]
    return f"{PAINT(when, 'dim')}  {TELL[finding['kind']](finding)}"


def _verdict(finding: dict[str, Any]) -> str:
    seen = "; ".join(deviation(contribution) for contribution in finding["contributions"][:2])
    return f"verdict   {finding['system']} {number(finding['score'])} times the line: {seen}"


def _trigger(finding: dict[str, Any]) -> str:
    size = f"{number(finding['statistic'])} over {number(finding['threshold'])}"
    return f"trigger   {finding['system']} changed its state ({finding['detector']}: {size})"


def _incident(finding: dict[str, Any]) -> str:
    entities = list(dict.fromkeys(cause["entity"] for cause in finding["causes"]))
    causes = (
        f"cause: {PAINT(entities[0], 'bold', 'red')}, then {', '.join(entities[1:3])}" if entities else "no cause yet"
    )
    return f"{PAINT('incident', 'yellow')}  {finding['system']} {finding['status']}, {causes}"


TELL = {"verdict": _verdict, "trigger": _trigger, "incident": _incident}


def say(text: str) -> None:
    print(PAINT(text, "bold"), flush=True)


def show(command: str) -> None:
    print(f"  {PAINT('$', 'dim')} {PAINT(command, 'cyan')}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
