"""Suggestions for ids, statuses and periods while somebody types."""

import pytest
from mcp import MCPError
from mcp.types import Completion, PromptReference, ResourceTemplateReference

from sutro_mcp.emulator import Emulator, Fault
from tests.support import Talk, talk

pytestmark = pytest.mark.anyio

JOB = "sutro://jobs/{job_id}"
RESULTS = "sutro://jobs/{job_id}/results{?offset,limit,include_inputs}"


async def complete(chat: Talk, about: str, argument: str, value: str) -> Completion:
    """Of a prompt by its name, or of a resource by its template."""
    ref = (
        ResourceTemplateReference(type="ref/resource", uri=about)
        if "://" in about
        else PromptReference(type="ref/prompt", name=about)
    )
    return (await chat.client.complete(ref, {"name": argument, "value": value})).completion


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("support-ticket-triage", ["support-ticket-triage"]),
        ("Ticket tri", ["support-ticket-triage", "support-ticket-triage-v1"]),
        ("nothing-like-this", []),
        ("---", []),
    ],
)
async def test_words_of_the_name_find_a_job(value: str, names: list[str]) -> None:
    """In any order and case, each the beginning of a word."""
    emulator = Emulator(seed_jobs=False)
    for name in ("other", "support-ticket-triage-v1", "support-ticket-triage", None):
        emulator.add_job(status="SUCCEEDED", name=name)
    wanted = [job.job_id for name in names for job in emulator.account.all() if job.name == name]
    async with talk(emulator) as chat:
        if value == "support-ticket-triage":
            wanted.append(emulator.find("support-ticket-triage-v1"))
        assert (await complete(chat, JOB, "job_id", value)).values == wanted
        assert chat.paths() == ["GET /list-jobs"]


async def test_ids_that_begin_so_come_first_newest_first(era: str) -> None:
    """Then jobs of that name."""
    emulator = Emulator(seed_jobs=False)
    for job_id, name in (("job-ab1", "x"), ("job-ab2", "y"), ("job-c", "Job AB")):
        emulator.add_job(job_id=job_id, name=name)
    async with talk(emulator, "auto" if era == "auto" else "legacy") as chat:
        assert (await complete(chat, JOB, "job_id", "JOB-AB")).values == ["job-ab2", "job-ab1", "job-c"]


@pytest.mark.parametrize("about", [RESULTS, "sutro://jobs/{job_id}/results/summary", "review_job_results"])
async def test_where_results_are_wanted_only_jobs_with_results_are_suggested(chat: Talk, about: str) -> None:
    """The others would be refused."""
    values = (await complete(chat, about, "job_id", "")).values
    assert values == [job.job_id for job in chat.emulator.account.all() if job.status == "SUCCEEDED"]


async def test_no_more_than_a_hundred_are_suggested_and_more_is_said() -> None:
    """The protocol's limit; whether older jobs match is not known without asking for them."""
    emulator = Emulator(seed_jobs=False)
    for n in range(101):
        emulator.add_job(job_id=f"job-{n:03}")
    async with talk(emulator) as chat:
        found = await complete(chat, JOB, "job_id", "job-")
        assert (len(found.values), found.total, found.has_more) == (100, None, True)
        assert found.values[0] == "job-100"
        few = await complete(chat, JOB, "job_id", "job-10")
        assert (few.values, few.has_more) == (["job-100"], True)


@pytest.mark.parametrize(
    ("about", "argument", "value", "values"),
    [
        ("sutro://jobs{?status,limit}", "status", "f", ["FAILED"]),
        ("sutro://jobs{?status,limit}", "status", "FAILED,can", ["FAILED,CANCELLING", "FAILED,CANCELLED"]),
        ("sutro://jobs{?status,limit}", "status", "RUNNING,FAILED,R", []),
        ("sutro://jobs{?status,limit}", "limit", "2", []),
        (RESULTS, "include_inputs", "T", ["true"]),
        ("spend_report", "period", "", ["24h", "7d", "30d", "90d"]),
        ("spend_report", "period", "3", ["30d"]),
        ("spend_report", "colour", "", []),
    ],
)
async def test_words_are_completed_without_a_request(
    chat: Talk, about: str, argument: str, value: str, values: list[str]
) -> None:
    """Several statuses are one value, separated by commas."""
    found = await complete(chat, about, argument, value)
    assert (found.values, found.total, found.has_more) == (values, len(values), False)
    assert chat.emulator.requests == []


async def test_eight_statuses_are_suggested_where_nothing_is_written(chat: Talk) -> None:
    """All that a filter accepts."""
    assert (await complete(chat, "sutro://jobs{?status,limit}", "status", "")).total == 8


@pytest.mark.parametrize("about", ["sutro://nothing/{id}", "no_such_prompt", "x\u202ey"])
async def test_what_does_not_exist_has_no_suggestions_but_an_error(chat: Talk, about: str) -> None:
    """Invalid params, in both eras, and visible."""
    with pytest.raises(MCPError, match="Cannot complete: there is no") as caught:
        await complete(chat, about, "job_id", "")
    assert caught.value.code == -32602
    assert "\u202e" not in str(caught.value)


async def test_a_deployment_in_trouble_is_an_error_and_not_an_account_without_jobs(chat: Talk) -> None:
    """An empty list would say that there is nothing."""
    chat.emulator.faults.add(Fault.html(502), times=9)
    with pytest.raises(MCPError, match="Cannot list jobs") as caught:
        await complete(chat, JOB, "job_id", "job")
    assert caught.value.code == -32603
