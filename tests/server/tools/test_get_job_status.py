"""Where a job stands, and what to do next."""

import re

import pytest
from inline_snapshot import snapshot

from tests.support import Talk

pytestmark = pytest.mark.anyio


async def test_every_status_says_whether_it_is_final_and_what_next(chat: Talk) -> None:
    """All eight words, in both channels."""
    said: list[str] = []
    for name in (
        "legal-clause-tagging", "quarterly-nps-coding", "catalogue-copy-refresh", "forum-moderation-backfill",
        "warehouse-notes-import", "support-ticket-triage", "contract-summaries", "crm-dedupe-v2",
    ):  # fmt: skip
        job_id = chat.emulator.find(name)
        said.append((await chat.text("get_job_status", job_id=job_id)).replace(job_id, "ID"))
    # The emulator's clock runs on.
    assert re.sub(r"about [\d,]+ s", "about N s", "\n".join(said)) == snapshot("""\
ID is QUEUED. Call wait_for_job; the job has not started.
read or watch: sutro://jobs/ID/status
ID is STARTING. Call wait_for_job; the job is starting.
read or watch: sutro://jobs/ID/status
ID is RUNNING. Call wait_for_job; results exist only after SUCCEEDED.
2,059 of 5,000 rows done (41.2%), 112.0 tokens/s, about N s left. Sutro tells the cost when a job has ended.
read or watch: sutro://jobs/ID/status
ID is CANCELLING. Call wait_for_job; cancellation was asked for but is not done.
2,480 of 8,000 rows done (31.0%), 38.0 tokens/s. Sutro tells the cost when a job has ended.
read or watch: sutro://jobs/ID/status
ID is UNKNOWN. Call wait_for_job; the deployment cannot tell at present.
read or watch: sutro://jobs/ID/status
ID is SUCCEEDED (final). Call get_job_results.
read or watch: sutro://jobs/ID/results/summary
ID is FAILED (final). Call get_job for the settings it ran with; a failed job has no results.
read or watch: sutro://jobs/ID
<data>
failure: Worker lost while processing rows; the retry limit was reached.
failure_context: worker=w-07 attempt=3 last_row=496
</data>
ID is CANCELLED (final). Nothing to do; a cancelled job has no results.
read or watch: sutro://jobs/ID\
""")
