"""resources/list: the entries of a host's picker, live and page by page, the newest jobs first.

One entry for each job; its status alone and its results are in the templates. Some programs read everything
that is listed, and many hosts the first page only, as soon as they connect: it comes in any case, without
jobs if need be.
"""

from typing import Any

import anyio
from mcp import MCPError, types
from mcp.server.context import ServerRequestContext

from sutro_mcp.api import Job, is_addressable
from sutro_mcp.errors import DeadlineExceededError, InvalidCursorError, SutroError, counted
from sutro_mcp.job_list.job_search import Found, JobFilter, find_jobs
from sutro_mcp.server.answers import FAILURE_CHARS, MODEL_CHARS, NAME_CHARS, brief, iso
from sutro_mcp.server.context import AppContext
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.uris import JOBS, JobUris
from sutro_mcp.untrusted_text import quote

from .templates import JSON

_PAGE_JOBS = 50


def serve_listing(server: SutroServer, seconds: float = 10.0) -> None:
    """Register the request; `seconds` is what a host that connects may have to wait for Sutro."""

    async def list_resources(
        ctx: ServerRequestContext[AppContext, Any], params: types.PaginatedRequestParams
    ) -> types.ListResourcesResult:
        cursor = params.cursor or ""
        try:
            found = await _jobs(ctx.lifespan_context, cursor, seconds)
        except InvalidCursorError as error:
            message = (
                "Cannot continue the list of resources: this is none of its cursors, or its place is gone."
            )
            raise MCPError(types.INVALID_PARAMS, f"{message} List them again without a cursor.") from error
        except SutroError as error:
            if cursor:
                raise MCPError(types.INTERNAL_ERROR, str(error)) from error
            # Nobody should keep a list that lacks the jobs.
            fixed = [
                _all_jobs(f" The jobs themselves are missing here: {error}"),
                *await server.list_resources(),
            ]
            return types.ListResourcesResult(resources=fixed, ttl_ms=0)
        fixed = [] if cursor else [_all_jobs(), *await server.list_resources()]
        listed = [resource_of(job) for job in found.jobs if is_addressable(job.job_id)]
        return types.ListResourcesResult(resources=[*fixed, *listed], next_cursor=found.next_cursor)

    server.handle("resources/list", types.PaginatedRequestParams, list_resources)


async def _jobs(app: AppContext, cursor: str, seconds: float) -> Found:
    with anyio.move_on_after(seconds):
        async with app.admitted("list jobs"):
            return await find_jobs(app.client, JobFilter(), _PAGE_JOBS, cursor, "resources/list")
    raise DeadlineExceededError(
        "list jobs", f"the deployment took longer than {seconds:g} seconds", "List the resources again"
    )


def resource_of(job: Job) -> types.Resource:
    """The entry of `job`, which says what the templates would say of it."""
    label = brief(" ".join((job.name or job.job_id).split()), NAME_CHARS)
    changed = iso(job.datetime_completed or job.datetime_started or job.datetime_created)
    return types.Resource(
        uri=JobUris.of(job.job_id, job.status).job,
        name=label,
        title=f"{label} ({job.status.value})",
        description=_details(job),
        mime_type=JSON,
        annotations=types.Annotations(last_modified=changed) if changed else None,
    )


def _details(job: Job) -> str:
    facts = [
        f"Job {job.job_id}",
        f"model {quote(job.model, MODEL_CHARS)}" if job.model else None,
        counted(job.num_rows, "row") if job.num_rows is not None else None,
        f"created {iso(job.datetime_created)}" if job.datetime_created else None,
        f"failed: {quote(job.failure_reason.message, FAILURE_CHARS)}" if job.failure_reason else None,
    ]
    return ", ".join(fact for fact in facts if fact)


def _all_jobs(remark: str = "") -> types.Resource:
    return types.Resource(
        uri=JOBS,
        name="jobs",
        title="Newest jobs",
        description=f"The 20 newest jobs with status, size, run time and cost.{remark}",
        mime_type=JSON,
    )
