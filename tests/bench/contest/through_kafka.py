"""End to end through a real broker: messages in a topic to findings in a topic, as a share of the rate at which
kafka-python's bare consumer takes the same messages in the same run.

A rate is messages by CPU seconds of this process, the client's own thread included; the broker's are not in it. The
systems are grown: they are restored with a state, as after a restart, at which their segments have their full length.
The runner is that of `tocsin run`: live, with metrics; no snapshot falls into the measured part.

"the stream" has a monitor that finds nothing: what is left is polling, decoding, aligning and the runner. Beside the
bare consumer's cost that is what a row costs outside the mathematics.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from contest import ours
from contest.inputs import messages, series
from contest.quiet import Quiet
from contest.rounds import Costs, ratio
from contest.table import line, note, section
from stream import topics
from stream.kafka_client import connect
from stream.metrics import Metrics
from stream.observer import Observer
from stream.pipeline import Outcome, Pipeline, SystemState
from stream.runner import Runner
from stream.settings import ConsumerSettings, KafkaSettings, ProducerSettings
from stream.sinks.discard import Discard
from stream.sinks.kafka import KafkaFindings
from stream.snapshot_store import Saved, Snapshot
from stream.sources.kafka import KafkaSource
from stream.sources.protocol import Batch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "kafka"))

from broker import Broker
from distribution import INSTALL, missing

TOPIC = "bench"
SYSTEMS = 10
STREAM = "the stream"
KINDS = (STREAM, "light", "team", "default")
AIMS = {"light": "0.8"}
WAIT_S = 60.0


def measure(count: int = 10_000, rounds: int = 3, learned: int = ours.LEARNED) -> None:
    lacking = missing()
    if lacking:
        section("through a real broker", "us, CPU")
        note(f"not measured, for want of {lacking}: {INSTALL}")
        return
    of_systems(SYSTEMS, KINDS, count, rounds, learned)
    of_systems(1, (STREAM,), count, rounds, learned)


def of_systems(systems: int, kinds: Sequence[str], count: int, rounds: int, learned: int) -> None:
    section(f"through a real broker, 38 variables, {systems} systems", "us, CPU")
    states = {kind: Grown(_grown(kind, learned), systems) for kind in kinds}
    costs: Costs = {name: [] for name in ("bare", *kinds)}
    with Broker() as broker:
        _fill(settings(broker.servers, "fill"), count, learned, systems)
        for number in range(rounds):
            costs["bare"].append(_bare(settings(broker.servers, f"bare{number}"), count))
            for kind, state in states.items():
                costs[kind].append(_ours(kind, settings(broker.servers, f"{kind.split()[-1]}{number}"), count, state))
    bare = min(costs["bare"])
    line("the bare consumer", "", f"{bare:.1f}")
    line("the stream beyond it", f"{min(costs[STREAM]) - bare:.1f}", aim="5")
    for kind in kinds:
        line(
            f"{kind}, as a share of its rate",
            f"{min(costs[kind]):.1f}",
            "",
            ratio(costs, kind, "bare"),
            AIMS.get(kind, "-"),
        )


def settings(servers: str, group: str) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=(servers,),
        consumer=ConsumerSettings(topics=(TOPIC,), group=group, instance_id="", start="earliest"),
        producer=ProducerSettings(verdicts="bench.verdicts", incidents="bench.incidents"),
    )


def _grown(kind: str, learned: int) -> SystemState:
    house = _house(kind)
    ours.by_bytes(house)(messages(series(learned, 38)))
    return house.state(ours.PARTITION)["system0"]


def _house(kind: str) -> Pipeline:
    return Pipeline(Quiet) if kind == STREAM else ours.pipeline(kind)


def _fill(kafka: KafkaSettings, count: int, learned: int, systems: int) -> None:
    """The next rows of all systems, in turn."""
    from kafka import KafkaProducer

    topics.create(kafka, topics.planned(kafka, partitions=1, replication=1, state=None))
    values = series(learned + count // systems, 38)[learned:]
    each = [messages(values, f"system{number}", learned) for number in range(systems)]
    producer: KafkaProducer = connect(KafkaProducer, kafka, linger_ms=20, batch_size=256 << 10)
    for together in zip(*each, strict=True):
        for message in together:
            producer.send(TOPIC, message.value, message.key)
    producer.flush(timeout=WAIT_S)
    producer.close(timeout=5)


class Meter(Observer):
    """CPU time from the second batch on: joining, connecting and compiling are over by then."""

    def __init__(self, total: int) -> None:
        self._total, self._seen, self._skipped = total, 0, 0
        self._began, self._deadline = 0.0, time.monotonic() + WAIT_S
        self.is_over = False
        self.cost_us = 0.0

    def count(self, messages: int) -> None:
        if messages and not self._seen:
            self._skipped, self._began = messages, time.process_time()
        self._seen += messages
        self.is_over = self._seen >= self._total or time.monotonic() > self._deadline
        if self.is_over:
            self.cost_us = 1e6 * (time.process_time() - self._began) / (self._seen - self._skipped)


def _bare(kafka: KafkaSettings, count: int) -> float:
    """CPU microseconds a message."""
    from kafka import KafkaConsumer, TopicPartition

    limits = {"max_poll_records": kafka.consumer.max_poll_records, "enable_auto_commit": False}
    consumer: KafkaConsumer = connect(
        KafkaConsumer, kafka, max_partition_fetch_bytes=kafka.consumer.max_partition_fetch, **limits
    )
    partition, meter = TopicPartition(TOPIC, 0), Meter(count)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    while not meter.is_over:
        meter.count(sum(map(len, consumer.poll(timeout_ms=200).values())))
    consumer.close()
    return meter.cost_us


class Grown:
    """A store of snapshots that holds one state, for every system, and keeps nothing."""

    def __init__(self, state: SystemState, systems: int) -> None:
        self.passed_over: Counter[str] = Counter()
        self._states = {f"system{number}": state for number in range(systems)}

    def load(self, partition: str) -> Snapshot:
        return Snapshot(0, self._states)

    def save(self, *_: object) -> Saved:
        return Saved(0, 0)

    def forget(self, partition: str) -> None: ...

    def close(self) -> None: ...


class Stopper(Observer):
    """Stops the runner when the meter is done."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.runner: Runner | None = None
        self._read = 0

    def on_read(self, batch: Batch) -> None:
        self._read = sum(len(readings.times) for readings in batch.readings)

    def on_step(self, outcome: Outcome, seconds: float) -> None:
        self.meter.count(self._read)
        self._read = 0
        if self.meter.is_over and self.runner is not None:
            self.runner.stop()


def _ours(kind: str, kafka: KafkaSettings, count: int, grown: Grown) -> float:
    """CPU microseconds a message."""
    stopper = Stopper(Meter(count))
    source, sink = KafkaSource(kafka), KafkaFindings(kafka)
    runner = Runner(
        source,
        _house(kind),
        [sink],
        Discard(),
        snapshots=grown,
        every_s=3600.0,
        observers=[Metrics(CollectorRegistry(), version="bench", config_hash="bench"), stopper],
        is_live=True,
    )
    stopper.runner = runner
    runner.run()
    return stopper.meter.cost_us
