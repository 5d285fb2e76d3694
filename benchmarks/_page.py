"""The page of figures, of which each benchmark writes a part."""

from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")
_TITLES = {"startup": "# Start, measured\n", "results": "# Results, measured\n"}


def write(benchmark: str, figures: str) -> None:
    """Put `figures` in the place of what the page has from `benchmark`."""
    old = PAGE.read_text("utf-8")
    starts = sorted(old.index(title) for title in _TITLES.values() if title in old)
    parts = [old[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    new = f"{_TITLES[benchmark]}\n`scripts/bench {benchmark}` made this part.\n\n{figures}\n"
    kept = [part.rstrip() + "\n" for part in parts if not part.startswith(_TITLES[benchmark])]
    PAGE.write_text("\n".join([*kept, new]), "utf-8")
