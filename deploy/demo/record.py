"""Records the shop under load, once a second, with one real fault in it, outside it, or none.

    python deploy/demo/record.py --minutes 20 --fault cpu --service inventory --at 900 --out recording.csv.gz

writes a row a second (time, then entity.metric) and beside it NAME.truth.json: what was broken, when, and how.
"""

import argparse
import gzip
import json
import math
import platform
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from scrape import Scraper, columns
from shop.faults import DEFAULT_AMOUNTS
from shop.outside import DEFAULT_AMOUNTS as OUTSIDE_AMOUNTS
from shop.outside import outside_fault
from shop.system import SERVICES, Shop, process, running_shop

NO_FAULT = "none"
AMOUNTS = DEFAULT_AMOUNTS | OUTSIDE_AMOUNTS | {NO_FAULT: 0.0}

# What the fault is an example of.
KIND_OF = {
    "cpu": "saturation",
    "latency": "delay",
    "lock": "delay",
    "leak": "leak",
    "errors": "level",
    "pool": "saturation",
    "shed": "drop",
    "jitter": "noise",
    "work": "level",
    "neighbours": "outside",
    "crowd": "outside",
    NO_FAULT: "none",
}

# The metric in which each fault shows itself where it was made, and that of a fault outside in the gateway.
SYMPTOMS = {
    "cpu": "cpu_s_per_s",
    "latency": "latency_p50_s",
    "lock": "lock_wait_s_per_s",
    "leak": "memory_bytes",
    "errors": "errors_per_s",
    "pool": "latency_p95_s",
    "shed": "latency_p50_s",
    "jitter": "latency_p95_s",
    "work": "cpu_s_per_s",
    "neighbours": "latency_p95_s",
    "crowd": "requests_per_s",
}
AMOUNTS_ARE = (
    "cpu: threads; latency, lock, jitter: seconds; leak: bytes a request; errors, shed: share of the requests; "
    "pool: seconds a worker is kept; work: CPU seconds a request; neighbours: processes; crowd: requests per second"
)
FOR_SOME = {"lock": ("store",), "shed": ("gateway", "orders")}  # services that can have the fault, if not all


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="length of the recording (20)")
    parser.add_argument("--fault", choices=tuple(KIND_OF), default="cpu", help="see shop/faults.py (cpu)")
    parser.add_argument("--service", choices=SERVICES, default="inventory", help="where the fault is (inventory)")
    parser.add_argument("--amount", type=float, help="how much of the fault; see shop/faults.py and shop/outside.py")
    parser.add_argument("--at", type=int, default=900, help="seconds from the start to the fault (900)")
    parser.add_argument("--lasts", type=int, default=150, help="seconds from the fault to its end (150)")
    parser.add_argument("--rate", type=float, default=25.0, help="requests per second on average (25)")
    parser.add_argument("--seed", type=int, default=0, help="of the clients' demand (0)")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds under load before the first row (30)")
    parser.add_argument("--out", type=Path, default=Path("recording.csv.gz"))
    found = parser.parse_args(arguments)
    able = FOR_SOME.get(found.fault, SERVICES)
    if found.service not in able:
        parser.error(f"the {found.fault} fault needs --service {' or '.join(able)}, got {found.service}")
    if not 0 < found.at < found.minutes * 60:
        parser.error(f"--at must lie inside the {found.minutes * 60:g} s of the recording, got {found.at}")
    if found.amount is None:
        found.amount = AMOUNTS[found.fault]
    return found


def ticks(rows: int) -> Iterator[int]:
    """Whole seconds since 1970, each when it comes; one that was missed is left out, as a gap in the recording."""
    first = math.floor(time.time()) + 1
    for tick in range(first, first + rows):
        wait = tick - time.time()
        if wait < -0.5:
            continue
        time.sleep(max(wait, 0.0))
        yield tick


def cell(value: float) -> str:
    """Five significant digits; nothing for what is not there."""
    return "" if math.isnan(value) else f"{value:.5g}"


@contextmanager
def fault(shop: Shop, chosen: argparse.Namespace) -> Iterator[None]:
    """The chosen fault, as long as the context lasts."""
    if chosen.fault == NO_FAULT:
        yield
    elif chosen.fault in OUTSIDE_AMOUNTS:
        with outside_fault(shop, chosen.fault, chosen.amount, seed=chosen.seed + 1):
            yield
    else:
        shop.begin_fault(chosen.service, chosen.fault, chosen.amount)
        yield
        shop.end_fault(chosen.service)


def record(shop: Shop, chosen: argparse.Namespace, out: TextIO) -> dict[str, Any]:
    """Writes the rows, makes the fault and ends it. Returns the truth.

    The fault begins right after a row is scraped, so that the next one is the first to show it: that is inject_time.
    """
    scraper = Scraper(shop)
    out.write(",".join(["time", *columns()]) + "\n")
    scraper.row()
    broken = ExitStack()
    begun = ended = None
    inject_time = end_time = rows = 0
    for rows, tick in enumerate(ticks(round(chosen.minutes * 60)), start=1):
        out.write(",".join([str(tick), *map(cell, scraper.row())]) + "\n")
        if begun is None and rows >= chosen.at:
            broken.enter_context(fault(shop, chosen))
            begun, inject_time, end_time = time.time(), tick + 1, tick + chosen.lasts
        elif begun is not None and ended is None and tick >= end_time:
            broken.close()
            ended = time.time()
    broken.close()
    scraper.close()
    if chosen.fault == NO_FAULT:
        return {"inject_time": None, "end_time": None, "begun_at": None, "ended_at": None, "rows": rows}
    return {
        "inject_time": inject_time,
        "end_time": end_time,
        "begun_at": begun,
        "ended_at": ended,
        "rows": rows,
    }


def truth(chosen: argparse.Namespace, happened: dict[str, Any]) -> dict[str, Any]:
    """What a judge needs to know of the recording, and how to make another."""
    inside = chosen.fault in DEFAULT_AMOUNTS
    return {
        "fault": chosen.fault,
        "kind": KIND_OF[chosen.fault],
        "root_entities": [chosen.service] if inside else [],
        "root_metrics": [f"{chosen.service}.{SYMPTOMS[chosen.fault]}"] if inside else [],
        **happened,
        "amount": chosen.amount,
        "amounts_are": AMOUNTS_ARE,
        "requests_per_s": chosen.rate,
        "seed": chosen.seed,
        "sampling_s": 1,
        "python": platform.python_version(),
    }


def main() -> None:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the shop is closed
    truth_path = chosen.out.with_name(chosen.out.name.removesuffix(".gz").removesuffix(".csv") + ".truth.json")
    demand = ("--rate", str(chosen.rate), "--seed", str(chosen.seed))
    with running_shop() as shop, process("clients", shop.addresses["gateway"], *demand):
        time.sleep(chosen.warm_up)
        with gzip.open(chosen.out, "wt", compresslevel=9) as out:
            happened = record(shop, chosen, out)
    truth_path.write_text(json.dumps(truth(chosen, happened), indent=1) + "\n")
    print(f"{happened['rows']} rows in {chosen.out}, the truth in {truth_path}", file=sys.stderr)


if __name__ == "__main__":
    main()
