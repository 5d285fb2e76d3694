"""A summary for people: what a column holds in a few words, and all of it as HTML for a notebook."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from sutro_mcp.errors import counted

if TYPE_CHECKING:
    from .request_models import ColumnSummary, Distribution, Summary


def of_which(column: "ColumnSummary") -> str:
    """The frequent values of a column, or how its numbers, lengths or items are distributed."""
    if column.numbers:
        return _spread(column.numbers)
    if column.top:
        shown = ", ".join(f"{_as_json(value.value)} {value.share:.1%}" for value in column.top)
        return f"{shown}, and {column.more:,} more" if column.more else shown
    if column.lengths:
        return f"characters: {_spread(column.lengths)}"
    return f"items: {_spread(column.items)}" if column.items else ""


def _as_json(value: object) -> str:
    """Truth values as the rows have them, text as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def distinct(column: "ColumnSummary") -> str:
    """The number of distinct values, which may be an estimate."""
    return f"{'about ' if 'distinct' in (column.estimates or ()) else ''}{column.distinct:,}"


def headline(summary: "Summary") -> str:
    """The rows that there are, those that the job promised, and what outputs are."""
    expected = summary.expected_rows
    but = f", but the job says {expected:,}" if expected not in (None, summary.row_count) else ""
    return f"{counted(summary.row_count, 'row')}{but}. Outputs: {summary.outputs}."


def summary_html(summary: "Summary") -> str:
    """The summary as HTML without scripts or styles; every text in it is escaped."""
    parts = [
        f"<p><b>{escape(headline(summary))}</b></p>",
        _table(
            ("column", "type", "values", "nulls", "distinct", "of which"),
            (
                (each.name, each.type, f"{each.values:,}", f"{each.nulls:,}", distinct(each), of_which(each))
                for each in summary.columns
            ),
        ),
    ]
    if summary.suspicious:
        parts.append(f"<p><b>{counted(summary.suspicious_rows, 'row')} to look at</b></p>")
        flags = (
            (flag.kind, f"{'about ' if flag.estimate else ''}{flag.count:,}", ", ".join(map(str, flag.rows)))
            for flag in summary.suspicious
        )
        parts.append(_table(("kind", "rows", "the first ones"), flags))
    if summary.samples:
        samples = ((str(each.row), each.why, each.output or "") for each in summary.samples)
        parts.append(_table(("row", "why", "output"), samples))
    if summary.shortened:
        parts.append(f"<p>Shortened: {escape(summary.shortened)}.</p>")
    return "\n".join(parts)


def _spread(of: "Distribution") -> str:
    return f"{of.min:,} to {of.max:,}, median {of.median:,}, mean {of.mean:,}"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"
