"""The text channel: the same facts as the structured one, laid out for a reader.

Some hosts show their model only this text and some only the structured part, so both are complete. Totals and
how to get the rest come first; tables are CSV, which costs a model half of what JSON records do; everything
that others wrote stands inside a fence.
"""

import re
from collections.abc import Iterable, Sequence
from secrets import token_hex
from typing import Any

from sutro_mcp.untrusted_text import NOTICE

from .answers import Table, money

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def fenced(body: str) -> str:
    """Text that others wrote, between two lines that it cannot close: only this reply knows their number."""
    nonce = token_hex(4)
    return f"<data {nonce}> {NOTICE}\n{body}\n</data {nonce}>"


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """One `name: value` line for each value that is not None."""
    return "\n".join(f"{name}: {indented(_plain(value))}" for name, value in pairs if value is not None)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header line. Cells that a row lacks at its end are empty."""
    padded = ([*row, *[None] * (len(columns) - len(row))] for row in rows)
    return "\n".join(",".join(map(_field, row)) for row in (columns, *padded))


def records(answer: Table) -> str:
    """A table of records as CSV."""
    return table(answer.columns, ([_plain(cell) for cell in row] for row in answer.rows))


def word(value: Any) -> Any:
    """JSON's words for truth, so that both channels agree."""
    return str(value).lower() if isinstance(value, bool) else value


def indented(value: Any) -> str:
    """A value of several lines, none of which can be taken for a line of ours."""
    return "\n  ".join(str(value).splitlines()) or str(value)


def _field(value: Any) -> str:
    """A field as RFC 4180 has it; null is nothing, and an empty text is a pair of quotes."""
    if value is None:
        return ""
    text = str(word(value))
    if text and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _plain(value: Any) -> Any:
    """Small amounts of money without an exponent."""
    return money(value) if isinstance(value, float) else value
