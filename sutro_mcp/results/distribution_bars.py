"""Draws how often each value of a field occurs, for people at a terminal."""

from collections.abc import Iterable

from rich.bar import Bar
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sutro_mcp.results import ColumnSummary

from .rendering import clean

_BAR_CELLS = 30
_VALUE_CELLS = 32


def distributions(columns: Iterable[ColumnSummary]) -> Iterable[RenderableType]:
    """A heading and bars for each field whose frequent values are known."""
    for column in columns:
        if column.top:
            yield Text(f"\n{clean(column.name)}", style="bold")
            yield bars(column)


def bars(column: ColumnSummary) -> Table:
    """A line for each frequent value: the value, a bar as long as it is frequent, its count and share."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=_VALUE_CELLS, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_BAR_CELLS)
    grid.add_column(justify="right")
    grid.add_column(justify="right", style="dim")
    most = max(value.count for value in column.top)
    for value in column.top:
        length = Bar(most, 0, value.count, width=_BAR_CELLS, color="cyan")
        label = '""' if value.value == "" else clean(value.value)
        grid.add_row(Text(label), length, f"{value.count:,}", f"{value.share:.1%}")
    if column.more:
        grid.add_row(Text(f"{column.more:,} more values", style="dim"))
    return grid
