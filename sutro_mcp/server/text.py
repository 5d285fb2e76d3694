"""The text channel: the same facts as the structured one, laid out for a reader.

Some hosts show their model only this text and some only the structured part, so both are complete. Totals and
how to get the rest come first; tables are CSV, which costs a model half of what JSON records do; everything
that others wrote stands inside a fence.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from sutro_mcp.results import ColumnSummary, Distribution, Summary
from sutro_mcp.untrusted import Fence

from .job_outputs import JobDetails, JobList, JobsSummary, StatusAnswer
from .outputs import CancelAnswer, ResultsAnswer


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header line; None is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_word(value) for value in row] for row in rows)
    return out.getvalue().rstrip("\n")


def _word(value: Any) -> Any:
    """JSON's words for truth, so that both channels agree."""
    return str(value).lower() if isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    """Small amounts of money without an exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """One `name: value` line for each value that is not None."""
    return "\n".join(f"{name}: {_plain(value)}" for name, value in pairs if value is not None)


def job_list(answer: JobList) -> str:
    """Jobs as a table."""
    head = f"{len(answer.jobs)} jobs, newest first; {answer.looked_at:,} looked at."
    if answer.next_cursor:
        head += f' Older ones: repeat the call with cursor="{answer.next_cursor}".'
    elif not answer.jobs:
        return head + " None matches."
    if not answer.jobs:
        return head
    names = list(type(answer.jobs[0]).model_fields)
    rows = [[_plain(getattr(job, name)) for name in names] for job in answer.jobs]
    return f"{head}\n{Fence().around(table(names, rows))}"


def jobs_summary(answer: JobsSummary) -> str:
    """Groups as a table, the total in its last line."""
    head = f"{answer.total.jobs:,} jobs by {answer.group_by}; {answer.looked_at:,} looked at."
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
            ("results", "available" if answer.results_available else "none yet, or none any more"),
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
    foreign = facts(
        [
            ("message", answer.message),
            ("failure", answer.failure.message if answer.failure else None),
            ("failure_context", answer.failure.additional_context if answer.failure else None),
        ]
    )
    return f"{head}\n{Fence().around(foreign)}" if foreign else head


def results(answer: ResultsAnswer) -> str:
    """A page as a table, or the summary."""
    if answer.summary is not None:
        return _summary(answer.job_id, answer.summary)
    rows, columns, offset = answer.rows or [], answer.columns or [], answer.offset or 0
    head = f"{answer.job_id}: {answer.row_count:,} rows."
    if rows:
        head = f"{answer.job_id}: rows {offset:,} to {offset + len(rows) - 1:,} of {answer.row_count:,}."
    if answer.next_offset is not None:
        head += f" Next page: offset={answer.next_offset}."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    body = table(["row", *columns], ([offset + i, *row] for i, row in enumerate(rows)))
    return f"{head}\n{Fence().around(body)}"


def cancel(answer: CancelAnswer) -> str:
    """Outcome first, then the figures."""
    # The message is a sentence of ours, in which a deployment is quoted at most.
    head = f"{answer.outcome or 'preview, nothing was sent'}. {answer.message} {answer.next}"
    figures = facts(
        [
            ("status_before", answer.status_before),
            ("status_after", answer.status_after),
            ("rows_done", answer.rows_done),
            ("num_rows", answer.num_rows),
            ("cost_usd", answer.cost_usd),
            ("cost_estimate_usd", answer.cost_estimate_usd),
        ]
    )
    name = f"\n{Fence().around(facts([('name', answer.name)]))}" if answer.name else ""
    return f"{answer.job_id}: {head}\n{figures}{name}"


def _summary(job_id: str, summary: Summary) -> str:
    head = f"{job_id}: {summary.row_count:,} rows"
    if summary.expected_rows is not None:
        same = summary.expected_rows == summary.row_count
        head += " as the job says" if same else f", but the job says {summary.expected_rows:,}"
    head += f". Outputs: {summary.outputs}."
    if summary.shortened:
        head += f" Shortened: {summary.shortened}."
    parts = ["columns:", *(_column(column) for column in summary.columns)]
    if summary.suspicious:
        parts.append("suspicious rows:")
        parts.extend(
            f"- {item.kind}: {item.count:,} (rows {', '.join(map(str, item.rows))}"
            + (", …)" if item.count > len(item.rows) else ")")
            for item in summary.suspicious
        )
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
    return f"{head}\n{Fence().around(chr(10).join(parts))}"


def _column(column: ColumnSummary) -> str:
    words = [f"in {column.present:,} rows, {column.nulls:,} null, {column.distinct:,} distinct"]
    if column.numbers:
        words.append(_spread(column.numbers))
    if column.lengths:
        words.append(f"length {_spread(column.lengths)}")
    if column.items:
        words.append(f"items {_spread(column.items)}")
    if column.top:
        words.append(", ".join(f"{_word(top.value)} {top.count:,} ({top.share:.1%})" for top in column.top))
    return f"- {column.name} ({column.type}): " + "; ".join(words)


def _spread(spread: Distribution) -> str:
    return (
        f"{spread.min:g}/{spread.q25:g}/{spread.median:g}/{spread.q75:g}/{spread.max:g} "
        f"(min/q25/median/q75/max), mean {spread.mean:g}"
    )
