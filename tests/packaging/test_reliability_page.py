"""docs/reliability.md speaks of the tests that there are, and of no other."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")


def _tests_in(file: str) -> list[str]:
    names = re.findall(r"^(?:async )?def test_(\w+)", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    return [name[0].upper() + name[1:].replace("_", " ") for name in names]


def test_the_page_lists_every_test_of_its_files_in_order() -> None:
    """A test that was renamed, added or removed needs `scripts/reliability`."""
    script = [sys.executable, str(ROOT / "scripts" / "reliability.py"), "--files"]
    files = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()
    assert re.findall(r"^`(tests/\S+)`$", PAGE, re.MULTILINE) == files
    rows = re.findall(r"^\| (.+?) \| [\d,]+ \| [\d,]+ \|$", PAGE, re.MULTILINE)
    assert rows == [test for file in files for test in _tests_in(file)]


def test_everything_that_was_tried_was_survived() -> None:
    """The page is not for listing failures."""
    counts = re.findall(r"^\| .+? \| ([\d,]+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert counts
    assert all(tries == survived for tries, survived in counts)
