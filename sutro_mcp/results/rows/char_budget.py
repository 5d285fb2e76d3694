"""Rows made to fit into a budget, which is characters of JSON text.

It holds from 500 characters on; there is at least one row and one column whatever they cost.
"""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from sutro_mcp.results.request_models import Cell
from sutro_mcp.untrusted_text import shorten, visible

MAX_COLUMNS = 60
MAX_NAME = 120
MIN_NAME = 30
_MIN_CELL = 16


@dataclass(frozen=True)
class Fitted:
    """The rows that fit, how many cells are cut, and to how many characters."""

    columns: list[str]
    rows: list[list[Cell]]
    cuts: int
    cell_chars: int


def fit(names: Sequence[str], rows: Iterable[Sequence[Cell]], max_chars: int, cell_chars: int) -> Fitted:
    """Row by row until the budget is spent. Of a long first row the cells are cut, then columns left out."""
    columns = _header(names, max_chars // 2)
    room = max_chars - _size(columns) - len("[]")
    taken: list[list[Cell]] = []
    cuts = 0
    for row in rows:
        if not taken:
            width, cell_chars = _shrink(row[: len(columns)], room, cell_chars)
            columns = columns[:width]
        line, cut = _cut(row[: len(columns)], cell_chars)
        room -= _size(line) + len(",")
        if taken and room < 0:
            break
        taken.append(line)
        cuts += cut
    return Fitted(columns, taken, cuts, cell_chars)


def _header(names: Sequence[str], room: int) -> list[str]:
    """The names as shown: shorter, then fewer, until they fit into `room`."""
    shown = [visible(name) for name in names[:MAX_COLUMNS]]
    header = shown
    for length in (MAX_NAME, MAX_NAME // 2, MIN_NAME):
        header = [shorten(name, length)[0] for name in shown]
        if _size(header) <= room:
            break
    while _size(header) > room and len(header) > 1:
        header.pop()
    return header


def _shrink(cells: Sequence[Cell], room: int, limit: int) -> tuple[int, int]:
    """How many cells of a row, cut to how many characters, fit into `room`: shorter first, then fewer.

    Of a single cell as much is shown as fits.
    """

    def is_too_long(limit: int) -> bool:
        return _size(_cut(cells[:width], limit)[0]) + len(",") > room

    width, most = len(cells), limit
    while is_too_long(limit):
        if limit > _MIN_CELL:
            limit = max(limit // 2, _MIN_CELL)
        elif width > 1:
            width -= 1
        else:
            break
    if len(cells) == 1 and limit < most:
        limit += max(bisect(range(limit, min(2 * limit, most)), False, key=is_too_long) - 1, 0)
    return width, limit


def _cut(cells: Sequence[Cell], limit: int) -> tuple[list[Cell], int]:
    line: list[Cell] = []
    cuts = 0
    for value in cells:
        shown, was_cut = shorten(value, limit) if isinstance(value, str) else (value, False)
        line.append(shown)
        cuts += was_cut
    return line, cuts


def _size(values: Sequence[Cell]) -> int:
    return len(to_json(values).decode())
