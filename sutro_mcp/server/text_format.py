"""The text channel: the same facts as the structured one, laid out for a reader.

Some hosts show their model only this text and some only the structured part, so both are complete. Totals and
how to get the rest come first; tables are CSV, which costs a model half of what JSON records do; everything
that others wrote stands inside a fence.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sutro_mcp.results import ColumnSummary, Distribution, QualityFlag, Summary
from sutro_mcp.server.live.job_wait import WaitAnswer
from sutro_mcp.untrusted import Fence

from .answers import CancelAnswer, ExportAnswer, QueryAnswer, ResultsAnswer
from .job_outputs import FailureInfo, JobDetails, JobList, JobsSummary, StatusAnswer

# What the API says of a job does not tell.
_EXPECTED = "to be expected (kept 90 days by default; a cost estimate has none)"
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header line."""
    return "\n".join(",".join(map(_field, row)) for row in (columns, *rows))


def _field(value: Any) -> str:
    """A field as RFC 4180 has it; null is nothing, and an empty text is a pair of quotes."""
    if value is None:
        return ""
    text = str(_word(value))
    if text and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _word(value: Any) -> Any:
    """JSON's words for truth, so that both channels agree."""
    return str(value).lower() if isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    """Small amounts of money without an exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _indented(value: Any) -> str:
    """A value of several lines, none of which can be taken for a line of ours."""
    return "\n  ".join(str(value).splitlines()) or str(value)


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """One `name: value` line for each value that is not None."""
    return "\n".join(f"{name}: {_indented(_plain(value))}" for name, value in pairs if value is not None)


def job_list(answer: JobList) -> str:
    """Jobs as a table."""
    head = f"{len(answer.jobs)} jobs, newest first; {answer.looked_at:,} looked at."
    head += _undated(answer.undated)
    if answer.next_cursor:
        head += f' Older ones: repeat the call with cursor="{answer.next_cursor}".'
    elif not answer.jobs:
        return head + " None matches."
    if not answer.jobs:
        return head
    names = list(type(answer.jobs[0]).model_fields)
    rows = [[_plain(getattr(job, name)) for name in names] for job in answer.jobs]
    return f"{head}\n{Fence().around(table(names, rows))}"


def _undated(count: int | None) -> str:
    return f" {count:,} do not say when they were created and are left out." if count else ""


def jobs_summary(answer: JobsSummary) -> str:
    """Groups as a table, the total in its last line."""
    head = f"{answer.total.jobs:,} jobs by {answer.group_by}; {answer.looked_at:,} looked at."
    head += _undated(answer.undated)
    if answer.oldest:
        head += f" From {answer.oldest} to {answer.newest}."
    if not answer.complete:
        head += " Incomplete: older jobs were not looked at; narrow the dates to see them."
    if answer.groups_left_out:
        head += f" {answer.groups_left_out} smaller groups are only in the total."
    if answer.total.jobs_with_cost < answer.total.jobs:
        head += f" Cost is known for {answer.total.jobs_with_cost:,} of the jobs."
    names = list(type(answer.total).model_fields)
    rows = [[_plain(getattr(group, name)) for name in names] for group in (*answer.groups, answer.total)]
    return f"{head}\n{Fence().around(table(names, rows))}"


def job_details(answer: JobDetails) -> str:
    """One line for each known field."""
    ours = facts(
        [
            ("job_id", answer.job_id),
            ("status", answer.status),
            ("results", _EXPECTED if answer.results_available else "none"),
            ("shortened", answer.shortened),
            ("uris", ", ".join(uri for uri in answer.uris.model_dump().values())),
        ]
    )
    skip = {"notice", "job_id", "status", "results_available", "shortened", "uris", "failure"}
    rest = [(name, getattr(answer, name)) for name in type(answer).model_fields if name not in skip]
    if answer.failure:
        rest.insert(0, ("failure", answer.failure.message))
        rest.insert(1, ("failure_context", answer.failure.additional_context))
    return f"{ours}\n{Fence().around(facts(rest))}"


def status(answer: StatusAnswer) -> str:
    """Status, what it means, what next."""
    head = f"{answer.job_id} is {answer.status}{' (final)' if answer.is_terminal else ''}. {answer.next}"
    head += f"\n{facts([('uri', answer.uri)])}"
    foreign = facts([("message", answer.message), *_why(answer.failure)])
    return f"{head}\n{Fence().around(foreign)}" if foreign else head


def wait(answer: WaitAnswer) -> str:
    """Status, how far, what next."""
    when = " (final)" if answer.done else f" after {answer.timeout_seconds} seconds of waiting"
    names = ("rows_done", "num_rows", "seconds_left", "uri")
    lines = [
        f"{answer.job_id} is {answer.status}{when}. {answer.next}",
        facts((name, getattr(answer, name)) for name in names),
    ]
    if foreign := facts([("trouble", answer.trouble), *_why(answer.failure)]):
        lines.append(Fence().around(foreign))
    return "\n".join(line for line in lines if line)


def _why(failure: FailureInfo | None) -> list[tuple[str, str | None]]:
    if failure is None:
        return []
    return [("failure", failure.message), ("failure_context", failure.additional_context)]


def results(answer: ResultsAnswer) -> str:
    """A page as a table, or the summary."""
    if answer.summary is not None:
        return _summary(answer, answer.summary)
    rows, columns, offset = answer.rows or [], answer.columns or [], answer.offset or 0
    head = f"{answer.job_id}: {answer.row_count:,} rows."
    if rows:
        last = offset + len(rows) - 1
        span = f"rows {offset:,} to {last:,}" if len(rows) > 1 else f"row {offset:,}"
        head = f"{answer.job_id}: {span} of {answer.row_count:,}."
    if answer.next_offset is not None:
        head += f" Next page: offset={answer.next_offset}."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    body = table(["row", *columns], ([offset + i, *row] for i, row in enumerate(rows)))
    return f"{head}\n{_uri(answer)}\n{Fence().around(body)}"


def query(answer: QueryAnswer) -> str:
    """What the SQL yields, as a table."""
    head = f"{answer.job_id}: the SQL yields {answer.row_count:,} rows."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    return f"{head}\n{Fence().around(table(answer.columns, answer.rows))}"


def export(answer: ExportAnswer) -> str:
    """What was written where, then the columns."""
    head = f"{answer.job_id}: wrote {answer.rows:,} rows, {answer.bytes:,} bytes of {answer.format}."
    facts_of_it = facts([("file_name", answer.file_name), ("folder", answer.folder)])
    rest = answer.column_count - len(answer.columns)
    names = [
        f"{answer.column_count:,} columns: {table(answer.columns, [])}{f' and {rest:,} more' if rest else ''}"
    ]
    return f"{head}\n{facts_of_it}\n{Fence().around(chr(10).join([*names, *answer.remarks]))}"


def cancel(answer: CancelAnswer) -> str:
    """Outcome first, then the figures."""
    # The message is a sentence of ours, in which a deployment is quoted at most.
    head = f"{answer.outcome or 'preview'}. {answer.message} {answer.next}"
    figures = facts(
        [
            ("status_before", answer.status_before),
            ("status_after", answer.status_after),
            ("rows_done", answer.rows_done),
            ("num_rows", answer.num_rows),
            ("cost_usd", answer.cost_usd),
            ("cost_estimate_usd", answer.cost_estimate_usd),
            ("uri", answer.uri),
        ]
    )
    name = f"\n{Fence().around(facts([('name', answer.name)]))}" if answer.name else ""
    return f"{answer.job_id}: {head}\n{figures}{name}"


def _summary(answer: ResultsAnswer, summary: Summary) -> str:
    head = f"{answer.job_id}: {summary.row_count:,} rows"
    if summary.expected_rows is not None:
        same = summary.expected_rows == summary.row_count
        head += " (the job says the same)" if same else f", but the job says {summary.expected_rows:,}"
    head += f". Outputs: {summary.outputs}."
    if summary.shortened:
        head += f" Shortened: {summary.shortened}."
    parts = ["columns:", *(_column(column) for column in summary.columns)]
    if summary.suspicious:
        about = "about " if any(item.estimate for item in summary.suspicious) else ""
        total = f"{about}{summary.suspicious_rows:,}"
        parts.append(f"suspicious rows: {total} (view rows, offset, limit=1 shows one)")
        parts.extend(map(_suspicion, summary.suspicious))
    if summary.samples:
        with_input = any(sample.input is not None for sample in summary.samples)
        parts.append("samples:")
        parts.append(
            table(
                ["row", "why", "output", *(["input"] if with_input else [])],
                (
                    [sample.row, sample.why, sample.output, *([sample.input] if with_input else [])]
                    for sample in summary.samples
                ),
            )
        )
    return f"{head}\n{_uri(answer)}\n{Fence().around(chr(10).join(parts))}"


def _uri(answer: ResultsAnswer) -> str:
    return facts([("uri", answer.uri)])


def _suspicion(item: QualityFlag) -> str:
    count = f"{'about ' if item.estimate else ''}{item.count:,}"
    rows = ", ".join([*map(str, item.rows), *(["…"] if item.count > len(item.rows) else [])])
    return f"- {item.kind}: {count} (rows {rows})"


def _column(column: ColumnSummary) -> str:
    estimates = column.estimates or []
    distinct = f"{'about ' if 'distinct' in estimates else ''}{column.distinct:,} distinct"
    words = [f"in {column.present:,} rows, {column.nulls:,} null, {distinct}"]
    if column.numbers:
        words.append(_spread(column.numbers) + (" (quartiles estimated)" if "quartiles" in estimates else ""))
    if column.lengths:
        words.append(f"length {_spread(column.lengths)}")
    if column.items:
        words.append(f"items {_spread(column.items)}")
    if column.top:
        least = " (counts at least)" if "top" in estimates else ""
        words.append(
            ", ".join(f"{_word(top.value)} {top.count:,} ({top.share:.1%})" for top in column.top) + least
        )
    return _indented(f"- {column.name} ({column.type}): " + "; ".join(words))


def _spread(spread: Distribution) -> str:
    five = "/".join(map(str, (spread.min, spread.q25, spread.median, spread.q75, spread.max)))
    return f"{five} (min/q25/median/q75/max), mean {spread.mean}"
