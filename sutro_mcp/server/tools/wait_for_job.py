"""Wait for a job instead of asking again and again."""

from functools import partial
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.errors import counted
from sutro_mcp.server.answers import FailureInfo, ToolAnswer, UntrustedText, failure_facts
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.job_wait import WaitOutcome, wait
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from sutro_mcp.server.protocol.scrubbing import notifier
from sutro_mcp.server.text_format import facts, fenced
from sutro_mcp.server.uris import uri_to_follow

from .get_job_status import NEXT
from .params import JobId
from .tool import reply, tool

# With more left than this, a model pays more for waiting on than for coming back.
_LONG_SECONDS = 600
# Waits have slots of their own: they take minutes, in which they do next to nothing.
_own_limit = partial(ConcurrencyLimit, running=256, queued=0)


class WaitAnswer(ToolAnswer):
    """How the job ended, or how far it is."""

    job_id: str
    done: Annotated[bool, Field(description="False: the time is up and the job goes on")]
    status: str
    timeout_seconds: Annotated[int | None, Field(description="The time applied, if it is up")] = None
    rows_done: int | None = None
    num_rows: int | None = None
    seconds_left: Annotated[int | None, Field(description="Estimate, from the rows done meanwhile")] = None
    trouble: Annotated[UntrustedText | None, Field(description="Why the status may be out of date")] = None
    failure: FailureInfo | None = None
    next: Annotated[str, Field(description="What to call next")]
    uri: Annotated[str, Field(description="The resource to read or watch next")]


@tool("Wait for a job", limit=_own_limit)
async def wait_for_job(
    ctx: Ctx,
    job_id: JobId,
    timeout_seconds: Annotated[
        int, Field(description="Longest wait (default 45; many hosts give up at 60)", ge=1, le=300)
    ] = 45,
) -> Annotated[CallToolResult, WaitAnswer]:
    """Wait until a job has ended, with progress meanwhile; then say how it ended and what to call next.

    Use it instead of calling get_job_status again and again. done false: the time is up and the job goes on;
    call again, do not resubmit. seconds_left is an estimate. Stopping the wait does not cancel the job.
    """
    return reply_to_wait(
        await wait(app_of(ctx).client, job_id, timeout_seconds, notifier(ctx)), timeout_seconds
    )


def reply_to_wait(outcome: WaitOutcome, timeout_seconds: int | None = None) -> CallToolResult:
    """The tool's result; `timeout_seconds` is the time that is up if the job has not ended."""
    stands = outcome.stands
    done = stands.status.is_terminal
    answer = WaitAnswer(
        job_id=stands.job_id,
        done=done,
        status=stands.status.value,
        timeout_seconds=None if done else timeout_seconds,
        rows_done=outcome.rows_done,
        num_rows=outcome.num_rows,
        seconds_left=outcome.seconds_left,
        trouble=outcome.trouble,
        failure=FailureInfo.of(stands.failure),
        next=NEXT[stands.status] if done else _go_on(outcome.seconds_left),
        uri=uri_to_follow(stands.job_id, stands.status),
    )
    return reply(answer, _text(answer))


def _go_on(left: int | None) -> str:
    if left is not None and left > _LONG_SECONDS:
        about = f"It needs about {left // 60:,} more minutes."
        return f"{about} Tell the user, and call wait_for_job again later. Do not resubmit the job."
    return "Call wait_for_job again. Do not resubmit the job."


def _text(answer: WaitAnswer) -> str:
    waited = counted(answer.timeout_seconds or 0, "second")
    when = " (final)" if answer.done else f" after {waited} of waiting"
    names = ("rows_done", "num_rows", "seconds_left", "uri")
    lines = [
        f"{answer.job_id} is {answer.status}{when}. {answer.next}",
        facts((name, getattr(answer, name)) for name in names),
    ]
    if quoted := facts([("trouble", answer.trouble), *failure_facts(answer.failure)]):
        lines.append(fenced(quoted))
    return "\n".join(lines)
