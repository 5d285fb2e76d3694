"""Every broken reply through the real server, over sockets: an answer is right, or an explicit error."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import Talk, text_of

from .cases import CASES, RIGHT, SLOW, Case
from .upstream import (
    STORE,
    Act,
    Step,
    Upstream,
    conversation,
    cut_body,
    faulty_upstream,
    json_body,
    slow_handshake,
    status,
)

pytestmark = pytest.mark.anyio

OTHER_JOB = "job-99999999-2222-4333-8444-555555555555"


@dataclass
class Bench:
    """An upstream with one finished job, a conversation about it, and what is true."""

    upstream: Upstream
    chat: Talk
    truth: dict[str, Any]
    job_id: str

    async def ask(self, tool: str) -> str:
        """`right`, or the text of the error; the test fails on anything else."""
        arguments: dict[str, Any] = {} if tool == "list_jobs" else {"job_id": self.job_id}
        if tool == "get_job_results":
            # Fetched again each time.
            arguments |= {"view": "rows", "disable_cache": True}
        result = await self.chat.result(tool, **arguments)
        if result.is_error:
            assert result.structured_content is None
            return text_of(result)
        self.truth.setdefault(tool, result.structured_content)
        assert result.structured_content == self.truth[tool]
        return RIGHT


TOOLS = ("list_jobs", "get_job", "get_job_status", "get_job_results")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests here, so that they can share a server."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def boundless_repeats() -> Iterator[None]:
    """The cases share a client, and each may need a request to be sent again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sutro_mcp.api.retries._MOST_TENTHS", 10**6)
        yield


@pytest.fixture(scope="module")
async def shared_upstream() -> AsyncIterator[Upstream]:
    """A deployment on raw sockets, without jobs."""
    async with faulty_upstream(seed_jobs=False) as upstream:
        yield upstream


@pytest.fixture(scope="module")
async def shared_bench() -> AsyncIterator[Bench]:
    """A deployment of its own with one finished job, and the truth about it."""
    async with faulty_upstream(seed_jobs=False) as upstream:
        job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a", "b", "c"], name="truth")
        async with conversation(upstream) as chat:
            bench = Bench(upstream, chat, {}, job_id)
            assert [await bench.ask(tool) for tool in TOOLS] == [RIGHT] * 4
            yield bench


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """Without faults."""
    shared_upstream.faults.clear()
    shared_upstream.paths.clear()
    return shared_upstream


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """Without faults."""
    shared_bench.upstream.faults.clear()
    shared_bench.upstream.paths.clear()
    return shared_bench


@pytest.mark.hostile
@pytest.mark.parametrize("name", CASES)
async def test_a_broken_reply_is_never_taken_for_an_answer(bench: Bench, name: str) -> None:
    """From the API as long as it lasts, from the API once, from the store as long as it lasts."""
    case = CASES[name]
    bench.upstream.add(case.fault)
    said = [await bench.ask(tool) for tool in ("list_jobs", "get_job_status")]
    assert all(case.says in text for text in said), said
    assert await bench.ask("get_job_results") == RIGHT or case.says != RIGHT
    bench.upstream.faults.clear()
    # What was left over on the connections goes first: it may cost a request that is then sent again.
    assert [await bench.ask(tool) for tool in TOOLS] == [RIGHT] * 4

    bench.upstream.add(case.fault, times=1)
    assert (await bench.ask("get_job_status") == RIGHT) == (case.passing or case.says == RIGHT)

    bench.upstream.add(case.fault, path=STORE)
    await bench.ask("get_job_results")
    bench.upstream.faults.clear()
    assert [await bench.ask(tool) for tool in TOOLS] == [RIGHT] * 4
    assert not any("job-cancel" in path for path in bench.upstream.paths)


@pytest.mark.parametrize("name", SLOW)
async def test_a_reply_that_never_ends_is_given_up_at_the_deadline(upstream: Upstream, name: str) -> None:
    """However it keeps the connection busy."""
    case: Case = SLOW[name]
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a"] * 400)
    upstream.add(case.fault)
    async with conversation(upstream, timeout=1.0, results_timeout=1.0) as chat:
        for tool in ("get_job_status", "get_job_results"):
            assert "no complete answer within 1 second" in await chat.refusal(tool, job_id=job_id)
    upstream.faults.clear()
    upstream.add(case.fault, path=STORE)
    async with conversation(upstream, results_timeout=1.0) as chat:
        assert "less than 64 KiB per second" in await chat.refusal("get_job_results", job_id=job_id)


