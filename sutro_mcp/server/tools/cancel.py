"""Stop a job: the one tool that ends something.

The status is read before and after, a finished job is never asked to stop (a deployment may damage its
status), and the words are exact: "requested" is not "confirmed", and a lost reply is "unknown" until a status
read says more.
"""

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated

import anyio
from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.client import CancelReply, Job, Status
from sutro_mcp.errors import (
    RateLimitedError,
    SutroError,
    TemporaryError,
    UnexpectedReplyError,
    WrongDeploymentError,
)
from sutro_mcp.server import text
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.define import destructive_tool, reply
from sutro_mcp.server.job_outputs import brief
from sutro_mcp.server.outputs import CancelAnswer, Outcome
from sutro_mcp.server.params import JobId
from sutro_mcp.untrusted import quote

if TYPE_CHECKING:
    from sutro_mcp.client import ApiClient  # loads the HTTP library

ACTS_AT_ONCE = """Ask Sutro to stop one job, at once. It cannot be undone, and finished rows may be billed.

This server is set up to act without a preview, so ask the user before the call. Cancelling takes a while:
outcome "requested" is not yet "confirmed".
"""
# A preview is worth a short look at the progress stream, not a wait.
_PROGRESS_SECONDS = 2.0


@destructive_tool("Cancel a job")
async def cancel_job(
    ctx: Ctx,
    job_id: JobId,
    confirm: Annotated[
        bool, Field(description="true only after the user agreed to cancel this very job (default false)")
    ] = False,
) -> Annotated[CallToolResult, CancelAnswer]:
    """Ask Sutro to stop one job. It cannot be undone: results are lost, and finished rows may be billed.

    Without confirm it sends nothing and shows what would be lost: show that to the user and ask. Cancelling
    takes a while: outcome "requested" is not yet "confirmed".
    """
    app = app_of(ctx)
    job = await app.client.get_job(job_id)
    if job.status.is_terminal:
        answer = _finished(job)
    elif job.status is Status.CANCELLING:
        answer = _already(job)
    elif confirm or app.settings.cancel == "allow":
        answer = await _cancel(app.client, job)
    else:
        answer = await _preview(app.client, job)
    return reply(answer, text.cancel(answer))


def _finished(job: Job) -> CancelAnswer:
    has_results = job.status is Status.SUCCEEDED
    return CancelAnswer(
        job_id=job.job_id,
        outcome="refused",
        status_before=job.status.value,
        status_after=job.status.value,
        name=job.name and brief(job.name, 200),
        message=f"The job had already ended as {job.status.value}; no request was sent.",
        next="Read its results with get_job_results." if has_results else "Nothing to do.",
    )


def _already(job: Job) -> CancelAnswer:
    return CancelAnswer(
        job_id=job.job_id,
        outcome="requested",
        status_before=job.status.value,
        status_after=job.status.value,
        name=job.name and brief(job.name, 200),
        message="Cancellation was asked for before; no second request was sent.",
        next="Call get_job_status until it says CANCELLED or another final state.",
    )


async def _preview(client: "ApiClient", job: Job) -> CancelAnswer:
    done = await _rows_done(client, job)
    message = "This is a preview, nothing was sent. "
    message += "How many rows are done is not known." if done is None else f"{done:,} rows are done."
    if done != 0:
        message += " They may still be billed, and are lost."
    message += " A cancelled job has no results."
    message += " The cost so far is not reported while a job runs." if job.job_cost is None else ""
    return CancelAnswer(
        job_id=job.job_id,
        status_before=job.status.value,
        name=job.name and brief(job.name, 200),
        rows_done=done,
        num_rows=job.num_rows,
        cost_usd=job.job_cost,
        cost_estimate_usd=job.cost_estimate,
        message=message,
        next="If the user agrees, call cancel_job again with confirm=true.",
    )


async def _cancel(client: "ApiClient", job: Job) -> CancelAnswer:
    try:
        sent: CancelReply | None = await client.cancel_job(job.job_id)
    except RateLimitedError:
        # A refusal that says when to come back: nothing was done.
        raise
    except (TemporaryError, UnexpectedReplyError, WrongDeploymentError):
        # It may or may not have been carried out: only the status can tell, and it is not sent again.
        sent = None
    after = await _status_after(client, job.job_id)
    outcome, message, next_step = _judge(sent, after)
    return CancelAnswer(
        job_id=job.job_id,
        outcome=outcome,
        status_before=job.status.value,
        status_after=after.value if after else None,
        name=job.name and brief(job.name, 200),
        num_rows=job.num_rows,
        message=message,
        next=next_step,
    )


def _judge(sent: CancelReply | None, after: Status | None) -> tuple[Outcome, str, str]:
    """Outcome, what happened and what next, from the reply (None: lost) and the status read after it."""
    follow = "Call get_job_status until it says CANCELLED or another final state."
    if after is Status.CANCELLED:
        return "confirmed", "The job is cancelled.", "Nothing to do."
    if after is not None and after.is_terminal:
        results = "Read its results with get_job_results." if after is Status.SUCCEEDED else "Nothing to do."
        return "refused", f"The job ended as {after.value} before it could be cancelled.", results
    if sent is not None and not sent.accepted:
        reason = f": {quote(sent.message)}" if sent.message else ""
        return (
            "refused",
            f"The deployment did not accept the request{reason}.",
            "Call get_job to see the job.",
        )
    if after is Status.CANCELLING:
        return "requested", "The job is being cancelled; it is not cancelled yet.", follow
    if sent is None:
        return (
            "unknown",
            "No usable reply came, so it is not known whether the request was carried out.",
            "Call get_job_status; if the job still runs in a minute, call cancel_job again.",
        )
    seen = "its status could not be read afterwards" if after is None else f"it still says {after.value}"
    return "requested", f"The deployment accepted the request; {seen}.", follow


async def _status_after(client: "ApiClient", job_id: str) -> Status | None:
    try:
        return (await client.get_job_status(job_id)).status
    except SutroError:
        return None


async def _rows_done(client: "ApiClient", job: Job) -> int | None:
    """Rows done according to the progress stream, if it tells at once. Never an error: this is a courtesy."""
    if job.status is Status.QUEUED:
        return 0
    done: int | None = None
    with anyio.move_on_after(_PROGRESS_SECONDS), suppress(SutroError):
        async with aclosing(client.stream_job_progress(job.job_id)) as events:
            counts = (event.rows_done async for event in events if event.rows_done is not None)
            done = await anext(counts, None)
    return done
