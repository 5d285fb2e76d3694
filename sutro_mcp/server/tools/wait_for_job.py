"""Wait for a job instead of asking again and again."""

from functools import partial
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.errors import counted
from sutro_mcp.server.answers import (
    FailureInfo,
    ProgressAnswer,
    UntrustedText,
    failure_facts,
    figures_of,
    notice_for,
)
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.job_wait import WaitOutcome, wait
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from sutro_mcp.server.protocol.scrubbing import notifier
from sutro_mcp.server.text_answers import facts, fenced
from sutro_mcp.server.uris import uri_to_follow

from .get_job_status import NEXT
from .offered_tool import reply, tool
from .params import JobId

# With more left than this, a model pays more for waiting on than for coming back.
_LONG_SECONDS = 600
# Waits have slots of their own: they take minutes, in which they do next to nothing.
_own_limit = partial(ConcurrencyLimit, running=256, queued=0, each=8)


class WaitAnswer(ProgressAnswer):
    """How the job ended, or how far it is."""

    done: Annotated[bool, Field(description="False: it goes on")]
    status: str
    timeout_seconds: int | None = None
    stalled_seconds: Annotated[int | None, Field(description="Without a new row")] = None
    trouble: Annotated[UntrustedText | None, Field(description="Why the status may be out of date")] = None
    failure: FailureInfo | None = None
    next: str
    uri: str


@tool("Wait for a job", limit=_own_limit)
async def wait_for_job(
    ctx: Ctx,
    job_id: JobId,
    timeout_seconds: Annotated[
        int, Field(description="Default 45; many hosts give up at 60", ge=1, le=300)
    ] = 45,
) -> Annotated[CallToolResult, WaitAnswer]:
    """Wait until a job has ended or the time is up, and say how it ended or how far it is.

    Use it instead of get_job_status in a loop. When the time is up, call again: do not resubmit. Stopping
    the wait does not cancel the job.
    """
    app = app_of(ctx)
    outcome = await wait(app.client, job_id, timeout_seconds, notifier(ctx), app.ending)
    return reply_to_wait(outcome, timeout_seconds)


def reply_to_wait(outcome: WaitOutcome, timeout_seconds: int | None = None) -> CallToolResult:
    """The tool's result; `timeout_seconds` is the time that is up if the job has not ended."""
    stands = outcome.stands
    done = stands.status.is_terminal
    failure = FailureInfo.of(stands.failure, stands.status)
    answer = WaitAnswer(
        notice=notice_for(outcome.trouble, failure),
        done=done,
        status=stands.status.value,
        timeout_seconds=None if done or outcome.is_cut_short else timeout_seconds,
        stalled_seconds=None if done else outcome.stalled_seconds,
        trouble=outcome.trouble,
        failure=failure,
        next=NEXT[stands.status] if done else _go_on(outcome),
        uri=uri_to_follow(stands.job_id, stands.status),
        **figures_of(None if done else outcome.job, outcome.progress),
    )
    return reply(answer, _text(stands.job_id, answer))


def _go_on(outcome: WaitOutcome) -> str:
    if outcome.is_cut_short:
        return "The server is being restarted. Call wait_for_job again. Do not resubmit the job."
    left = outcome.progress and outcome.progress.seconds_left
    if left and left > _LONG_SECONDS:
        about = f"It needs about {left // 60:,} more minutes."
        return f"{about} Tell the user, and call wait_for_job again later. Do not resubmit the job."
    return "Call wait_for_job again. Do not resubmit the job."


def _text(job_id: str, answer: WaitAnswer) -> str:
    when = " (final)" if answer.done else ""
    if answer.timeout_seconds is not None:
        when = f" after {counted(answer.timeout_seconds, 'second')} of waiting"
    lines = [f"{job_id} is {answer.status}{when}. {answer.next}"]
    if about := answer.progress():
        lines.append(about)
    if answer.stalled_seconds:
        lines.append(f"No row was seen to be done for {counted(answer.stalled_seconds, 'second')}.")
    lines.append(facts([("read or watch", answer.uri)]))
    if quoted := facts([("trouble", answer.trouble), *failure_facts(answer.failure)]):
        lines.append(fenced(quoted))
    return "\n".join(lines)
