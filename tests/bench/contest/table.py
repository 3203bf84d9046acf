"""The one table that the benches print, and its head: machine, versions, commit."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from contest.rounds import Costs, Ratio, middle, ratio

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("numpy", "numba", "torch", "river", "pysad", "kafka-python", "msgspec")
WIDTH = 64


def head() -> str:
    """Two lines: where and with what."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    threads = os.environ.get("OMP_NUM_THREADS", "not limited")
    return (
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, OMP_NUM_THREADS {threads}, "
        f"commit {commit()}\n{versions}"
    )


def commit(root: Path = ROOT) -> str:
    """Short; with a + where the working tree differs from it."""
    asked = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    told = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    families = [line.partition(":")[2].strip() for line in lines if line.startswith("cpu family")]
    return f"{models[0]} (family {families[0]})" if models and families else platform.machine()


def section(title: str, unit: str = "us") -> None:
    print(f"\n{title:{WIDTH}} {'ours ' + unit:>10} {'beside it':>10}  {'ratio (lowest to highest)':26} aim", flush=True)


def versus(what: str, costs: Costs, ours: str, peer: str, aim: str = "-") -> Ratio:
    """A line: our median, the peer's, and how many times ours the peer's is."""
    found = ratio(costs, ours, peer)
    line(what, f"{middle(costs, ours):.2f}", f"{middle(costs, peer):.2f}", found, aim)
    return found


def line(what: str, ours: str, beside: str = "", found: Ratio | None = None, aim: str = "-") -> None:
    spread = "" if found is None else f"{_short(found.middle)} ({_short(found.lowest)} to {_short(found.highest)})"
    print(f"  {what:{WIDTH - 2}} {ours:>10} {beside:>10}  {spread:26} {aim}", flush=True)


def note(texts: str | Sequence[str]) -> None:
    for text in [texts] if isinstance(texts, str) else texts:
        print(f"  {text}", flush=True)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
