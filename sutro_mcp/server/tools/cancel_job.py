"""Stop a job: the one tool that ends something, and whose word it takes for that."""

from typing import Annotated

from mcp.types import CallToolResult, InputRequiredResult
from pydantic import Field

from sutro_mcp.api import Job
from sutro_mcp.server import cancelling
from sutro_mcp.server import text_format as text
from sutro_mcp.server.answers import CancelAnswer
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.protocol.elicitation import Consent, answered, ask, can_ask
from sutro_mcp.server.tools.params import JobId
from sutro_mcp.server.tools.tool import destructive_tool, reply

# What the docstring below does not say truly under these policies.
BY_POLICY = {
    "allow": """Ask Sutro to stop one job, at once. It cannot be undone, and finished rows may be billed.

This server is set up to act without a preview, so ask the user before the call. Cancelling takes a while:
outcome "requested" is not yet "confirmed".""",
    "elicit": """Ask Sutro to stop one job. It cannot be undone, and finished rows may be billed.

The host asks the user; only their answer there counts, not confirm. Cancelling takes a while: outcome
"requested" is not yet "confirmed".""",
}


@destructive_tool("Cancel a job")
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
    answer = cancelling.settled(job) or await _decide(ctx, job, consent, confirm=confirm)
    return reply(answer, text.cancel(answer), [answer.uri]) if isinstance(answer, CancelAnswer) else answer


async def _decide(
    ctx: Ctx, job: Job, consent: Consent | None, *, confirm: bool
) -> CancelAnswer | InputRequiredResult:
    """Cancel, or find out whether the policy and the person allow it."""
    client, policy = app_of(ctx).client, app_of(ctx).settings.cancel
    if policy == "allow" or (policy == "confirm" and confirm):
        return await cancelling.send(client, job)
    if not can_ask(ctx):
        return cancelling.no_dialog(job) if policy == "elicit" else await cancelling.preview(client, job)
    if consent is None:
        asked = await ask(ctx, await cancelling.question(client, job), "Stop this job")
        if isinstance(asked, InputRequiredResult):
            return asked
        consent = asked
        if consent is Consent.GIVEN:
            # A person takes a while, and the job went on meanwhile.
            job = await client.get_job(job.job_id)
    if consent is not Consent.GIVEN:
        return cancelling.not_given(job, consent, may_confirm=policy == "confirm")
    return cancelling.settled(job) or await cancelling.send(client, job)
