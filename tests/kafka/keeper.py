"""Ends processes and removes folders when the process that owns them is gone, however it went.

A test run that is killed runs no clean-up of its own. So its owner starts this script with a pipe on its standard
input, writes what must not outlive it, and the end of the pipe is the signal: `Keeper` below is the owner's side.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


class Keeper:
    """The owner's side: what it was told to keep is ended when this process is gone, or closes it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def keep(self, what: int | Path) -> None:
        """End this process, or remove this folder, when its owner is gone."""
        self._say(f"+{what}")

    def release(self, what: int | Path) -> None:
        """The owner has ended it itself."""
        self._say(f"-{what}")

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    kept = _until_the_owner_is_gone()
    processes, folders = [k for k in kept if k.isdigit()], [k for k in kept if not k.isdigit()]
    for process in processes:
        _end(int(process))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _until_the_owner_is_gone() -> dict[str, None]:
    kept: dict[str, None] = {}
    for line in sys.stdin:
        sign, what = line[0], line[1:].rstrip("\n")
        if sign == "+":
            kept[what] = None
        else:
            kept.pop(what, None)
    return kept


def _end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it went by itself
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
