"""The shape of the house: which way imports point, what stands at the top, and that the README tells the truth."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN_IN_DETECTORS = {"stream", "kafka", "yaml", "prometheus_client", "logging", "pickle", "requests", "httpx"}
TOP_LEVEL = {
    "stream",
    "detectors",
    "deploy",
    "tests",
    "pyproject.toml",
    "README.md",
    "Makefile",
    "LICENSE",
    "requirements.lock",
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", modules("detectors"), ids=lambda p: str(p.relative_to(ROOT)))
def test_detectors_import_no_io(path: Path) -> None:
    assert not imported(path) & FORBIDDEN_IN_DETECTORS


def test_no_module_is_named_like_the_standard_librarys() -> None:
    ours = {path.stem for package in ("stream", "detectors") for path in modules(package)} - {"__init__", "__main__"}
    # `stream.http` is fine to Python and confusing to a reader all the same.
    assert not ours & set(sys.stdlib_module_names)


def test_every_package_is_told_to_setuptools() -> None:
    told = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("stream", "detectors")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert told == found


def test_the_top_level_holds_the_house_and_nothing_else() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


def test_the_lock_has_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert not re.search(r"https?://|--index-url|--find-links", lock)


def readme_commands() -> list[str]:
    pages = "".join((ROOT / page).read_text() for page in ("README.md", "deploy/operating.md"))
    return re.findall(r"^\$ (tocsin [^\n|>]+)", pages, re.M)


def test_the_readmes_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named and named <= targets


def test_the_readmes_commands_and_options_exist() -> None:
    from stream.cli import parser

    commands = readme_commands()
    assert commands
    for command in commands:
        words = command.split("#")[0].split()
        parser().parse_args(words[1:])
