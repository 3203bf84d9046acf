"""`tocsin run` on a real broker, killed again and again; and the broker gone for a while.

    python tests/bench/soak.py --kills 1000 --outage 60        # `make soak`

Each part compares what was found (by its documents, which hold their ids) and what was learned (the hash of every
byte of state) with an undisturbed replay of the same messages. The exit code is 3 if anything differs. --kills 0
leaves out the kills, --outage 0 the outage.
"""

import argparse
import contextlib
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "kafka"))

from broker import Broker  # noqa: E402
from comparison import Replay, findings, learned, replay_of, state_hash, told  # noqa: E402
from keeper import Keeper  # noqa: E402
from killing import kill_somewhere  # noqa: E402
from process import Process  # noqa: E402
from stage import Feed, Setting, rows_of, wait_for_commit, wait_for_rows, write_config  # noqa: E402

from stream import topics  # noqa: E402
from stream.log_lines import set_up  # noqa: E402
from stream.settings import ConsumerSettings, KafkaSettings, ProducerSettings  # noqa: E402

SYSTEMS = ("ship", "shop")
ROWS_A_KILL = 20  # of each system
LEAST_ROWS = 600


@dataclass(frozen=True)
class Line:
    """One line of the table at the end."""

    what: str
    rows: int
    findings: str
    state: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.findings.startswith("equal") and self.state.startswith("equal")


class Scene:
    """A folder, topics of its own, messages and their undisturbed replay; processes that end with it."""

    def __init__(self, broker: Broker, name: str, rows: int, seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"tocsin-soak-{name}-"))
        self._keeper = Keeper()
        self._keeper.keep(self.folder)
        kafka = KafkaSettings(
            bootstrap_servers=(broker.servers,),
            consumer=ConsumerSettings(topics=(f"{name}.metrics",), group=name),
            producer=ProducerSettings(verdicts=f"{name}.verdicts", incidents=f"{name}.incidents"),
        )
        topics.create(kafka, topics.planned(kafka, partitions=1, replication=1))
        courses = rows_of(SYSTEMS, rows, seed)
        self.messages = [message for row in zip(*courses.values(), strict=True) for message in row]
        self.replay: Replay = replay_of(self.messages, self.folder)
        self.setting: Setting = write_config(kafka, self.folder)
        self.feed = Feed(self.setting, [self.messages])
        self._log = (self.folder / "run.log").open("ab")
        self._began = time.monotonic()

    def run(self) -> Process:
        return Process(self.setting.path, self.setting.listen, self._keeper, log=self._log)

    def finish(self, what: str, process: Process) -> Line:
        """Reads all that is left, undisturbed, and compares."""
        self.feed.write_all()
        wait_for_commit(self.setting, len(self.messages), timeout_s=600)
        process.stop()
        seconds = time.monotonic() - self._began
        mine, theirs = told(findings(self.setting)), told(self.replay.findings)
        state = state_hash(learned(self.setting, self.replay, [len(self.messages)]))
        wanted = state_hash(self.replay.state)
        found = f"equal ({len(theirs)})" if mine == theirs else f"{len(theirs - mine)} lost, {len(mine - theirs)} odd"
        return Line(
            what,
            len(self.messages),
            found,
            f"equal ({state[:8]})" if state == wanted else f"{state[:8]}, not {wanted[:8]}",
            seconds,
        )

    def close(self) -> None:
        self.feed.close()
        self._log.close()
        self._keeper.close()


@contextlib.contextmanager
def scene(broker: Broker, name: str, rows: int, seed: int) -> Iterator[Scene]:
    made = Scene(broker, name, rows, seed)
    try:
        yield made
    finally:
        made.close()


def kill_again_and_again(broker: Broker, kills: int, seed: int) -> Line:
    chance = random.Random(seed)
    with scene(broker, "kills", max(LEAST_ROWS, kills * ROWS_A_KILL), seed) as stage:
        began = time.monotonic()
        for number in range(kills):
            process = stage.run()
            stage.feed.write(ROWS_A_KILL * len(SYSTEMS))
            kill_somewhere(process, chance, begun=number % 2 == 0)
            passed = time.monotonic() - began
            print(f"\r{number + 1} of {kills} kills, {passed / (number + 1):.1f} s each", end="", flush=True)
        print()
        return stage.finish(f"{kills} kills", stage.run())


def take_the_broker_away(broker: Broker, seconds: float, seed: int) -> Line:
    with scene(broker, "outage", LEAST_ROWS, seed) as stage:
        process = stage.run()
        process.wait_until_ready()
        stage.feed.write(LEAST_ROWS)
        wait_for_rows(process, LEAST_ROWS // 2)
        broker.kill()
        print(f"the broker is gone for {seconds:g} s", flush=True)
        time.sleep(seconds)
        broker.start()
        return stage.finish(f"broker killed, {seconds:g} s", process)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without a broker")
    parser.add_argument("--seed", type=int, default=0, help="of the rows and of the moments")
    given = parser.parse_args()
    set_up("error", "logfmt")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, seed {given.seed}")
    parts: list[Callable[[Broker], Line]] = []
    if given.kills:
        parts.append(lambda broker: kill_again_and_again(broker, given.kills, given.seed))
    if given.outage:
        parts.append(lambda broker: take_the_broker_away(broker, given.outage, given.seed))
    with Broker() as broker:
        lines = [part(broker) for part in parts]
    print(f"{'':24} {'rows':>6}  {'findings':20} {'state':20} {'seconds':>8}")
    for line in lines:
        print(f"{line.what:24} {line.rows:6}  {line.findings:20} {line.state:20} {line.seconds:8.0f}")
    return 0 if all(line.is_good for line in lines) else 3


if __name__ == "__main__":
    raise SystemExit(main())
