"""How much memory and CPU this process may use: its cgroup's limits (v2 or v1), and the machine's own.

A limit may be set on any group above ours, so the smallest on the way to the root counts. In a container the way that
/proc tells may be the host's, of which only the end is mounted: what is not there is passed over, and the root of the
mount is then our own group.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from stream.settings import KafkaSettings

NO_LIMIT = 1 << 60  # v1 writes "none" as a number near 2^63
OUTBOX_SHARE = 1 / 16  # of the memory, that each outbox may hold


@dataclass(frozen=True, slots=True)
class Limits:
    """memory_bytes, cpu_cores: what the process may use; None where nothing says so."""

    memory_bytes: int | None = None
    cpu_cores: float | None = None


def read_limits(root: Path = Path("/")) -> Limits:
    """The smallest of what the cgroups and the machine say. root: of a tree with proc/ and sys/fs/cgroup/."""
    memory, cores = [_number(_machine_memory(root))], [_number(_machine_cores(root))]
    for group in groups(root, "memory"):
        memory += [_number(_text(group / name)) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    for group in groups(root, "cpu"):
        cores += [_share(*_text(group / "cpu.max").split()[:2]), _share(*_v1_quota(group))]
    for group in groups(root, "cpuset"):
        cores += [count_cpus(_text(group / name)) for name in ("cpuset.cpus.effective", "cpuset.cpus")]
    least = min((m for m in memory if m is not None and m < NO_LIMIT), default=None)
    return Limits(None if least is None else int(least), min((c for c in cores if c is not None), default=None))


def resident_bytes(root: Path = Path("/")) -> int | None:
    """Memory of this process that is in RAM; None where nothing tells."""
    fields = _text(root / "proc/self/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None


def within(settings: KafkaSettings, limits: Limits) -> KafkaSettings:
    """The settings, with queues that fit into the memory."""
    producer = settings.producer
    if limits.memory_bytes is None:
        return settings
    fitting = min(producer.max_unacknowledged, int(limits.memory_bytes * OUTBOX_SHARE))
    return replace(settings, producer=replace(producer, max_unacknowledged=fitting))


def groups(root: Path, controller: str) -> Iterator[Path]:
    """Our own group and all above it, in the unified hierarchy and in the controller's own."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        mounts = [names, controller] if controller in names.split(",") else ["", "unified"] if not names else []
        for mount in mounts:
            top = root / "sys/fs/cgroup" / mount
            own = Path(path.lstrip("/"))
            yield from (top / part for part in (own, *own.parents) if ".." not in part.parts and (top / part).is_dir())


def count_cpus(text: str) -> float | None:
    """
    >>> count_cpus("0-3,8"), count_cpus("")
    (5.0, None)
    """
    if not text:
        return None
    ends = [part.split("-") for part in text.split(",")]
    return float(sum(int(end[-1]) - int(end[0]) + 1 for end in ends))


def _share(quota: str = "", period: str = "") -> float | None:
    """Cores: microseconds of CPU in each period of so many."""
    allowed, length = _number(quota), _number(period)
    return None if allowed is None or not length or allowed <= 0 else allowed / length


def _v1_quota(group: Path) -> tuple[str, str]:
    return _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")


def _machine_memory(root: Path) -> str:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return str(int(rest.split()[0]) * 1024)
    return ""


def _machine_cores(root: Path) -> str:
    lines = _text(root / "proc/cpuinfo").splitlines()
    return str(sum(line.startswith("processor") for line in lines) or "")


def _number(text: str) -> float | None:
    """
    >>> _number("512"), _number("max"), _number("-1"), _number("")
    (512.0, None, -1.0, None)
    """
    try:
        return float(text)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
