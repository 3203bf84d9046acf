"""What a test run starts does not outlive it, not even a run that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

OWNER = """
import subprocess, sys, time
from pathlib import Path
from keeper import Keeper
keeper, folder = Keeper(), Path(sys.argv[1])
sleeper, released = (subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(2))
for kept in (sleeper.pid, released.pid, folder):
    keeper.keep(kept)
released.kill()
released.wait()
keeper.release(released.pid)
print(sleeper.pid, flush=True)
time.sleep(600)
"""


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2][:3]


def test_processes_and_folders_of_a_killed_owner_are_gone(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    command = [sys.executable, "-c", OWNER, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(HERE / "kafka")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        kept = int(owner.stdout.readline())
        assert is_alive(kept)
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while is_alive(kept) or folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
