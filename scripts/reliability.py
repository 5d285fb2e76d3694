"""Writes docs/reliability.md from a test run: what was tried, how often, and what survived.

`reliability.py RESULTS.xml` writes the page, `reliability.py --files` names the tests that belong to it. That
the page lists just these tests is a test of its own (`tests/packaging/test_reliability_page.py`).
"""

import ast
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"
FILES = (
    "tests/faults/test_replies.py",
    "tests/faults/test_toxic.py",
    "tests/faults/test_schedules.py",
    "tests/faults/test_generated.py",
    "tests/faults/test_canaries.py",
    "tests/e2e/test_stdio_limits.py",
    "tests/server/transports/test_jsonrpc_lines.py",
    "tests/server/transports/test_stdio_backpressure.py",
    "tests/server/protocol/test_middleware.py",
    "tests/test_redaction.py",
    "tests/api/test_job_ids.py",
    "tests/api/test_transport.py",
    "tests/results/parquet/test_damage.py",
    "tests/results/worker/test_sandbox.py",
    "tests/results/export/test_folder.py",
)
# What stands below this line is kept: runs too long to be repeated with every change.
RECORDED = "<!-- recorded runs -->"
_INTRO = """# What it survives

Written by `scripts/reliability` from a run of the tests named here. A try is one test case or, where a test
makes many tries of its own (messages, ids, schedules), each of those. Survived means: the answer was right or
an explicit error, the server went on, and no secret was shown.
"""


@dataclass
class Row:
    """One test function: tries, and those that failed."""

    tries: int = 0
    failed: int = 0


def sentence(test: str) -> str:
    """`test_a_line_is_cut` as a person says it."""
    words = test.removeprefix("test_").replace("_", " ")
    return words[0].upper() + words[1:]


def tests_in(file: str) -> Iterator[str]:
    """The names of the tests in a file, in order."""
    for node in ast.parse((ROOT / file).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def title_of(file: str) -> str:
    """The first line of the file's docstring, without its full stop."""
    return (
        (ast.get_docstring(ast.parse((ROOT / file).read_text("utf-8"))) or file)
        .partition("\n")[0]
        .rstrip(".")
    )


def rows(results: Path) -> dict[tuple[str, str], Row]:
    """What a run did, by file and test."""
    found: dict[tuple[str, str], Row] = {}
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 - written by pytest a moment ago
        file = case.get("classname", "").replace(".", "/") + ".py"
        row = found.setdefault((file, case.get("name", "").partition("[")[0]), Row())
        counted = [int(p.get("value", "1")) for p in case.iter("property") if p.get("name") == "tries"]
        tries = sum(counted) or 1
        row.tries += tries
        row.failed += tries * (case.find("failure") is not None or case.find("error") is not None)
    return found


def page(found: dict[tuple[str, str], Row], old: str) -> str:
    """The whole page; the recorded runs come from `old`."""
    parts = [_INTRO]
    for file in FILES:
        parts.append(
            f"\n## {title_of(file)}\n\n`{file}`\n\n| Case | Tries | Survived |\n| --- | ---: | ---: |\n"
        )
        for test in tests_in(file):
            row = found[file, test]
            parts.append(f"| {sentence(test)} | {row.tries:,} | {row.tries - row.failed:,} |\n")
    _, mark, kept = old.partition(RECORDED)
    return "".join(parts) + f"\n{RECORDED}" + (kept if mark else "\n")


def main() -> int:
    """Write the page, or name the files."""
    if sys.argv[1] == "--files":
        print(*FILES)
        return 0
    old = PAGE.read_text("utf-8") if PAGE.exists() else ""
    PAGE.write_text(page(rows(Path(sys.argv[1])), old), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
