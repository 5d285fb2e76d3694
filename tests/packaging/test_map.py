"""The map in CONTRIBUTING.md leads to files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MIN_ROWS = 24


def test_every_path_of_the_map_exists() -> None:
    """A map with a wrong turn is worse than none."""
    section = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("| Where is … | File |")[1]
    table = section.split("\n\n")[0]
    paths = [
        path
        for row in table.splitlines()[2:]
        for path in re.findall(r"`((?:[\w/]+\.py)|(?:scripts/\w+))`", row)
    ]

    assert len(paths) >= _MIN_ROWS
    missing = [
        path for path in paths if not any((root / path).is_file() for root in (ROOT, ROOT / "sutro_mcp"))
    ]
    assert missing == []
