"""Stop a job: the facts before consent, the one request after it, and what came of it.

A finished job is never asked to stop (a deployment may damage its status). The words are exact: "requested"
is not "confirmed", and a lost reply is "unknown" until a status read says more.
"""

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import Field

from sutro_mcp.api import CancelReply, Job, Status
from sutro_mcp.errors import (
    RateLimitedError,
    SutroError,
    TemporaryError,
    UnexpectedReplyError,
    WrongDeploymentError,
    counted,
)
from sutro_mcp.server.answers import ToolAnswer, UntrustedText, brief
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.protocol.elicitation import Consent, answered, ask, can_ask
from sutro_mcp.server.text_format import facts, fenced
from sutro_mcp.server.uris import uri_to_follow
from sutro_mcp.settings import Settings
from sutro_mcp.untrusted import quote

from .params import JobId
from .tool import reply, tool

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

Outcome = Literal["requested", "confirmed", "refused", "unknown"]

# The facts are worth a short look at the progress stream, not a wait.
_PROGRESS_SECONDS = 2.0
_NAME_CHARS = 200
_ASKED_NAME_CHARS = 80

# Descriptions under the policies that make the docstring untrue; None: the tool is not served.
_BY_POLICY = {
    "off": None,
    "allow": """Ask Sutro to stop one job, at once. It cannot be undone, and finished rows may be billed.

This server is set up to act without a preview, so ask the user before the call. Cancelling takes a while:
outcome "requested" is not yet "confirmed".""",
    "elicit": """Ask Sutro to stop one job. It cannot be undone, and finished rows may be billed.

The host asks the user; only their answer there counts, not confirm. Cancelling takes a while: outcome
"requested" is not yet "confirmed".""",
}
_FOLLOW = "Call get_job_status until it says CANCELLED or another final state."
_ELSEWHERE = "They can also cancel it with Sutro's own CLI, or here in a host that supports MCP elicitation."
_NOT_GIVEN = {
    Consent.DECLINED: "The user was asked through the host, and the answer was no; nothing was sent.",
    Consent.DISMISSED: "The user was asked through the host, and closed the question; nothing was sent.",
    Consent.LATE: "The user was asked through the host, and no answer came in time; nothing was sent.",
    Consent.UNREADABLE: "The host's reply to the question was no answer to it; nothing was sent.",
    Consent.NOT_ASKED: "The host could not show the user the question; nothing was sent.",
}


class CancelAnswer(ToolAnswer):
    """What was asked of the deployment, and the job's status before and after."""

    job_id: str
    outcome: Annotated[
        Outcome | None,
        Field(description="Absent: this is a preview, nothing was sent"),
    ] = None
    status_before: str
    status_after: Annotated[str | None, Field(description="Read after the request; absent if unknown")] = None
    name: UntrustedText | None = None
    rows_done: int | None = None
    num_rows: int | None = None
    cost_usd: float | None = None
    cost_estimate_usd: float | None = None
    message: UntrustedText
    next: str
    uri: Annotated[str, Field(description="The resource to read or watch next")]


def _describe(settings: Settings, docstring: str) -> str | None:
    return _BY_POLICY.get(settings.cancel, docstring)


@tool("Cancel a job", destructive=True, describe=_describe)
async def cancel_job(
    ctx: Ctx,
    job_id: JobId,
    confirm: Annotated[
        bool, Field(description="true only after the user agreed to cancel this very job (default false)")
    ] = False,
) -> Annotated[CallToolResult, CancelAnswer] | InputRequiredResult:
    """Ask Sutro to stop one job. It cannot be undone: results are lost, finished rows may be billed.

    Without confirm, the host asks the user if it can; else this only shows what would be lost: show that and
    ask. Cancelling takes a while: outcome "requested" is not yet "confirmed".
    """
    consent = answered(ctx)  # first, so that a no counts whatever happens to the call
    job = await app_of(ctx).client.get_job(job_id)
    answer = _settled(job) or await _decide(ctx, job, consent, confirm=confirm)
    return reply(answer, _text(answer)) if isinstance(answer, CancelAnswer) else answer


async def _decide(
    ctx: Ctx, job: Job, consent: Consent | None, *, confirm: bool
) -> CancelAnswer | InputRequiredResult:
    """Cancel, or find out whether the policy and the person allow it."""
    client, policy = app_of(ctx).client, app_of(ctx).settings.cancel
    if policy == "allow" or (policy == "confirm" and confirm):
        return await _send(client, job)
    if not can_ask(ctx):
        return _no_dialog(job) if policy == "elicit" else await _preview(client, job)
    if consent is None:
        asked = await ask(ctx, await _question(client, job), "Stop this job")
        if isinstance(asked, InputRequiredResult):
            return asked
        consent = asked
        if consent is Consent.GIVEN:
            # A person takes a while, and the job went on meanwhile.
            job = await client.get_job(job.job_id)
    if consent is not Consent.GIVEN:
        return _not_given(job, consent, may_confirm=policy == "confirm")
    return _settled(job) or await _send(client, job)


def _settled(job: Job) -> CancelAnswer | None:
    """The answer for a job that must not be asked to stop; None for one that may be."""
    if job.status.is_terminal:
        message = f"The job had already ended as {job.status.value}; no request was sent."
        return _answer(job, "refused", message, _after_the_end(job.status), job.status)
    if job.status is Status.CANCELLING:
        message = "Cancellation was asked for before; no second request was sent."
        return _answer(job, "requested", message, _FOLLOW, job.status)
    return None


def _after_the_end(status: Status) -> str:
    return "Read its results with get_job_results." if status is Status.SUCCEEDED else "Nothing to do."


