"""The long suites of tests/suites.toml: what each proves and guards, and whether it has seen that as it is.

`scripts/test --all` records that it has; the record, tests/suites.json, is committed.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "suites.json"


@dataclass(frozen=True)
class Suite:
    """A proof that takes too long to be complete at every commit. Paths are files or folders."""

    name: str
    proves: str
    tests: tuple[str, ...]
    guards: tuple[str, ...]

    def digest(self) -> str:
        """A hash of all guarded files and their names."""
        found = hashlib.sha256()
        for path in files(self.guards):
            found.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
        return found.hexdigest()[:16]


def files(paths: tuple[str, ...]) -> Iterator[Path]:
    """The files at and below `paths`, in order. Raises FileNotFoundError for a path that leads nowhere."""
    for path in map(ROOT.joinpath, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path.relative_to(ROOT)} of tests/suites.toml does not exist")
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def suites() -> list[Suite]:
    """Every one, as in the table."""
    found = tomllib.loads((ROOT / "tests" / "suites.toml").read_text("utf-8"))["suites"]
    return [
        Suite(name, one["proves"], tuple(one["tests"]), tuple(one["guards"])) for name, one in found.items()
    ]


def mutations() -> dict[str, list[Path]]:
    """The guarded modules, below sutro_mcp and without `.py`, and the tests that notice a broken one."""
    found = tomllib.loads((ROOT / "tests" / "suites.toml").read_text("utf-8"))["mutations"]
    for module in found:
        list(files((f"sutro_mcp/{module}.py",)))
    return {module: list(files(tuple(f"tests/{test}" for test in tests))) for module, tests in found.items()}


def unseen() -> list[Suite]:
    """The suites whose guarded files have changed since their last recorded run."""
    record: dict[str, str] = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    return [suite for suite in suites() if record.get(suite.name) != suite.digest()]


def record_all() -> None:
    """Every suite has just run on the tree as it is."""
    seen = {suite.name: suite.digest() for suite in suites()}
    RECORD.write_text(json.dumps(seen, indent=2) + "\n", "utf-8")
