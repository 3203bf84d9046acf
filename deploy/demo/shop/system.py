"""The shop as a whole: who calls whom, and starting and ending its processes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shop.peers import Peer

HOME = Path(__file__).resolve().parent.parent

# Each service and those it calls, in the order of its process's arguments.
CALLS: dict[str, tuple[str, ...]] = {
    "gateway": ("orders",),
    "orders": ("inventory", "pricing", "payments"),
    "inventory": ("store",),
    "pricing": ("store",),
    "payments": ("store",),
    "store": (),
}
SERVICES = tuple(CALLS)


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop that runs: host:port and process id of each service."""

    addresses: dict[str, str]
    process_ids: dict[str, int]

    def begin_fault(self, service: str, kind: str, amount: float) -> None:
        """One of shop.faults.KINDS. Raises PeerError where the service cannot have it."""
        self._tell(service, {"kind": kind, "amount": amount})

    def end_fault(self, service: str) -> None:
        self._tell(service, {})

    def _tell(self, service: str, fault: dict[str, object]) -> None:
        with closing(Peer(self.addresses[service], timeout_s=10.0)) as peer:
            peer.post("/fault", fault)


@contextmanager
def process(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the shop; it ends when this context does, or when this process dies."""
    command = [sys.executable, "-m", f"shop.{module}", *arguments]
    with subprocess.Popen(
        command,
        cwd=HOME,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C is for the recorder, which then ends its processes
    ) as running:
        try:
            yield running
        finally:
            end(running)


def end(running: subprocess.Popen[str]) -> None:
    """Closes the process's standard input, at which it ends; kills it where that takes longer than 5 s."""
    if running.stdin is not None:
        running.stdin.close()
    try:
        running.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        running.kill()


@contextmanager
def running_shop() -> Iterator[Shop]:
    """All services on free ports of 127.0.0.1, the called before their callers. Raises RuntimeError if one fails."""
    addresses: dict[str, str] = {}
    process_ids: dict[str, int] = {}
    with ExitStack() as stack:
        database = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-"))) / "shop.sqlite"
        for service in reversed(SERVICES):
            called = [addresses[peer] for peer in CALLS[service]] or [str(database)]
            started = stack.enter_context(process(service, *called))
            port = started.stdout.readline().strip() if started.stdout is not None else ""
            if not port:
                raise RuntimeError(f"{service} ended before it served; its error stands above")
            addresses[service], process_ids[service] = f"127.0.0.1:{port}", started.pid
        yield Shop(addresses, process_ids)
