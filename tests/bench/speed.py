"""What tocsin costs beside its peers: CPU time, medians of interleaved rounds in one process, as ratios. One table.

    make bench
    python tests/bench/speed.py [--rounds 5] [--rows 512] [--only rows parts memory ...]

Only the ratios travel to other machines. The column "ours" is what one unit costs us, "beside it" what it costs the
peer, the ratio how many times ours that is; "aim" is what we want it to be. Everybody first learns 5,000 rows.

rows      bytes to verdict, light detectors to everything on, beside chains of river's   contest/bytes_to_verdict.py
parts     trees, LODA, RePAD2, SSA and causal graph, each beside its peer   contest/single_parts.py
memory    a packed state, by variable   contest/memory.py
young     a row early in life and a row by itself; a burst of retrainings   contest/single_rows.py
service   waiting and work of a row at 10,000 rows/s offered   contest/service.py
systems   many systems in random order   contest/many_systems.py
broker    through a real Kafka broker, as a share of the bare client's rate   contest/through_kafka.py

`make bench-growth` (growth.py) has what takes longer: 10^6 rows, 1,000 variables, 10,000 systems.
"""

import argparse
import logging

import torch
from contest import bytes_to_verdict, many_systems, memory, service, single_parts, single_rows, through_kafka
from contest.table import head


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("rows", "parts", "memory", "young", "service", "systems", "broker")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=512, help="of a round")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections, metavar="SECTION")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("kafka").setLevel(logging.ERROR)
    print(f"{head()}\ninput: noise on a slow drift; {given.rounds} rounds of {given.rows} rows")
    run = {
        "rows": lambda: bytes_to_verdict.measure(given.rounds, given.rows),
        "parts": lambda: single_parts.measure(given.rounds, given.rows),
        "memory": memory.measure,
        "young": lambda: single_rows.measure(given.rounds, given.rows),
        "service": service.measure,
        "systems": lambda: many_systems.measure((1, 100, 1_000), given.rounds),
        "broker": through_kafka.measure,
    }
    for name in given.only:
        run[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
