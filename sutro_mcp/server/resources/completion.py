"""Suggestions while a user fills in a prompt or the URI of a resource."""

import re
from typing import TYPE_CHECKING, Any, get_args

from mcp import MCPError, types
from mcp.server.context import ServerRequestContext

from sutro_mcp.api import Job, Status, is_addressable
from sutro_mcp.errors import SutroError
from sutro_mcp.results.name_matching import folded
from sutro_mcp.server.context import AppContext
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.tools.params import StatusWord
from sutro_mcp.untrusted_text import quote

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

# The newest jobs, in one request for each suggestion asked for; and the most values that MCP allows.
_JOBS = 100
_MOST = 100
_PERIODS = ("24h", "7d", "30d", "90d")
_BOOLEANS = ("true", "false")


def serve_completion(server: SutroServer) -> None:

    async def complete(
        ctx: ServerRequestContext[AppContext, Any], params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        if isinstance(params.ref, types.PromptReference):
            about, known = params.ref.name, {prompt.name for prompt in await server.list_prompts()}
        else:
            about = params.ref.uri
            known = {template.uri_template for template in await server.list_resource_templates()}
        if about not in known:
            raise MCPError(types.INVALID_PARAMS, f"Cannot complete: there is no {quote(about, 100)} here.")
        argument, value = params.argument.name, params.argument.value
        if argument == "job_id":
            try:
                async with ctx.lifespan_context.admitted("complete this id"):
                    found = await _job_ids(ctx.lifespan_context.client, value, "results" in about)
            except SutroError as error:
                raise MCPError(types.INTERNAL_ERROR, str(error)) from error
            return types.CompleteResult(completion=found)
        return types.CompleteResult(completion=_of(_words(argument, value)))

    server.handle("completion/complete", types.CompleteRequestParams, complete)


async def _job_ids(client: "ApiClient", value: str, with_results: bool) -> types.Completion:
    """Ids that begin so, then those of jobs whose name has these words; newest first."""
    page = await client.list_jobs_page(_JOBS)
    jobs = [
        job
        for job in page.jobs
        if is_addressable(job.job_id) and (job.status is Status.SUCCEEDED or not with_results)
    ]
    by_id = [job for job in jobs if job.job_id.casefold().startswith(value.casefold())]
    by_name = [job for job in jobs if job not in by_id and _is_named(job, value)]
    return _of([job.job_id for job in (*by_id, *by_name)], has_more=page.next_cursor is not None)


def _is_named(job: Job, value: str) -> bool:
    """Whether each word of `value` begins a word of the job's name."""
    wanted, words = _split(value), _split(job.name or "")
    return bool(wanted) and all(any(word.startswith(start) for word in words) for start in wanted)


def _split(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", folded(text))


def _words(argument: str, value: str) -> list[str]:
    if argument == "status":
        # Several, separated by commas: the last one is being written.
        before, comma, last = value.rpartition(",")
        chosen = before.upper().split(",")
        words = [word for word in get_args(StatusWord) if word not in chosen]
        return [before + comma + word for word in words if word.startswith(last.strip().upper())]
    words = {"period": _PERIODS, "include_inputs": _BOOLEANS}.get(argument, ())
    return [word for word in words if word.startswith(value.lower())]


def _of(values: list[str], *, has_more: bool = False) -> types.Completion:
    return types.Completion(
        values=values[:_MOST],
        total=None if has_more else len(values),
        has_more=has_more or len(values) > _MOST,
    )
