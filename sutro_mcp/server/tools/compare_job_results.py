"""Say what changed between two runs."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.errors import counted
from sutro_mcp.results import CompareRequest, Comparison, ComparisonTable
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server.answers import Table, ToolAnswer, UntrustedText, grouped
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.results_progress import with_progress
from sutro_mcp.server.text_answers import facts, fenced, table

from .offered_tool import always, reply, tool
from .params import JobId

_OTHER_INPUTS = (
    "Rows with the same number are not about the same input everywhere: compare by inputs, or by a column "
    "that tells rows apart"
)


class CompareAnswer(ToolAnswer):
    """Changes from the run `job_id` to the run `other_job_id`. Numbers are exact."""

    job_id: str
    other_job_id: str
    by: UntrustedText
    compared_rows: int
    changed_rows: Annotated[int, Field(description="With another value in any field")]
    same_inputs: int | None = None
    different_inputs: int | None = None
    unknown_inputs: int | None = None
    hint: str | None = None
    shortened: Annotated[str | None, Field(description="What was left out")] = None
    runs: Annotated[Table, Field(description="Left out: key null, or repeated in a run")]
    fields: Annotated[
        Table | None,
        Field(description="Rows with a value in any run; lost: only before, gained: only after"),
    ] = None
    moves: Annotated[Table | None, Field(description="Most frequent changes")] = None
    samples: Annotated[Table | None, Field(description="First changed rows")] = None
    unchanged: list[UntrustedText] | None = None
    without_values: list[UntrustedText] | None = None
    only_before: Annotated[list[UntrustedText] | None, Field(description="Fields of one run alone")] = None
    only_after: list[UntrustedText] | None = None

    @classmethod
    def of(cls, before: str, after: str, by: str, found: Comparison) -> "CompareAnswer":
        """The answer for two job ids."""
        same, other = found.same_inputs, found.different_inputs
        unknown = None if by == "inputs" else found.compared_rows - (same or 0) - (other or 0)
        return cls(
            job_id=before,
            other_job_id=after,
            by=by,
            compared_rows=found.compared_rows,
            changed_rows=found.changed_rows,
            same_inputs=same,
            different_inputs=other,
            unknown_inputs=unknown,
            hint=_OTHER_INPUTS if by == "row" and other else None,
            shortened=found.shortened,
            runs=Table(**dict(found.runs)),
            fields=found.fields and Table(**dict(found.fields)),
            moves=_by_field(found.moves),
            samples=_by_field(found.samples),
            unchanged=found.unchanged,
            without_values=found.without_values,
            only_before=found.only_before,
            only_after=found.only_after,
        )


@tool("Compare two jobs' results", is_heavy=always)
async def compare_job_results(
    ctx: Ctx,
    job_id: Annotated[str, Field(description="The run before", max_length=200)],
    other_job_id: JobId,
    by: Annotated[
        str, Field(description="Matches rows: row (number, default), inputs, or a column", max_length=500)
    ] = "row",
) -> Annotated[CallToolResult, CompareAnswer]:
    """Say what changed in all rows from job_id to other_job_id, the run after it, both SUCCEEDED.

    Per field: share that agrees, most frequent changes, mean difference of numbers; whether inputs were the
    same; rows that one run lacks. For other questions use query_job_results (with_jobs).
    """
    app = app_of(ctx)
    before, after = (ResultsSpec(job, include_inputs=True) for job in (job_id, other_job_id))
    request = CompareRequest(by=by or "row")
    found = await with_progress(
        ctx, lambda notify: app.results.compare(app.client, before, after, request, on_progress=notify)
    )
    answer = CompareAnswer.of(job_id, other_job_id, request.by, found)
    return reply(answer, _text(answer, found))


def _by_field(found: ComparisonTable | None) -> Table | None:
    return found and grouped(found.columns, found.rows, "field")


def _text(answer: CompareAnswer, found: Comparison) -> str:
    head = f"{answer.job_id} (before) and {answer.other_job_id} (after): "
    head += (
        f"{counted(answer.compared_rows, 'row')} compared, {answer.changed_rows:,} changed. {_inputs(answer)}"
    )
    if answer.hint:
        head += f" {answer.hint}."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    left_out = " (left out: rows whose key is null or repeated in a run)" if answer.by != "row" else ""
    parts = [facts([("by", answer.by)]), f"runs{left_out}:", table(answer.runs.columns, answer.runs.rows)]
    for name, shown in (
        (
            "fields that changed (lost: a value only before; gained: only after; difference: after - before)",
            found.fields,
        ),
        ("most frequent changes", found.moves),
        ("first changed rows", found.samples),
    ):
        parts += [f"{name}:", table(shown.columns, shown.rows)] if shown else []
    for name, names in (
        ("fields that did not change", answer.unchanged),
        ("fields without a value in these rows", answer.without_values),
        ("fields that only the run before has", answer.only_before),
        ("fields that only the run after has", answer.only_after),
    ):
        parts += [f"{name}: {table(names, [])}"] if names else []
    return f"{head}\n{fenced(chr(10).join(parts))}"


def _inputs(answer: CompareAnswer) -> str:
    if answer.unknown_inputs is None:
        return "Inputs: rows are matched by them."
    if answer.unknown_inputs == answer.compared_rows:
        return f"Inputs: unknown in all {answer.unknown_inputs:,} rows."
    counts = ((answer.same_inputs, "the same"), (answer.different_inputs, "different"))
    known = [f"{words} in {counted(count, 'row')}" for count, words in counts if count is not None]
    return f"Inputs: {', '.join(known)}, unknown in {answer.unknown_inputs:,}."
