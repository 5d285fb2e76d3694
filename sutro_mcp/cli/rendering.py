"""Tables, facts and progress bars for a terminal, and JSON for programs.

Text of jobs and models passes `clean` before it is laid out: nothing that a terminal obeys reaches it, and no
key. rich decides on colours and width (`NO_COLOR`, `COLUMNS`, the terminal).
"""

import json
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from sutro_mcp.console import say
from sutro_mcp.redaction import redact
from sutro_mcp.results.single_flight import ProgressCallback
from sutro_mcp.untrusted_text import clean

# Where there is no terminal whose width would tell.
_WIDTH = 160
# A column that has less room is not read but guessed.
_NARROWEST = 12
# Blanks between columns.
_GAP = 2
_NUMBER = re.compile(r"(?:about )?-?[\d,]+(?:\.\d+)?(?:e[+-]?\d+)?")
_STYLES = {
    "SUCCEEDED": "green",
    "FAILED": "red",
    "RUNNING": "cyan",
    "CANCELLED": "yellow",
    "CANCELLING": "yellow",
}


def show(*parts: RenderableType) -> None:
    """Print what was laid out. Raises OutputLostError."""
    console = _console()
    for part in parts:
        # A sentence is left for the terminal to wrap, so that a path in it can be copied.
        console.print(part, soft_wrap=isinstance(part, str | Text))
    text = console.file.getvalue() if isinstance(console.file, StringIO) else ""
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    # A line is blank to its end where a cell is.
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    say(lines.encode(encoding, "backslashreplace").decode(encoding))


def show_json(value: object) -> None:
    """Print JSON in which every character but printable ASCII is escaped. Raises OutputLostError."""
    say(redact(json.dumps(value, indent=2)).replace("\x7f", "\\u007f"))


def at_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()  # pyright: ignore[reportUnnecessaryComparison]


def heading(text: str) -> Text:
    """A line of ours."""
    return Text(text, style="bold")


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """A line for each value that is known."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            table.add_row(name, _cell(value))
    return table


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    whole: Sequence[str] = (),
    wrapped: Sequence[str] = (),
) -> RenderableType:
    """Rows under their names, each on one line; below one another where they would have too little room.

    Numbers and the columns named in `whole` are never cut, those in `wrapped` take several lines; where other
    text is cut, "…" says so.
    """
    rows = list(rows)
    naturals, leasts, numeric = list[int](), list[int](), list[bool]()
    for place, name in enumerate(columns):
        texts = [clean(row[place]) for row in rows if place < len(row)]
        numeric.append(all(map(_NUMBER.fullmatch, filter(None, texts))))
        naturals.append(max(map(cell_len, (clean(name), *texts))))
        shrinks = not numeric[-1] and name not in whole
        leasts.append(min(naturals[-1], _NARROWEST) if shrinks else naturals[-1])
    room = width() - _GAP * (len(columns) - 1)
    if sum(leasts) > room:
        return _records(columns, rows)
    shown = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    widths = _widths(naturals, leasts, room)
    for name, cells, is_number in zip(columns, widths, numeric, strict=True):
        justify = "right" if is_number else "left"
        shown.add_column(
            Text(clean(name)), no_wrap=name not in wrapped, overflow="ellipsis", justify=justify, width=cells
        )
    for row in rows:
        cells = [*row, *[None] * (len(columns) - len(row))]
        shown.add_row(*map(_cell, cells))
    return shown


def _widths(naturals: Sequence[int], leasts: Sequence[int], room: int) -> list[int]:
    """`room` for columns: what they need, and where that is too much an equal width for those that shrink."""

    def at_most(limit: int) -> list[int]:
        return [max(least, min(natural, limit)) for natural, least in zip(naturals, leasts, strict=True)]

    limits = range(_NARROWEST, max(naturals, default=0) + 1)
    fitting = bisect_right(limits, room, key=lambda limit: sum(at_most(limit)))
    return at_most(limits[fitting - 1] if fitting else _NARROWEST)


def _records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> RenderableType:
    """Rows one below the other, a line for each cell that has a value."""
    every = Table.grid(padding=(0, 2))
    every.add_column(style="dim", overflow="ellipsis", no_wrap=True, max_width=40)
    every.add_column(overflow="fold")
    for number, row in enumerate(rows):
        if number:
            every.add_row()
        for name, cell in zip(columns, row, strict=False):
            if cell is not None:
                every.add_row(Text(clean(name)), _cell(cell))
    return every


def _cell(value: object) -> Text:
    text = clean(value)
    return Text(text, style=_STYLES.get(text, ""))


def width() -> int:
    """The characters that a line has room for."""
    return _console().width


def _console() -> Console:
    is_terminal = at_terminal()
    wide = None if is_terminal or "COLUMNS" in os.environ else _WIDTH
    return Console(
        file=StringIO(), force_terminal=is_terminal, width=wide, markup=False, emoji=False, highlight=False
    )


@contextmanager
def progress_bar() -> Generator[ProgressCallback | None]:
    """A bar on stderr while work goes on; None where nobody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def on_progress(share: float, words: str) -> None:
            bar.update(task, completed=share, description=words)

        yield on_progress
