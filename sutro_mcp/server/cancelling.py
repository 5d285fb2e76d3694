"""What cancel_job says and sends: the facts before consent, the request after it, and what came of it.

A finished job is never asked to stop (a deployment may damage its status). The words are exact: "requested"
is not "confirmed", and a lost reply is "unknown" until a status read says more.
"""

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import anyio

from sutro_mcp.api import CancelReply, Job, Status
from sutro_mcp.errors import (
    RateLimitedError,
    SutroError,
    TemporaryError,
    UnexpectedReplyError,
    WrongDeploymentError,
)
from sutro_mcp.server.protocol.elicitation import Consent
from sutro_mcp.untrusted import quote

from .answers import CancelAnswer, Outcome
from .job_outputs import brief, uri_to_follow

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

# The facts are worth a short look at the progress stream, not a wait.
_PROGRESS_SECONDS = 2.0
_NAME_CHARS = 200
_ASKED_NAME_CHARS = 80

_FOLLOW = "Call get_job_status until it says CANCELLED or another final state."
_ELSEWHERE = "They can also cancel it with Sutro's own CLI, or here in a host that supports MCP elicitation."
_NOT_GIVEN = {
    Consent.DECLINED: "The user was asked through the host, and the answer was no; nothing was sent.",
    Consent.DISMISSED: "The user was asked through the host, and closed the question; nothing was sent.",
    Consent.LATE: "The user was asked through the host, and no answer came in time; nothing was sent.",
    Consent.UNREADABLE: "The host's reply to the question was no answer to it; nothing was sent.",
    Consent.NOT_ASKED: "The host could not show the user the question; nothing was sent.",
}


def settled(job: Job) -> CancelAnswer | None:
    """The answer for a job that must not be asked to stop; None for one that may be."""
    if job.status.is_terminal:
        results = (
            "Read its results with get_job_results." if job.status is Status.SUCCEEDED else "Nothing to do."
        )
        message = f"The job had already ended as {job.status.value}; no request was sent."
        return _answer(job, "refused", message, results, job.status)
    if job.status is Status.CANCELLING:
        message = "Cancellation was asked for before; no second request was sent."
        return _answer(job, "requested", message, _FOLLOW, job.status)
    return None


async def preview(client: "ApiClient", job: Job) -> CancelAnswer:
    """What cancelling would do, for an assistant to show."""
    done = await _rows_done(client, job)
    message = "This is a preview, nothing was sent. "
    message += "How many rows are done is not known." if done is None else f"{done:,} rows are done."
    if done != 0:
        message += " They may still be billed, and are lost."
    message += " A cancelled job has no results."
    message += " The cost so far is not reported while a job runs." if job.job_cost is None else ""
    answer = _answer(job, None, message, "If the user agrees, call cancel_job again with confirm=true.")
    facts = {"rows_done": done, "cost_usd": job.job_cost, "cost_estimate_usd": job.cost_estimate}
    return answer.model_copy(update=facts)


async def question(client: "ApiClient", job: Job) -> str:
    """What cancelling would do, for a person to decide on in the host's dialog.

    It says "stop": "cancel" is what the dialog's own button does.
    """
    done = await _rows_done(client, job)
    total = "" if job.num_rows is None else f" of {job.num_rows:,}"
    rows = "it is not known how many rows are done" if done is None else f"{done:,}{total} rows done"
    name = f"{quote(job.name, _ASKED_NAME_CHARS)} ({job.job_id})" if job.name else job.job_id
    lost = "It cannot be undone: a cancelled job has no results"
    lost += "." if done == 0 else ", and rows that are done may still be billed."
    return f"Stop the Sutro job {name}?\n\nStatus: {job.status.value}, {rows}.\n{lost}"


def not_given(job: Job, consent: Consent, *, may_confirm: bool) -> CancelAnswer:
    """What to do when the person was asked and did not agree; some hosts decline without showing anything."""
    if may_confirm:
        how = "If the user did not see the question and agrees, call cancel_job again with confirm=true."
    else:
        how = f"Call cancel_job again to have them asked anew. {_ELSEWHERE}"
    only = "Leave the job alone unless the user asks for it. " if consent is Consent.DECLINED else ""
    return _answer(job, "refused", _NOT_GIVEN[consent], only + how)


def no_dialog(job: Job) -> CancelAnswer:
    """For a policy that takes only a person's word, in a host that cannot ask one."""
    message = (
        "This server cancels only when the user agrees in a dialog of the host (SUTRO_MCP_CANCEL=elicit). "
        "This host has none, and confirm does not replace it; nothing was sent."
    )
    return _answer(job, "refused", message, f"Tell the user. {_ELSEWHERE}")


async def send(client: "ApiClient", job: Job) -> CancelAnswer:
    """Ask the deployment once to stop `job`, and read what came of it."""
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
    return _answer(job, outcome, message, next_step, after)


def _judge(sent: CancelReply | None, after: Status | None) -> tuple[Outcome, str, str]:
    """Outcome, what happened and what next, from the reply (None: lost) and the status read after it."""
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
    )


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