HANDSHAKES: dict[str, Sequence[Step]] = {
    "silent": [Act.hang],
    # The head of a handshake record of 16 KiB, then what could be its content.
    "a byte every 20 ms": [b"\x16\x03\x03\x40\x00", *[b"\x00", 0.02] * 10_000],
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_a_handshake_that_never_ends_is_given_up_at_the_deadline(upstream: Upstream, name: str) -> None:
    """Of the API and of the store, and no socket stays open: pytest warns of one."""
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a"])
    async with slow_handshake(HANDSHAKES[name]) as origin:
        async with conversation(upstream, origin=origin, timeout=1.0) as chat:
            assert "no complete answer within 1 second" in await chat.refusal("list_jobs")
        upstream.add(
            json_body(lambda reply: reply | {"urls": {"get": f"{origin}/artifact"}}), path="results-url"
        )
        async with conversation(upstream, results_timeout=1.0) as chat:
            said = await chat.refusal("get_job_results", job_id=job_id)
            assert "less than 64 KiB per second" in said or "within 1 second" in said
            assert await chat.call("get_job_status", job_id=job_id)


async def test_a_deployment_that_is_not_there_is_an_error(upstream: Upstream) -> None:
    """The port is closed."""
    async with conversation(upstream, origin="http://127.0.0.1:9") as chat:
        assert await chat.refusal("list_jobs") == (
            "Cannot list jobs: nothing accepts connections at the address of the deployment "
            "(127.0.0.1:9). Check SUTRO_API_URL; `sutro-mcp check` tests it."
        )


OTHERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "status": ({"job_status": {OTHER_JOB: "FAILED"}}, "get_job_status", "another job"),
    "no status": ({"job_status": {}}, "get_job_status", RIGHT),
    "job": ({"job": {"job_id": OTHER_JOB, "status": "FAILED"}}, "get_job", "another job"),
    "no id": ({"job": {"status": "FAILED"}}, "get_job", "without an id"),
    "jobs is null": ({"jobs": None}, "list_jobs", "no list of jobs"),
    "a job is 7": ({"jobs": [7]}, "list_jobs", "without an id"),
    "link": ({"job_id": OTHER_JOB}, "get_job_results", "another job"),
    "format": ({"format": "csv"}, "get_job_results", "another format"),
    "no link": ({"urls": {}}, "get_job_results", "no download link"),
    "link is 7": ({"urls": {"get": 7}}, "get_job_results", "no download link"),
    "link to a file": ({"urls": {"get": "file:///etc/passwd"}}, "get_job_results", "not https"),
    "link to metadata": (
        {"urls": {"get": "https://169.254.169.254/x"}},
        "get_job_results",
        "private address",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_a_reply_about_something_else_is_refused(upstream: Upstream, name: str) -> None:
    """Another job, another shape, another place."""
    changed, tool, says = OTHERS[name]
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a"])
    upstream.add(json_body(lambda reply: reply | changed))
    async with conversation(upstream) as chat:
        result = await chat.result(tool, **({} if tool == "list_jobs" else {"job_id": job_id}))
        if says == RIGHT:
            # Not known is not a guess.
            assert result.structured_content is not None
            assert result.structured_content["status"] == "UNKNOWN"
        else:
            assert says in text_of(result)
            assert result.is_error


STRANGE: dict[str, Any] = {
    "status": 7,
    "num_rows": -5,
    "num_rows_done": "many",
    "job_cost": "free",
    "datetime_created": "yesterday",
    "datetime_completed": 10**30,
    "model": None,
    "name": {"a": []},
    "failure_reason": [[]],
    "a_field_of_tomorrow": 1,
}


@pytest.mark.parametrize("name", STRANGE)
async def test_a_field_of_a_strange_type_does_not_hide_the_others(upstream: Upstream, name: str) -> None:
    """Read tolerantly, shown as unknown, never guessed."""
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a"], name="kept", model="m")
    upstream.add(json_body(lambda reply: {"job": reply["job"] | {name: STRANGE[name]}}))
    async with conversation(upstream) as chat:
        answer = await chat.call("get_job", job_id=job_id)
    assert answer["job_id"] == job_id
    assert "a_field_of_tomorrow" not in answer
    if name == "status":
        assert answer["status"] == "UNKNOWN"
    if name != "name":
        assert answer["name"] == "kept"
    if name == "num_rows":
        assert "num_rows" not in answer


async def test_a_storm_passes_and_the_answer_is_right(upstream: Upstream) -> None:
    """Two different failures in a row, for each request."""
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a", "b"])
    storm = [
        status(503),
        cut_body(0.5),
        status(502, b"<html></html>", "text/html"),
    ]
    async with conversation(upstream) as chat:
        for path, tool in (("job-status", "get_job_status"), (STORE, "get_job_results")):
            for fault in storm[:2]:
                upstream.add(fault, path=path, times=1)
            assert await chat.call(tool, job_id=job_id)
            for fault in storm:
                upstream.add(fault, path=path, times=1)
            if tool == "get_job_status":
                assert "(502)" in await chat.refusal(tool, job_id=job_id)
