"""A neighbour on the shop's machine: it keeps a CPU busy until its standard input ends."""

import sys
import threading


def main() -> None:
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    while not over.is_set():
        sum(i * i for i in range(20_000))


if __name__ == "__main__":
    main()
