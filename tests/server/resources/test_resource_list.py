"""The entries of a host's picker: jobs, newest first and page by page, and something even without Sutro."""

import pytest
from inline_snapshot import snapshot
from mcp import Client, MCPError
from mcp.types import Resource

from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault
from sutro_mcp.server.resources.resource_list import serve_listing
from tests.server.tools.accounts import three_jobs
from tests.server.tools.test_untrusted_text import FORBIDDEN, HOSTILE
from tests.support import Era, Talk, server_for, talk

pytestmark = pytest.mark.anyio


async def _of_jobs(chat: Talk) -> list[Resource]:
    """The first page, without the skill, which is there whatever the jobs."""
    page = await chat.client.list_resources()
    return [resource for resource in page.resources if not resource.uri.startswith("skill:")]


def _lines(resources: list[Resource]) -> str:
    """All that is said of each resource."""
    lines: list[str] = []
    for resource in resources:
        assert resource.mime_type == "application/json"
        changed = resource.annotations.last_modified if resource.annotations else None
        lines.append(f"{resource.uri} {changed}")
        lines.append(f"  {resource.name} | {resource.title} | {resource.description}")
    return "\n".join(lines)


async def test_each_job_is_offered_once(era: Era) -> None:
    """And can be read."""
    emulator = three_jobs()
    async with talk(emulator, era) as chat:
        listed = await _of_jobs(chat)
        assert _lines(listed) == snapshot("""\
sutro://jobs None
  jobs | Newest jobs | The 20 newest jobs with status, size, run time and cost.
sutro://jobs/job-a 2026-03-01T12:01:10Z
  Labels, first | Labels, first (SUCCEEDED) | Job job-a, model "m", 2 rows, created 2026-03-01T12:00:00Z
sutro://jobs/job-b 2026-03-01T12:00:10Z
  Nightly run | Nightly run (RUNNING) | Job job-b, model "m", 1,200 rows, created 2026-03-01T12:00:00Z
sutro://jobs/job-c 2026-03-01T12:01:00Z
  job-c | job-c (FAILED) | Job job-c, model "m", 1 row, created 2026-03-01T12:00:00Z, failed: "x"\
""")
        for resource in listed:
            assert await chat.read(resource.uri)


async def test_pages_joined_are_all_jobs_newest_first(chat: Talk) -> None:
    """One request each; the entry for all jobs stands on the first alone."""
    uris: list[str] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor:
        page = await chat.client.list_resources(cursor=cursor)
        uris += [resource.uri for resource in page.resources if not resource.uri.startswith("skill:")]
        cursor, pages = page.next_cursor, pages + 1
    assert uris[0] == "sutro://jobs"
    assert uris.count("sutro://jobs") == 1
    jobs = [uri.removeprefix("sutro://jobs/") for uri in uris if uri.count("/") == 3]
    assert jobs == [job.job_id for job in chat.emulator.account.all()]
    assert len(set(uris)) == len(uris)
    assert pages == 2
    assert chat.paths() == ["GET /list-jobs"] * 2


async def test_a_cursor_that_is_none_is_refused(chat: Talk) -> None:
    """Invalid params in both eras, with the way out; a cursor of list_jobs belongs to another question."""
    of_jobs = (await chat.call("list_jobs", limit=3))["next_cursor"]
    for cursor in ("oops", "eyJhIjoxfQ", "x" * 5_000, of_jobs):
        words = "none of its cursors.*List them again without a cursor"
        with pytest.raises(MCPError, match=words) as caught:
            await chat.client.list_resources(cursor=cursor)
        assert caught.value.code == -32602


async def test_lists_of_one_page_have_no_second(chat: Talk) -> None:
    """The same page again and again would be a list without end."""
    client = chat.client
    for ask in (client.list_tools, client.list_prompts, client.list_resource_templates):
        with pytest.raises(MCPError, match="has one page only") as caught:
            await ask(cursor="more")
        assert caught.value.code == -32602


async def test_the_list_comes_without_jobs_when_sutro_does_not_answer(emulator: Emulator, era: Era) -> None:
    """It says what is missing and why, and no client keeps it; a later page is an error instead."""
    async with talk(emulator, era) as chat:
        cursor = (await chat.client.list_resources()).next_cursor
        assert cursor
    async with talk(emulator, era) as chat:
        emulator.faults.add(Fault.html(502), times=8)
        page = await chat.client.list_resources()
        only, _ = page.resources
        assert only.uri == "sutro://jobs"
        assert "The jobs themselves are missing here: Cannot list jobs" in (only.description or "")
        assert (page.next_cursor, page.ttl_ms) == (None, 0)
        with pytest.raises(MCPError, match="Cannot list jobs") as caught:
            await chat.client.list_resources(cursor=cursor)
        assert caught.value.code == -32603
        assert len(await _of_jobs(chat)) > 25


async def test_the_list_does_not_wait_for_a_sutro_that_hangs(emulator: Emulator, era: Era) -> None:
    """Hosts ask when they connect, and would seem to hang as well."""
    emulator.faults.add(Fault.slow(30), times=None)
    server = server_for(emulator)
    serve_listing(server, seconds=0.05)
    async with Client(server, mode=era) as client:
        only, _ = (await client.list_resources()).resources
        assert "took longer than 0.05 seconds. List the resources again." in (only.description or "")


async def test_the_list_comes_without_a_key(era: Era) -> None:
    """And names the setting."""
    async with talk(Emulator(), era, key="sk_wrong_key_1234") as chat:
        (only,) = await _of_jobs(chat)
        assert "SUTRO_API_KEY" in (only.description or "")
        assert DEMO_KEY not in (only.description or "")


async def test_text_of_others_is_visible_short_and_on_one_line(era: Era) -> None:
    """A picker shows it as it is."""
    emulator = Emulator(seed_jobs=False)
    texts = {"name": HOSTILE + "x" * 9_000, "model": HOSTILE, "failure_reason": {"message": HOSTILE * 99}}
    emulator.add_job(status="FAILED", **texts)
    async with talk(emulator, era) as chat:
        _, job = await _of_jobs(chat)
        for text in (job.name, job.title or "", job.description or ""):
            assert not FORBIDDEN.search(text)
            assert "\n" not in text
            assert len(text) < 500


async def test_a_job_whose_id_cannot_be_asked_for_is_not_offered(chat: Talk) -> None:
    """A deployment may say anything."""
    odd = b'{"jobs": [{"job_id": "../job-cancel/job-1"}, {"job_id": "job-1"}], "next_cursor": null}'
    chat.emulator.faults.add(Fault.raw(odd), path="/list-jobs", times=1)
    listed = await _of_jobs(chat)
    offered = ["sutro://jobs", "sutro://jobs/job-1"]
    assert [resource.uri for resource in listed] == offered


async def test_cache_hints_tell_what_is_fixed_from_what_is_somebodys(emulator: Emulator) -> None:
    """Jobs are private and fresh for seconds; what the server offers is the same for all."""
    job_id = emulator.find("support-ticket-triage")
    async with talk(emulator) as chat:
        client = chat.client
        read = await client.read_resource(f"sutro://jobs/{job_id}")
        assert (read.ttl_ms, read.cache_scope) == (2_000, "private")
        listed = await client.list_resources()
        assert (listed.ttl_ms, listed.cache_scope) == (5_000, "private")
        # Which tools there are depends on what the host can show.
        for ask, scope in (
            (client.list_tools, "private"),
            (client.list_prompts, "public"),
            (client.list_resource_templates, "public"),
        ):
            fixed = await ask()
            assert (fixed.ttl_ms, fixed.cache_scope) == (3_600_000, scope)
