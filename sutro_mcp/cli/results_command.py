"""`sutro-mcp results`: the summary of a job's results, its rows, SQL over them, a comparison, or a file."""

import argparse
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from rich.console import RenderableType

from sutro_mcp.errors import InvalidArgumentError, counted
from sutro_mcp.library.error_words import for_a_terminal
from sutro_mcp.library.sutro_client import SutroClient
from sutro_mcp.results import Comparison, Page, QueryRequest, QueryRows, Summary
from sutro_mcp.results.distribution_bars import distributions
from sutro_mcp.results.export.file_names import chosen_file
from sutro_mcp.results.single_flight import ProgressCallback
from sutro_mcp.results.summary_rendering import distinct, headline, of_which
from sutro_mcp.results.table_names import written_tables
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.untrusted_text import clean

from .arguments import UsageError
from .chosen_deployment import settings_of, with_sutro
from .rendering import at_terminal, heading, progress_bar, show, show_json, table

T = TypeVar("T")

_COMMAND = "sutro-mcp results"
_ROWS = 20
# Cells are cut to the width of the terminal anyway.
_CELL_CHARS = 500
_MOST_CELL_CHARS = 50_000
# Options that only some of the answers take.
_TAKEN_BY = {
    "offset": ("rows",),
    "limit": ("rows", "sql"),
    "columns": ("rows",),
    "by": ("compare",),
    "inputs": ("rows", "sql", "export"),
    "logprobs": ("rows", "sql", "export"),
    "with_job": ("sql", "export"),
    "no_unpack_json": ("summary", "rows", "export"),
    "output_column": ("summary", "rows", "export"),
    "sql": ("sql", "export"),
    "overwrite": ("export",),
}


def results(options: argparse.Namespace) -> int:
    """Answer in one of the five ways."""
    return _ANSWERS[_answer(options)](options)


def _answer(options: argparse.Namespace) -> str:
    """The answer that is asked for. Raises UsageError where an option does not go with it."""
    asked = next((name for name in ("export", "compare", "sql") if getattr(options, name) is not None), None)
    given = [name for name in _TAKEN_BY if getattr(options, name) not in (None, False)]
    if asked is None:
        asked = "rows" if options.rows or {"offset", "limit", "columns"} & set(given) else "summary"
    elif options.rows:
        raise UsageError(f"--rows does not go with --{asked}", _COMMAND)
    for name in given:
        if asked not in _TAKEN_BY[name]:
            goes_with = " or ".join(
                "the summary" if answer == "summary" else f"--{answer}" for answer in _TAKEN_BY[name]
            )
            raise UsageError(f"{_option(name)} goes with {goes_with} alone", _COMMAND)
        if name in ("no_unpack_json", "output_column") and options.sql is not None:
            raise UsageError(f"{_option(name)} does not go with --sql, which names its columns", _COMMAND)
    if options.with_job and options.sql is None:
        raise UsageError("--with-job goes with --sql alone, which reads its table", _COMMAND)
    if options.sql == "":
        raise UsageError("--sql is empty: write one SELECT", _COMMAND)
    return asked


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _beside(options: argparse.Namespace) -> dict[str, str]:
    """The jobs of the tables that a SELECT may join. Raises UsageError."""
    try:
        return written_tables(options.with_job or [])
    except InvalidArgumentError as error:
        raise UsageError(for_a_terminal(str(error)), _COMMAND) from error


def _unpacking(options: argparse.Namespace) -> dict[str, Any]:
    named = {"output_column": options.output_column} if options.output_column else {}
    return {"unpack_json": not options.no_unpack_json, **named}


def _with_results(
    options: argparse.Namespace, work: Callable[[SutroClient, ProgressCallback | None], Awaitable[T]]
) -> T:
    with progress_bar() as on_progress:
        return with_sutro(settings_of(options), lambda sutro: work(sutro, on_progress))


def _summary(options: argparse.Namespace) -> int:
    async def work(sutro: SutroClient, on_progress: ProgressCallback | None) -> Summary:
        return await sutro.summarize(options.job_id, **_unpacking(options), on_progress=on_progress)

    found = _with_results(options, work)
    if options.json:
        show_json(found.model_dump(mode="json", exclude_none=True))
    else:
        show(*_summary_parts(found))
    return 0


def _summary_parts(found: Summary) -> Iterator[RenderableType]:
    yield heading(clean(headline(found)))
    yield table(
        ("column", "type", "values", "nulls", "distinct", "of which"),
        [
            (
                column.name,
                column.type,
                f"{column.values:,}",
                f"{column.nulls:,}",
                distinct(column),
                of_which(column),
            )
            for column in found.columns
        ],
        whole=("type", "values", "nulls", "distinct"),
        wrapped=("of which",),
    )
    if at_terminal():
        yield from distributions(found.columns)
    if found.suspicious:
        yield heading(f"\n{counted(found.suspicious_rows, 'row')} deserve a look:")
        yield table(
            ("kind", "rows", "the first ones"),
            [
                (
                    flag.kind,
                    f"{'about ' if flag.estimate else ''}{flag.count:,}",
                    ", ".join(map(str, flag.rows)),
                )
                for flag in found.suspicious
            ],
            wrapped=("the first ones",),
        )
    if found.samples:
        yield heading("\nSamples:")
        yield table(
            ("row", "why", "output"), [(sample.row, sample.why, sample.output) for sample in found.samples]
        )
    if found.shortened:
        yield f"Shortened: {for_a_terminal(clean(found.shortened))}."


