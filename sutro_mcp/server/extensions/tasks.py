"""Waiting for a job as an MCP task (SEP-2663, `io.modelcontextprotocol/tasks`), without keeping anything.

Written from specification/2026-07-28/tasks.md of modelcontextprotocol/ext-tasks. The middleware
`refuse_undeclared_tasks` belongs to it.

A host that declares the extension gets a task from `wait_for_job` when the job has not ended, and asks for it
as often as it likes. The job is the task: the id names it and when the waiting began, so a server that was
restarted answers as well. Cancelling the task ends the waiting, which nobody does here; the job goes on. Such
a wait has no timeout, as nothing waits. It asks for no input and sends no notifications.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mcp import MCPError, types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Extension, MethodBinding, require_client_extension
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from sutro_mcp.api import JobStatus
from sutro_mcp.errors import CallError, SutroError
from sutro_mcp.server.context import AppContext
from sutro_mcp.server.live.job_wait import WaitOutcome
from sutro_mcp.server.protocol.mcp_server import in_channels
from sutro_mcp.server.protocol.middleware import TASKS_EXTENSION
from sutro_mcp.server.tools.wait_for_job import reply_to_wait, wait_for_job

Request = ServerRequestContext[AppContext, Any]

_MODERN: Final = frozenset(MODERN_PROTOCOL_VERSIONS)
_POLL_MS: Final = 5_000
# Milliseconds since 1970 until the year 2286, then the job.
_TASK_ID = re.compile(r"wait-(\d{13})-(.+)")


class UpdateTaskParams(types.RequestParams):
    """`tasks/update`."""

    task_id: str
    input_responses: dict[str, Any]


class Tasks(Extension):
    """`wait_for_job` as a task, for hosts that know tasks."""

    identifier = TASKS_EXTENSION

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("tasks/get", types.GetTaskRequestParams, self._get, _MODERN),
            MethodBinding("tasks/update", UpdateTaskParams, self._acknowledge, _MODERN),
            MethodBinding("tasks/cancel", types.CancelTaskRequestParams, self._acknowledge, _MODERN),
        ]

    async def intercept_tool_call(
        self, params: types.CallToolRequestParams, ctx: Request, call_next: CallNext
    ) -> HandlerResult:
        """A task instead of a wait; everything else, refusals too, is the tool's."""
        job_id = _job_to_wait_for(params)
        if job_id is None or not self._is_declared(ctx):
            return await call_next(ctx)
        try:
            async with ctx.lifespan_context.admitted(f"call {wait_for_job.name}"):
                stands = await ctx.lifespan_context.client.get_job_status(job_id)
        except SutroError:
            return await call_next(ctx)
        if stands.status.is_terminal:
            return await call_next(ctx)
        began = int(datetime.now(UTC).timestamp() * 1000)
        return {"resultType": "task", **_task(f"wait-{began}-{job_id}", began, stands)}

    def _is_declared(self, ctx: Request) -> bool:
        capabilities = ctx.session.client_capabilities
        # An older connection has no shape for a task, whatever its host says.
        return ctx.protocol_version in _MODERN and self.identifier in (
            (capabilities and capabilities.extensions) or {}
        )

    async def _get(self, ctx: Request, params: types.GetTaskRequestParams) -> HandlerResult:
        began, stands = await self._look_up(ctx, params.task_id)
        task = _task(params.task_id, began, stands)
        if stands.status.is_terminal:
            result = in_channels(ctx.lifespan_context.settings.output, reply_to_wait(WaitOutcome(stands)))
            task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return task

    async def _acknowledge(
        self, ctx: Request, params: UpdateTaskParams | types.CancelTaskRequestParams
    ) -> HandlerResult:
        """Nothing was asked, so there is no answer to take; nothing waits, so there is nothing to stop."""
        await self._look_up(ctx, params.task_id)
        return {}

    async def _look_up(self, ctx: Request, task_id: str) -> tuple[int, JobStatus]:
        """When the waiting began, in milliseconds since 1970, and how the job stands."""
        require_client_extension(ctx, self.identifier)
        # Over HTTP the header repeats the id for routers; the SDK compares it for methods of its own only.
        headers = getattr(ctx.request, "headers", None)
        if headers is not None and decode_header_value(headers.get(MCP_NAME_HEADER)) != task_id:
            raise MCPError(types.HEADER_MISMATCH, "The header Mcp-Name is not the taskId of the body.")
        match = _TASK_ID.fullmatch(task_id)
        if match is None:
            raise MCPError(types.INVALID_PARAMS, "Cannot find this task: wait_for_job makes no such task id.")
        try:
            async with ctx.lifespan_context.admitted("look at this task"):
                return int(match[1]), await ctx.lifespan_context.client.get_job_status(match[2])
        except SutroError as error:
            code = types.INVALID_PARAMS if isinstance(error, CallError) else types.INTERNAL_ERROR
            raise MCPError(code=code, message=str(error)) from error


def _job_to_wait_for(params: types.CallToolRequestParams) -> str | None:
    """The job of a valid call of `wait_for_job`."""
    given = params.arguments or {}
    job_id, seconds = given.get("job_id"), given.get("timeout_seconds", 1)
    if params.name != wait_for_job.name or set(given) - {"job_id", "timeout_seconds"}:
        return None
    valid = isinstance(job_id, str) and type(seconds) is int and 1 <= seconds <= 300
    return job_id if valid else None


def _task(task_id: str, began: int, stands: JobStatus) -> dict[str, Any]:
    """The task as far as it is the same in every reply. Waiting for a job that failed was a success."""
    return {
        "taskId": task_id,
        "status": "completed" if stands.status.is_terminal else "working",
        "statusMessage": f"The job is {stands.status.value}.",
        "createdAt": _iso(datetime.fromtimestamp(began / 1000, UTC)),
        # When the job last changed is not told; this is when its status was read.
        "lastUpdatedAt": _iso(datetime.now(UTC)),
        "ttlMs": None,
        "pollIntervalMs": _POLL_MS,
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