async def _preview(client: "ApiClient", job: Job) -> CancelAnswer:
    """Tell an assistant the effect of cancelling, to be shown to the user."""
    done = await _rows_done(client, job)
    message = "This is a preview, nothing was sent. "
    if done is None:
        message += "How many rows are done is not known. They may still be billed, and are lost."
    elif done == 1:
        message += "1 row is done. It may still be billed, and is lost."
    else:
        message += f"{done:,} rows are done."
        message += " They may still be billed, and are lost." if done else ""
    message += " A cancelled job has no results."
    message += " The cost so far is not reported while a job runs." if job.job_cost is None else ""
    next_step = "If the user agrees, call cancel_job again with confirm=true."
    return _answer(
        job,
        None,
        message,
        next_step,
        rows_done=done,
        cost_usd=job.job_cost,
        cost_estimate_usd=job.cost_estimate,
    )


async def _question(client: "ApiClient", job: Job) -> str:
    """Word the effect of cancelling for a person who decides in the host's dialog.

    It says "stop": "cancel" is what the dialog's own button does.
    """
    done = await _rows_done(client, job)
    if done is None:
        rows = "it is not known how many rows are done"
    elif job.num_rows is None:
        rows = f"{counted(done, 'row')} done"
    else:
        rows = f"{done:,} of {counted(job.num_rows, 'row')} done"
    name = f"{quote(job.name, _ASKED_NAME_CHARS)} ({job.job_id})" if job.name else job.job_id
    lost = "It cannot be undone: a cancelled job has no results"
    lost += "." if done == 0 else ", and rows that are done may still be billed."
    return f"Stop the Sutro job {name}?\n\nStatus: {job.status.value}, {rows}.\n{lost}"


def _not_given(job: Job, consent: Consent, *, may_confirm: bool) -> CancelAnswer:
    """Say what to do when the person did not agree; some hosts decline without showing anything."""
    if may_confirm:
        how = "If the user did not see the question and agrees, call cancel_job again with confirm=true."
    else:
        how = f"Call cancel_job again to have them asked anew. {_ELSEWHERE}"
    only = "Leave the job alone unless the user asks for it. " if consent is Consent.DECLINED else ""
    return _answer(job, "refused", _NOT_GIVEN[consent], only + how)


def _no_dialog(job: Job) -> CancelAnswer:
    """For a policy that takes only a person's word, in a host that cannot ask one."""
    message = (
        "This server cancels only when the user agrees in a dialog of the host (SUTRO_MCP_CANCEL=elicit). "
        "This host has none, and confirm does not replace it; nothing was sent."
    )
    return _answer(job, "refused", message, f"Tell the user. {_ELSEWHERE}")


async def _send(client: "ApiClient", job: Job) -> CancelAnswer:
    """Ask the deployment once to stop `job`, and read what came of it."""
    try:
        sent: CancelReply | None = await client.cancel_job(job.job_id)
    except RateLimitedError:
        # A refusal that says when to come back: nothing was done.
        raise
    except (TemporaryError, UnexpectedReplyError, WrongDeploymentError):
        # It may or may not have been carried out: only the status can tell, and it is not sent again.
        sent = None
    after: Status | None = None
    with suppress(SutroError):
        after = (await client.get_job_status(job.job_id)).status
    outcome, message, next_step = _judge(sent, after)
    return _answer(job, outcome, message, next_step, after)


def _judge(sent: CancelReply | None, after: Status | None) -> tuple[Outcome, str, str]:
    """Outcome, what happened and what next, from the reply (None: lost) and the status read after it."""
    if after is Status.CANCELLED:
        return "confirmed", "The job is cancelled.", "Nothing to do."
    if after is not None and after.is_terminal:
        message = f"The job ended as {after.value} before it could be cancelled."
        return "refused", message, _after_the_end(after)
    if sent is not None and not sent.accepted:
        reason = f": {quote(sent.message)}" if sent.message else ""
        return (
            "refused",
            f"The deployment did not accept the request{reason}.",
            "Call get_job to see the job.",
        )
    if after is Status.CANCELLING:
        return "requested", "The job is being cancelled; it is not cancelled yet.", _FOLLOW
    if sent is None:
        return (
            "unknown",
            "No usable reply came, so it is not known whether the request was carried out.",
            "Call get_job_status; if the job still runs in a minute, call cancel_job again.",
        )
    seen = "its status could not be read afterwards" if after is None else f"it still says {after.value}"
    return "requested", f"The deployment accepted the request; {seen}.", _FOLLOW


def _answer(
    job: Job,
    outcome: Outcome | None,
    message: str,
    next_step: str,
    status_after: Status | None = None,
    **figures: Any,
) -> CancelAnswer:
    return CancelAnswer(
        job_id=job.job_id,
        outcome=outcome,
        status_before=job.status.value,
        status_after=status_after.value if status_after else None,
        name=job.name and brief(job.name, _NAME_CHARS),
        num_rows=job.num_rows,
        message=message,
        next=next_step,
        uri=uri_to_follow(job.job_id, status_after or job.status),
        **figures,
    )


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


def _text(answer: CancelAnswer) -> str:
    """The outcome first, then the figures."""
    # The message is a sentence of ours, in which a deployment is quoted at most.
    head = f"{answer.job_id}: {answer.outcome or 'preview'}. {answer.message} {answer.next}"
    names = ("status_before", "status_after", "rows_done", "num_rows", "cost_usd", "cost_estimate_usd", "uri")
    figures = facts((name, getattr(answer, name)) for name in names)
    name = f"\n{fenced(facts([('name', answer.name)]))}" if answer.name else ""
    return f"{head}\n{figures}{name}"