def _rows(options: argparse.Namespace) -> int:
    async def work(sutro: SutroClient, on_progress: ProgressCallback | None) -> Page:
        return await sutro.page(
            options.job_id,
            offset=options.offset or 0,
            limit=options.limit or _ROWS,
            columns=tuple(options.columns.split(",")) if options.columns else (),
            include_inputs=options.inputs,
            include_cumulative_logprobs=options.logprobs,
            **_unpacking(options),
            max_cell_chars=_MOST_CELL_CHARS if options.json else _CELL_CHARS,
            on_progress=on_progress,
        )

    found = _with_results(options, work)
    if options.json:
        show_json(found.model_dump(mode="json", exclude_none=True))
        return 0
    last = found.offset + len(found.rows) - 1
    head = f"Rows {found.offset:,} to {last:,} of {found.row_count:,}."
    head = head if found.rows else f"No row from {found.offset:,} on: there are {found.row_count:,}."
    if found.next_offset is not None:
        head += f" The next: --offset {found.next_offset}."
    numbered = [[found.offset + place, *row] for place, row in enumerate(found.rows)]
    show(heading(head), table(["row", *found.columns], numbered))
    return 0


def _sql(options: argparse.Namespace) -> int:
    tables = {"results": options.job_id, **_beside(options)}
    specs = {name: ResultsSpec(job, options.inputs, options.logprobs) for name, job in tables.items()}

    async def work(sutro: SutroClient, on_progress: ProgressCallback | None) -> QueryRows:
        request = QueryRequest(sql=options.sql, limit=options.limit or _ROWS, max_chars=5_000_000)
        return await sutro.engine.query(sutro, specs, request, on_progress=on_progress)

    found = _with_results(options, work)
    if options.json:
        show_json(found.model_dump(mode="json", exclude_none=True))
        return 0
    shown = f", the first {len(found.rows):,} are shown" if len(found.rows) < found.row_count else ""
    show(heading(f"{counted(found.row_count, 'row')}{shown}."), table(found.columns, found.rows))
    return 0


def _export(options: argparse.Namespace) -> int:
    try:
        chosen_file(options.export)
    except InvalidArgumentError as error:
        raise UsageError(for_a_terminal(str(error)), _COMMAND) from error
    tables = _beside(options)

    async def work(sutro: SutroClient, on_progress: ProgressCallback | None) -> Any:
        return await sutro.export(
            options.job_id,
            options.export,
            sql=options.sql or "",
            with_jobs=tables,
            include_inputs=options.inputs,
            include_cumulative_logprobs=options.logprobs,
            **_unpacking(options),
            overwrite=options.overwrite,
            on_progress=on_progress,
        )

    written = _with_results(options, work)
    if options.json:
        show_json(written.model_dump(mode="json", exclude_none=True))
        return 0
    what = f"{counted(written.rows, 'row')}, {counted(written.bytes, 'byte')} of {written.format}"
    show(
        f"Wrote {what}: {clean(written.folder)}/{clean(written.file_name)}",
        *(clean(remark) for remark in written.remarks),
    )
    return 0


def _compare(options: argparse.Namespace) -> int:
    async def work(sutro: SutroClient, on_progress: ProgressCallback | None) -> Comparison:
        return await sutro.compare(
            options.job_id, options.compare, by=options.by or "row", on_progress=on_progress
        )

    found = _with_results(options, work)
    if options.json:
        show_json(found.model_dump(mode="json", exclude_none=True))
    else:
        show(*_comparison_parts(found, options.by))
    return 0


def _comparison_parts(found: Comparison, by: str | None) -> Iterator[RenderableType]:
    head = f"{counted(found.compared_rows, 'row')} compared, {found.changed_rows:,} changed."
    if found.different_inputs:
        head += f" Inputs differ in {counted(found.different_inputs, 'row')}."
    if by == "inputs" and _only_here(found):
        head += " No input occurs in both runs."
    yield heading(head)
    yield table(found.runs.columns, found.runs.rows)
    for words, part in (
        ("Fields that changed", found.fields),
        ("Most frequent changes", found.moves),
        ("First changed rows", found.samples),
    ):
        if part:
            yield heading(f"\n{words}:")
            yield table(part.columns, part.rows)
    for words, names in (
        ("Fields that did not change", found.unchanged),
        ("Fields without a value", found.without_values),
        ("Fields of the run before alone", found.only_before),
        ("Fields of the run after alone", found.only_after),
    ):
        if names:
            yield f"{words}: {', '.join(map(clean, names))}"
    if found.shortened:
        yield f"Shortened: {for_a_terminal(clean(found.shortened))}."


def _only_here(found: Comparison) -> bool:
    """Whether no row of either run has a partner, nor was left out before one was sought."""
    runs = (dict(zip(found.runs.columns, row, strict=True)) for row in found.runs.rows)
    return all(run["only_here"] == run["rows"] for run in runs)


_ANSWERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "summary": _summary,
    "rows": _rows,
    "sql": _sql,
    "export": _export,
    "compare": _compare,
}
