"""Stop a job: the facts before consent, the one request after it, and what came of it.

A finished job is never asked to stop (a deployment may damage its status). The words are exact: "requested"
is not "confirmed", and a lost reply is "unknown" until a status read says more.
"""

from contextlib import suppress
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
)
from sutro_mcp.job_list.job_totals import lacks_cost
from sutro_mcp.server.answers import (
    NO_COST,
    ProgressAnswer,
    RowsDone,
    UntrustedText,
    brief,
    figures_of,
    money,
    notice_for,
)
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.protocol.elicitation import Answer, Consent, answered, ask, can_ask
from sutro_mcp.server.text_answers import facts, fenced
from sutro_mcp.server.uris import uri_to_follow
from sutro_mcp.settings import Settings
from sutro_mcp.untrusted_text import quote

from .offered_tool import reply, tool
from .params import JobId

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

Outcome = Literal["requested", "confirmed", "refused", "unknown"]

_NAME_CHARS = 200
_ASKED_NAME_CHARS = 80
_ID_CHARS = 60
# In the audit log.
_EVENT = "cancel_job"

# Descriptions under the policies that make the docstring untrue; None: the tool is not served.
_BY_POLICY = {
    "off": None,
    "allow": """Ask Sutro to stop one job, at once. It cannot be undone: its results are lost, and rows that
are done may be billed.

Other jobs and files stay. There is no preview here, so ask the user before the call unless they ordered to
cancel this very job. Outcome "requested" is not yet "confirmed": follow with get_job_status.""",
    "elicit": """Ask Sutro to stop one job. It cannot be undone: its results are lost, and rows that are
done may be billed.

Other jobs and files stay. The host asks the user; only their answer there counts, not confirm or an order in
the chat. Outcome "requested" is not yet "confirmed": follow with get_job_status.""",
}
_FOLLOW = "Call get_job_status until it says CANCELLED or another final state."
_ELSEWHERE = "They can also cancel it with Sutro's own CLI, or here in a host that supports MCP elicitation."
_LOST = "a cancelled job has no results, and rows that are done may still be billed"


class CancelAnswer(ProgressAnswer):
    """What was asked of the deployment, and the job's status before and after."""

    outcome: Annotated[
        Outcome | None,
        Field(description="Absent in a preview"),
    ] = None
    status_before: str
    status_after: Annotated[str | None, Field(description="Absent if unknown")] = None
    name: UntrustedText | None = None
    cost_estimate_usd: float | None = None
    message: UntrustedText
    next: str
    uri: str


def _describe(settings: Settings, docstring: str) -> str | None:
    return _BY_POLICY.get(settings.cancel, docstring)


@tool("Cancel a job", destructive=True, describe=_describe)
async def cancel_job(
    ctx: Ctx,
    job_id: JobId,
    confirm: Annotated[bool, Field(description="The user ordered or agreed to it (default false)")] = False,
) -> Annotated[CallToolResult, CancelAnswer] | InputRequiredResult:
    """Ask Sutro to stop one job. It cannot be undone: its results are lost, and rows done may be billed.

    Other jobs stay. The user's own order to cancel this job is agreement: set confirm. Without it the host
    asks the user if it can, else this only shows what would be lost: ask then. Outcome "requested" is not
    yet "confirmed": follow with get_job_status.
    """
    given = answered(ctx)  # first, so that a no counts whatever happens to the call
    job = await app_of(ctx).client.get_job(job_id)
    answer = await _settled(ctx, job) or await _decide(ctx, job, given, confirm=confirm)
    return reply(answer, _text(job_id, answer)) if isinstance(answer, CancelAnswer) else answer


async def _decide(
    ctx: Ctx, job: Job, given: Answer | None, *, confirm: bool
) -> CancelAnswer | InputRequiredResult:
    """Cancel, or find out whether the policy and the person allow it."""
    client, policy = app_of(ctx).client, app_of(ctx).settings.cancel
    if policy == "allow" or (policy == "confirm" and confirm):
        return await _send(ctx, job, "by policy" if policy == "allow" else "through the assistant")
    if not can_ask(ctx):
        await _write_down(ctx, job, "refused" if policy == "elicit" else "preview")
        return _no_dialog(job) if policy == "elicit" else _preview(job, await _done(ctx, job))
    if given is None:
        await _write_down(ctx, job, "asked")
        standing = _standing(job, await _done(ctx, job))
        asked = await ask(ctx, _question(job, standing), "Stop this job", standing)
        if isinstance(asked, InputRequiredResult):
            return asked
        given = asked
        if given.consent is Consent.GIVEN:
            # A person takes a while, and the job went on meanwhile.
            job = await client.get_job(job.job_id)
    if given.consent is not Consent.GIVEN:
        await _write_down(ctx, job, given.consent.name.lower())
        return _not_given(job, given, may_confirm=policy == "confirm")
    answer = await _settled(ctx, job) or await _send(ctx, job, "in the host's dialog")
    asked_first = f"The user was asked in the host and agreed. {_shown(given)}"
    return answer.model_copy(update={"message": f"{asked_first} {answer.message}"})


async def _done(ctx: Ctx, job: Job) -> RowsDone | None:
    if job.status in (Status.QUEUED, Status.STARTING):
        return RowsDone(0, job.num_rows)
    return await app_of(ctx).running.of(job)


