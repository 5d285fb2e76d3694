"""Jobs by URI: the same answers as the tools, as compact JSON.

Hosts that know resources attach them to a conversation without a tool call; every resource has a tool twin,
because many hosts know only tools. Query values are text here, as the SDK hides the reason when it refuses a
typed one.
"""

import json
from collections.abc import Awaitable, Callable

from mcp.server.mcpserver import MCPServer

from sutro_mcp.errors import InvalidArgumentError, NoResultsError, ResultsGoneError, ResultsNotReadyError
from sutro_mcp.job_list.job_search import job_filter
from sutro_mcp.results import PageRequest
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server.answers import Answer
from sutro_mcp.server.context import AppContext, Ctx, app_of
from sutro_mcp.server.tools.get_job import details_of
from sutro_mcp.server.tools.get_job_results import ResultsAnswer, summary_of
from sutro_mcp.server.tools.get_job_status import status_of
from sutro_mcp.server.tools.list_jobs import listed
from sutro_mcp.server.tools.params import MOST_CHARS
from sutro_mcp.server.uris import JOB, JOBS, RESULTS, STATUS, SUMMARY

JSON = "application/json"
# Jobs that have no results, which is no error for a program that reads the resources of all jobs.
_WITHOUT = (ResultsNotReadyError, NoResultsError, ResultsGoneError)


class _NoResults(Answer):
    """Results that are not there."""

    results_available: bool = False
    reason: str


async def _jobs(ctx: Ctx, status: str = "", limit: str = "20") -> str:
    """Jobs, newest first. status: words separated by commas; limit: 1 to 100."""
    wanted, binding = job_filter([word for word in status.split(",") if word.strip()])
    # The cursor continues in list_jobs, given the same status.
    return _json(await listed(app_of(ctx), wanted, _number("limit", limit, 1, 100), "", binding))


async def _job(ctx: Ctx, job_id: str) -> str:
    """Everything known of one job."""
    return _json(await details_of(app_of(ctx), job_id, full=True))


async def _status(ctx: Ctx, job_id: str) -> str:
    """Where one job stands."""
    return _json(await status_of(app_of(ctx), job_id))


async def _results(
    ctx: Ctx, job_id: str, offset: str = "0", limit: str = "20", include_inputs: str = "false"
) -> str:
    """Rows of a succeeded job. offset from 0; limit 1 to 1000; include_inputs true or false."""
    app = app_of(ctx)
    spec = ResultsSpec(job_id, include_inputs=_boolean("include_inputs", include_inputs))
    rows = _number("limit", limit, 1, 1000)
    first = _number("offset", offset, 0, 10**12)
    request = PageRequest(offset=first, limit=rows, max_chars=MOST_CHARS)
    try:
        page = await app.results.page(app.client, spec, request)
    except _WITHOUT as error:
        return _json(_NoResults(reason=str(error)))
    return _json(ResultsAnswer.of_page(job_id, page, rows, include_inputs=spec.include_inputs))


async def _summary(ctx: Ctx, job_id: str) -> str:
    """What came out of a succeeded job, over all rows."""
    try:
        return _json(await summary_of(app_of(ctx), ResultsSpec(job_id)))
    except _WITHOUT as error:
        return _json(_NoResults(reason=str(error)))


_TEMPLATES: tuple[tuple[str, str, str, Callable[..., Awaitable[str]]], ...] = (
    (JOBS + "{?status,limit}", "jobs", "Jobs", _jobs),
    (JOB, "job", "Job", _job),
    (STATUS, "job-status", "Job status", _status),
    (RESULTS + "{?offset,limit,include_inputs}", "job-results", "Job results", _results),
    (SUMMARY, "job-results-summary", "Job results, summarised", _summary),
)


def add_resources(server: MCPServer[AppContext]) -> None:
    for uri, name, title, read in _TEMPLATES:
        server.resource(uri, name=name, title=title, mime_type=JSON)(read)


def _json(answer: Answer) -> str:
    return json.dumps(answer.structured(), ensure_ascii=False, separators=(",", ":"))


def _number(name: str, value: str, low: int, high: int) -> int:
    if value.isascii() and value.isdigit() and len(value) < 16 and low <= int(value) <= high:
        return int(value)
    raise _refused(name, f"it must be a whole number from {low} to {high}")


def _boolean(name: str, value: str) -> bool:
    if value.lower() in ("true", "1", "false", "0"):
        return value.lower() in ("true", "1")
    raise _refused(name, "it must be true or false")


def _refused(name: str, rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"read this resource with its {name}", rule, "Correct the URI")
