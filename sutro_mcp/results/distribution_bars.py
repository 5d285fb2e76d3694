"""Draws how often each value of a field occurs, for people at a terminal. Only they load rich."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sutro_mcp.untrusted_text import clean

from .summary_rendering import distinct, headline, of_which

if TYPE_CHECKING:
    from .request_models import ColumnSummary, Summary

_BAR_CELLS = 30
_VALUE_CELLS = 32


def distribution(name: str, top: Iterable[tuple[object, int, float]], more: int | None) -> Group:
    """A heading, and a line for each frequent value: value, bar, count and share.

    `more` values are not shown.
    """
    values = list(top)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=_VALUE_CELLS, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_BAR_CELLS)
    grid.add_column(justify="right")
    grid.add_column(justify="right", style="dim")
    most = max(count for _, count, _ in values)
    for value, count, share in values:
        length = Bar(most, 0, count, width=_BAR_CELLS, color="cyan")
        grid.add_row(Text('""' if value == "" else clean(value)), length, f"{count:,}", f"{share:.1%}")
    if more:
        grid.add_row(Text(f"{more:,} more values", style="dim"))
    return Group(_heading(f"\n{clean(name)}"), grid)


def distributions(columns: "Iterable[ColumnSummary]") -> Iterator[Group]:
    """The distribution of each field whose frequent values are known."""
    for column in columns:
        if column.top:
            top = [(value.value, value.count, value.share) for value in column.top]
            yield distribution(column.name, top, column.more)


def summary_bars(summary: "Summary") -> Group:
    """The first facts of a summary, then each field: drawn, or in words where no frequent value is known."""
    parts: list[Group | Text] = [_heading(clean(headline(summary)))]
    for column in summary.columns:
        words = of_which(column) or f"{distinct(column)} distinct"
        said = Group(_heading(f"\n{clean(column.name)}"), Text(clean(words)))
        parts += list(distributions([column])) or [said]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(text, style="bold")
