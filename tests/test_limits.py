"""What the process may use: read from trees of files as the two kinds of cgroups make them."""

import logging
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from prometheus_client import CollectorRegistry

from stream.assembly import make_background
from stream.config import Config
from stream.limits import Limits, read_limits, resident_bytes, within
from stream.resources import LOOK_EVERY_S, Resources
from stream.settings import KafkaSettings

GIB = 1 << 30
MACHINE = {
    "proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n",
    "proc/cpuinfo": "processor : 0\nmodel : x\n\nprocessor : 1\nmodel : x\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in {**MACHINE, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CASES: list[tuple[str, dict[str, str], Limits]] = [
    ("no cgroup: the machine's own", {}, Limits(16 * GIB, 2.0)),
    (
        "a container with v2",
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "536870912\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
        },
        Limits(GIB // 2, 1.5),
    ),
    (
        "v2 without a limit",
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        Limits(16 * GIB, 2.0),
    ),
    (
        "v2 under systemd: the least on the way to the root",
        {
            "proc/self/cgroup": "0::/tocsin.slice/tocsin.service\n",
            "sys/fs/cgroup/tocsin.slice/memory.max": "1073741824\n",
            "sys/fs/cgroup/tocsin.slice/tocsin.service/memory.max": "max\n",
            "sys/fs/cgroup/tocsin.slice/tocsin.service/memory.high": "2147483648\n",
            "sys/fs/cgroup/tocsin.slice/tocsin.service/cpu.max": "20000 100000\n",
        },
        Limits(GIB, 0.2),
    ),
    (
        "v2, whose group above throttles from memory.high on",
        {
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": "2147483648\n",
            "sys/fs/cgroup/a/memory.high": "1073741824\n",
        },
        Limits(GIB, 2.0),
    ),
    (
        "v1 in a container: the path is the host's, the mount our own group",
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        Limits(GIB // 2, 0.5),
    ),
    (
        "v1 without limits",
        {
            "proc/self/cgroup": "5:memory:/\n4:cpu:/\n1:name=systemd:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        Limits(16 * GIB, 2.0),
    ),
    (
        "a set of processors",
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpuset.cpus.effective": "1\n"},
        Limits(16 * GIB, 1.0),
    ),
    (
        "both kinds mounted at once",
        {
            "proc/self/cgroup": "4:memory:/x\n0::/x\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1073741824\n",
            "sys/fs/cgroup/unified/x/cpu.max": "100000 100000\n",
        },
        Limits(GIB, 1.0),
    ),
]


@pytest.mark.parametrize(("files", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_least_limit_counts(tmp_path, files, wanted):
    assert read_limits(tree(tmp_path, files)) == wanted


def test_where_nothing_tells_there_are_no_limits(tmp_path):
    assert read_limits(tmp_path) == Limits()
    assert resident_bytes(tmp_path) is None


def test_this_machine_tells_its_own():
    limits, used = read_limits(), resident_bytes()
    assert limits.memory_bytes is not None
    assert limits.cpu_cores is not None
    assert used is not None
    assert 1 << 20 < used < limits.memory_bytes


def test_resident_memory_is_in_pages(tmp_path):
    tree(tmp_path, {"proc/self/statm": "1000 250 100 1 0 200 0\n"})
    assert resident_bytes(tmp_path) in (250 * 4096, 250 * 16384, 250 * 65536)


def test_queues_fit_into_the_memory():
    kafka = KafkaSettings()
    assert within(kafka, Limits(256 << 20)).producer.max_unacknowledged == 16 << 20
    assert within(kafka, Limits(64 * GIB)) == within(kafka, Limits()) == kafka


@pytest.mark.parametrize(("cores", "share"), [(0.5, 0.05), (1.0, 0.1), (8.0, 0.1)])
def test_the_autoencoders_share_is_of_what_the_process_has(monkeypatch, cores, share):
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("stream.assembly.available", lambda: None)
    monkeypatch.setattr("stream.assembly.Worker", lambda model, **options: made.append(options))
    make_background(Config(), in_step=False, cores=cores)
    assert made[0]["share"] == pytest.approx(share)


def test_memory_is_measured_and_warned_of_once(caplog):
    registry, clock, used = CollectorRegistry(), FakeClock(), [0]
    resources = Resources(registry, Limits(100, 0.5), resident=lambda: used[-1], clock=clock)
    caplog.set_level(logging.WARNING)

    def look(resident: int) -> None:
        used.append(resident)
        clock.sleep(LOOK_EVERY_S)
        resources.on_turn(None)  # type: ignore[arg-type]  it looks at the process, not at the run

    look(90)
    assert not caplog.records
    for resident in (91, 50, 99):
        look(resident)
    assert [record.getMessage() for record in caplog.records] == [
        "memory is nearly used up; at the limit the process is killed"
    ]
    assert vars(caplog.records[0])["limit_bytes"] == 100
    assert registry.get_sample_value("tocsin_memory_limit_bytes") == 100
    assert registry.get_sample_value("tocsin_cpu_limit_cores") == 0.5
    assert registry.get_sample_value("tocsin_memory_resident_bytes") == 99
