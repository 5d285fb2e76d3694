"""Checks of the tree that no other tool makes: locks in step, no foreign addresses, no overgrown module.

Offline and quick. Prints one line per fault, `path:line: what to change`, and exits 1 if there was any.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 300

# Written so that no pattern matches its own line.
FOREIGN = {
    re.compile(r"(?:test\.)?py[p]i\.org|python[h]osted\.org|npm[j]s\.(?:org|com)"): "names a package index",
    re.compile(r"^\s*--?(?:extra-)?index-ur[l]\b|^\s*--find-link[s]\b"): "sets a package index",
    re.compile(r"(?<![\w.-])/(?:work/(?:main|shared|\.)|root/\.)"): "names a path of one machine",
}


class _Project(TypedDict):
    dependencies: list[str]


class _BuildSystem(TypedDict):
    requires: list[str]


# The functional form, because these keys are no Python names.
_Pyproject = TypedDict(
    "_Pyproject",
    {
        "project": _Project,
        "build-system": _BuildSystem,
        "dependency-groups": NotRequired[dict[str, list[str]]],
    },
)


@dataclass(frozen=True)
class Pin:
    """One package of a lock: `numpy==2.5.5 ; python_full_version >= '3.12'` and how many hashes follow."""

    line: int
    name: str
    version: str
    marker: str
    hashes: int


def read_lock(text: str) -> list[Pin]:
    """Every pin of a lock, in order. Raises `ValueError` for a line that is neither pin, hash nor comment."""
    pins: list[Pin] = []
    logical = ""
    started = 0
    for number, physical in enumerate(text.splitlines(), start=1):
        if not logical:
            started = number
        logical += physical.removesuffix("\\")
        if physical.endswith("\\"):
            continue
        statement, logical = logical.strip(), ""
        if not statement or statement.startswith("#"):
            continue
        requirement, *hashes = statement.split(" --hash=")
        matched = re.fullmatch(r"([\w.-]+)==(\S+)(?:\s*;\s*(.+?))?\s*", requirement)
        if matched is None:
            raise ValueError(f"{started}: '{requirement.strip()}' is not an exact pin")
        name, version, marker = matched.groups()
        pins.append(Pin(started, canonicalize_name(name), version, marker or "", len(hashes)))
    return pins


def lock_faults(path: str, pins: list[Pin], wanted: Iterable[str]) -> Iterator[str]:
    """What keeps a lock from satisfying `wanted`, the requirements written in pyproject.toml."""
    by_name: dict[str, list[Pin]] = {}
    for pin in pins:
        by_name.setdefault(pin.name, []).append(pin)
        if not pin.hashes:
            yield f"{path}:{pin.line}: {pin.name} has no hash; run scripts/lock"
    for text in wanted:
        requirement = Requirement(text)
        found = by_name.get(canonicalize_name(requirement.name), [])
        if not found:
            yield f"{path}:1: '{text}' of pyproject.toml has no pin; run scripts/lock"
        for pin in found:
            if not requirement.specifier.contains(Version(pin.version), prereleases=True):
                unmet = f"{pin.name} {pin.version} does not satisfy '{text}'"
                yield f"{path}:{pin.line}: {unmet}; run scripts/lock"


def all_lock_faults(root: Path) -> Iterator[str]:
    """The three locks against pyproject.toml, and the two narrow ones against the wide one."""
    pyproject = cast("_Pyproject", tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")))
    runtime = pyproject["project"]["dependencies"]
    build = pyproject["build-system"]["requires"]
    dev = pyproject.get("dependency-groups", {}).get("dev", [])
    locks: dict[str, list[Pin]] = {}
    for name, wanted in {"dev": [*runtime, *build, *dev], "runtime": runtime, "build": build}.items():
        path = f"requirements/{name}.txt"
        try:
            locks[name] = read_lock((root / path).read_text(encoding="utf-8"))
        except ValueError as error:
            yield f"{path}:{error}"
            return
        yield from lock_faults(path, locks[name], wanted)
    known = {(pin.name, pin.version) for pin in locks["dev"]}
    for name in ("runtime", "build"):
        for pin in locks[name]:
            if (pin.name, pin.version) not in known:
                yield f"requirements/{name}.txt:{pin.line}: dev.txt has another {pin.name}; run scripts/lock"


def tracked_files(root: Path) -> list[Path]:
    """The files that are, or are about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (root / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]


def text_faults(path: str, text: str) -> Iterator[str]:
    """Lines that tie the tree to one machine or one package index, and modules that outgrew one page."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        for pattern, what in FOREIGN.items():
            if pattern.search(line):
                yield f"{path}:{number}: {what}"
    if path.startswith("sutro_mcp/") and path.endswith(".py") and len(lines) > LONGEST_MODULE:
        yield f"{path}:{LONGEST_MODULE + 1}: {len(lines)} lines, more than {LONGEST_MODULE}; split it"


def tree_faults(root: Path) -> Iterator[str]:
    """Every fault of the tree at `root`, a git work tree."""
    yield from all_lock_faults(root)
    for path in tracked_files(root):
        relative = path.relative_to(root).as_posix()
        if path.name in {"uv.lock", "poetry.lock", "Pipfile.lock"}:
            yield f"{relative}:1: this kind of lock records download addresses; scripts/lock makes ours"
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from text_faults(relative, text)


def main() -> int:
    """Print the faults; 0 if there are none."""
    faults = list(tree_faults(ROOT))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
