"""Prints the part of requirements.lock that an image needs, versions and hashes as they are locked.

    python locked.py requirements.lock pyproject.toml             # what tocsin needs to run, without its extras
    python locked.py requirements.lock pyproject.toml torch       # and with one
    python locked.py requirements.lock pyproject.toml =setuptools # that package alone, with what it needs

The lock is one for all platforms, the tests and every extra. Its `# via` comments say who needs what; they are followed
from tocsin on. Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

OURS = "tocsin (pyproject.toml)"


def main(words: list[str]) -> int:
    lock, project, *asked = words
    packages = read(Path(lock).read_text())
    extras = tomllib.loads(Path(project).read_text())["project"]["optional-dependencies"]
    for name, (text, _) in needed(packages, roots(packages, extras, asked)).items():
        print(f"# {name}\n{text}", end="")
    return 0


def read(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Package -> (its lines; a package may have several, each for other Pythons) and who needs it."""
    packages: dict[str, tuple[str, set[str]]] = {}
    for entry in re.split(r"^(?=\w)", lock, flags=re.M)[1:]:
        name = entry.partition("==")[0]
        text, via = packages.get(name, ("", set()))
        lines = [line for line in entry.splitlines(keepends=True) if not line.lstrip().startswith("#")]
        packages[name] = text + "".join(lines), via | set(re.findall(r"^ +# +(?:via )?(\S.*)$", entry, re.M))
    return packages


def roots(packages: dict[str, tuple[str, set[str]]], extras: dict[str, list[str]], asked: list[str]) -> set[str]:
    """What is asked for. Raises SystemExit for what the lock or the project does not know."""
    alone = {word[1:] for word in asked if word.startswith("=")}
    unknown = (alone - packages.keys()) | ({word for word in asked if word[0] != "="} - extras.keys())
    if unknown:
        raise SystemExit(f"neither an extra ({', '.join(extras)}) nor =PACKAGE of the lock: {', '.join(unknown)}")
    left_out = _names(text for extra, texts in extras.items() if extra not in asked for text in texts)
    return alone or {name for name, (_, via) in packages.items() if OURS in via} - left_out


def needed(packages: dict[str, tuple[str, set[str]]], start: set[str]) -> dict[str, tuple[str, set[str]]]:
    """start, and what it pulls in."""
    found, size = set(start), 0
    while size != len(found):
        size = len(found)
        found |= {name for name, (_, via) in packages.items() if via & found}
    return {name: package for name, package in packages.items() if name in found}


def _names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^\w.-]", text)[0] for text in requirements}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
