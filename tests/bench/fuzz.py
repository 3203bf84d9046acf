"""Bad records by the million through `tocsin run` on a real broker: what is counted, what is kept, what is learned.

    python tests/bench/fuzz.py --records 1000000

Mutated valid messages, noise, deep nesting, huge numbers, wrong types and wrong times among the rows of two systems;
tests/bad_records.py makes them, from the seed. The exit code is 3 if a record went missing, a dead letter has other
bytes, the process died, or the state is not, bit for bit, that of the valid rows alone.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "kafka")]

from broker import Broker  # noqa: E402
from fuzzing import CONSUMER, Result, fuzz  # noqa: E402
from keeper import Keeper  # noqa: E402
from process import Process  # noqa: E402
from stage import write_config  # noqa: E402

from stream import topics  # noqa: E402
from stream.log_lines import set_up  # noqa: E402
from stream.settings import KafkaSettings  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    set_up("error", "logfmt")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, seed {given.seed}")
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="tocsin-fuzz-") as folder:
        result = measure(KafkaSettings(bootstrap_servers=(broker.servers,)), Path(folder), given)
    tell(result, given.records)
    return 3 if result.faults else 0


def measure(kafka: KafkaSettings, folder: Path, given: argparse.Namespace) -> Result:
    topics.create(kafka, topics.planned(kafka, partitions=1, replication=1))
    setting, keeper = write_config(kafka, folder, consumer=CONSUMER, every="10s"), Keeper()
    try:
        process = Process(setting.path, setting.listen, keeper)
        return fuzz(setting, process, folder, records=given.records, seed=given.seed)
    finally:
        keeper.close()


def tell(result: Result, records: int) -> None:
    sent, counted = sum(result.families.values()), sum(result.reasons.values())
    for title, counts in (("sent", result.families), ("counted", result.reasons)):
        print(f"{title:>8}: " + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    print(f"{sent:,} bad records sent, {counted:,} counted by reason, in {result.seconds:.0f} s")
    print("\n".join(result.faults) or "each is kept byte for byte, and state and findings are those of the valid rows")


if __name__ == "__main__":
    raise SystemExit(main())