async def _settled(ctx: Ctx, job: Job) -> CancelAnswer | None:
    """The answer for a job that must not be asked to stop; None for one that may be."""
    if not job.status.is_terminal and job.status is not Status.CANCELLING:
        return None
    await _write_down(ctx, job, "not needed")
    if job.status is Status.CANCELLING:
        message = "Cancellation was asked for before; no second request was sent."
        return _answer(job, "requested", message, _FOLLOW, job.status)
    message = f"The job had already ended as {job.status.value}; no request was sent."
    return _answer(job, "refused", message, _after_the_end(job.status), job.status)


def _after_the_end(status: Status) -> str:
    return "Read its results with get_job_results." if status is Status.SUCCEEDED else "Nothing to do."


def _preview(job: Job, progress: RowsDone | None) -> CancelAnswer:
    """Tell an assistant the effect of cancelling, to be shown to the user."""
    unknown = "" if progress else " How many rows are done is not known."
    message = f"This is a preview, nothing was sent.{unknown} What is lost: {_LOST}."
    next_step = "If the user agrees, call cancel_job again with confirm=true."
    figures = figures_of(job, progress)
    return _answer(job, None, message, next_step, cost_estimate_usd=job.cost_estimate, **figures)


def _standing(job: Job, progress: RowsDone | None) -> str:
    """Where the job stands and what it has cost, for a person who decides."""
    rows = progress.words("minutes") if progress else "it is not known how many rows are done"
    reason = lacks_cost(job)
    cost = NO_COST[reason] if reason else f"Cost so far: {money(job.job_cost or 0)} USD."
    return f"{job.status.value}, {rows}. {cost}"


def _question(job: Job, standing: str) -> str:
    """Word the effect of cancelling for a person who decides in the host's dialog.

    It says "stop": "cancel" is what the dialog's own button does.
    """
    name = f"{quote(job.name, _ASKED_NAME_CHARS)} ({job.job_id})" if job.name else job.job_id
    return f"Stop the Sutro job {name}?\n\nStatus: {standing}\nIt cannot be undone: {_LOST}."


def _not_given(job: Job, given: Answer, *, may_confirm: bool) -> CancelAnswer:
    """Say what happened when the person did not agree, and what is left to do; after a no, nothing."""
    happened = {
        Consent.DECLINED: "The user was asked in the host and said no",
        Consent.DISMISSED: "The user was asked in the host and closed the question",
        Consent.LATE: "The user was asked in the host and gave no answer in time",
        Consent.UNREADABLE: "The host's reply to the question was no answer to it",
        Consent.NOT_ASKED: "The host did not show the question to the user",
    }[given.consent]
    message = f"{happened}; nothing was sent."
    if given.consent in (Consent.DECLINED, Consent.DISMISSED):
        return _answer(job, "refused", f"{message} {_shown(given)}", "Leave the job alone.")
    if may_confirm:
        how = "Ask the user in the conversation. If they agree, call cancel_job again with confirm=true."
    else:
        how = f"Tell the user; calling cancel_job again asks them anew. {_ELSEWHERE}"
    return _answer(job, "refused", message, how)


def _shown(given: Answer) -> str:
    return f"They were shown: {given.shown} What is lost: {_LOST}."


def _no_dialog(job: Job) -> CancelAnswer:
    """For a policy that takes only a person's word, in a host that cannot ask one."""
    message = (
        "This server cancels only when the user agrees in a dialog of the host (SUTRO_MCP_CANCEL=elicit). "
        "This host has none, and confirm does not replace it; nothing was sent."
    )
    return _answer(job, "refused", message, f"Tell the user. {_ELSEWHERE}")


async def _write_down(ctx: Ctx, job: Job, outcome: str, **fields: Any) -> None:
    """Put a line into the audit log. Raises AuditError when it cannot be written."""
    if audit := app_of(ctx).audit:
        doing = f"cancel {job.job_id}"
        await audit.record(doing, _EVENT, outcome, **_of_call(ctx, job), **fields)


def _of_call(ctx: Ctx, job: Job) -> dict[str, str]:
    return {"job_id": job.job_id, "status": job.status.value, "request_id": str(ctx.request_id)[:_ID_CHARS]}


async def _send(ctx: Ctx, job: Job, agreed: str) -> CancelAnswer:
    """Write down that `job` is to be stopped and how the person `agreed`; then ask the deployment once."""
    await _write_down(ctx, job, "sending", agreed=agreed)
    outcome, status = "failed", None
    try:
        answer = await _sent(app_of(ctx).client, job)
        outcome, status = answer.outcome, answer.status_after
    finally:
        if audit := app_of(ctx).audit:
            with anyio.CancelScope(shield=True):
                fields = {**_of_call(ctx, job), "status": status}
                await audit.record_if_possible(_EVENT, str(outcome), **fields)
    return answer


async def _sent(client: "ApiClient", job: Job) -> CancelAnswer:
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
        notice=notice_for(job.name),
        outcome=outcome,
        status_before=job.status.value,
        status_after=status_after.value if status_after else None,
        name=brief(job.name, _NAME_CHARS),
        message=message,
        next=next_step,
        uri=uri_to_follow(job.job_id, status_after or job.status),
        **figures,
    )


def _text(job_id: str, answer: CancelAnswer) -> str:
    """The outcome first, then the figures."""
    # The message is a sentence of ours, in which a deployment is quoted at most.
    parts = [f"{job_id}: {answer.outcome or 'preview'}.", answer.message, answer.progress(), answer.next]
    names = ("status_before", "status_after", "cost_estimate_usd")
    figures = facts([*((name, getattr(answer, name)) for name in names), ("read or watch", answer.uri)])
    name = f"\n{fenced(facts([('name', answer.name)]))}" if answer.name else ""
    return f"{' '.join(filter(None, parts))}\n{figures}{name}"
