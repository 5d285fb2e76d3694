"""Stopping a job: nothing without consent, nothing to a finished job, and exact words about the outcome."""

import httpx
import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from sutro_mcp.settings import Settings
from tests.support import Era, Talk, talk

pytestmark = pytest.mark.anyio

RUNNING = "catalogue-copy-refresh"


def cancels(chat: Talk) -> list[str]:
    """Requests to cancel that left since the last look."""
    return [path for path in chat.paths() if "job-cancel" in path]


async def test_without_consent_it_previews_and_sends_nothing(era: Era) -> None:
    """Status, rows done, cost, and what is lost."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", status="RUNNING", name="Labels", num_rows=1_000, cost_estimate=0.5)
    async with talk(emulator, era) as chat:
        assert await chat.text("cancel_job", job_id="job-1") == snapshot("""\
job-1: preview. This is a preview, nothing was sent. What is lost: a cancelled job has no results, and rows that are done may still be billed. 500 of 1,000 rows done (50.0%), 21,995.0 tokens/s. Sutro tells the cost when a job has ended. If the user agrees, call cancel_job again with confirm=true.
status_before: RUNNING
cost_estimate_usd: 0.5
read or watch: sutro://jobs/job-1/status
<data>
name: Labels
</data>\
""")
        assert cancels(chat) == []
    assert emulator.job("job-1").status == "RUNNING"


@pytest.mark.parametrize(
    ("rows", "job_cost", "stream", "message"),
    [
        (2, 1.25, None, "1 of 2 rows done (50.0%)"),
        (0, None, None, "0 of 0 rows done"),
        (9, None, Fault.json(404, "no stream"), "How many rows are done is not known."),
        (9, None, Fault.raw(b""), "How many rows are done is not known."),
        (9, None, Fault.raw(b'{"update_type":"heartbeat"}\n'), "How many rows are done is not known."),
    ],
    ids=["one", "none", "refused", "silent", "heartbeat-only"],
)
async def test_a_preview_says_what_it_knows(
    rows: int, job_cost: float | None, stream: Fault | None, message: str
) -> None:
    """The stream is a courtesy; a cost that is reported is shown."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job(status="RUNNING", num_rows=rows, job_cost=job_cost, name=None)
    if stream:
        emulator.faults.add(stream, path="/stream-job-progress/*", times=9)
    async with talk(emulator) as chat:
        text = await chat.text("cancel_job", job_id=job_id)
    assert message in text
    assert ("Cost so far: 1.25 USD." in text) is (job_cost is not None)
    assert ("Sutro tells the cost when a job has ended." in text) is (job_cost is None)
    assert "<data" not in text


async def test_the_preview_of_a_queued_job_needs_no_stream(chat: Talk) -> None:
    """Nothing can be done yet."""
    answer = await chat.call("cancel_job", job_id=chat.emulator.find("legal-clause-tagging"))
    assert answer["rows_done"] == 0
    assert not any("stream" in path for path in chat.paths())


async def test_with_consent_it_asks_once_and_reads_the_status_after(era: Era) -> None:
    """Requested is not confirmed."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", status="RUNNING", name="Labels", num_rows=1_000)
    async with talk(emulator, era) as chat:
        assert await chat.text("cancel_job", job_id="job-1", confirm=True) == snapshot("""\
job-1: requested. The job is being cancelled; it is not cancelled yet. Call get_job_status until it says CANCELLED or another final state.
status_before: RUNNING
status_after: CANCELLING
read or watch: sutro://jobs/job-1/status
<data>
name: Labels
</data>\
""")
        assert chat.paths() == ["GET /jobs/job-1", "GET /job-cancel/job-1", "GET /job-status/job-1"]


async def stopped(emulator: Emulator) -> str:
    """The first line of the answer to a consented call about job-1."""
    # A drop is an exception in the app; the product must see a broken connection, as on a socket.
    async with talk(emulator, transport=_Wire(emulator)) as chat:
        text = await chat.text("cancel_job", job_id="job-1", confirm=True)
        return text.splitlines()[0]


async def test_what_need_not_be_stopped_is_never_asked_to() -> None:
    """A deployment may damage a status that is final, and a first request stands."""
    lines: list[str] = []
    for status in ("SUCCEEDED", "FAILED", "CANCELLED", "CANCELLING"):
        emulator = Emulator(seed_jobs=False)
        emulator.add_job(job_id="job-1", status=status)
        lines.append(await stopped(emulator))
        assert not any("job-cancel" in request.path for request in emulator.requests)
    assert "\n".join(lines) == snapshot("""\
job-1: refused. The job had already ended as SUCCEEDED; no request was sent. Read its results with get_job_results.
job-1: refused. The job had already ended as FAILED; no request was sent. Nothing to do.
job-1: refused. The job had already ended as CANCELLED; no request was sent. Nothing to do.
job-1: requested. Cancellation was asked for before; no second request was sent. Call get_job_status until it says CANCELLED or another final state.\
""")


PAGE = Fault.raw(b"<html></html>", media_type="text/html")
TOO_LATE = Fault.raw(b'{"cancelled":false,"message":"too late"}')


async def test_the_outcome_is_what_is_known() -> None:
    """A lost reply is unknown until a status read says more; it is never sent twice."""
    lines: list[str] = []
    for case, reply, status in (
        ("reply dropped, but it arrived", Fault.dropped(), None),
        ("gateway timeout, then running", Fault.html(524), "RUNNING"),
        ("gateway error, then cancelled", Fault.html(502), "CANCELLED"),
        ("nothing can be read", Fault.html(502), "broken"),
        ("a web page", PAGE, "RUNNING"),
        ("race won by success", None, "SUCCEEDED"),
        ("race won by failure", None, "FAILED"),
        ("done at once", None, "CANCELLED"),
        ("accepted, not yet visible", None, "RUNNING"),
        ("accepted, then blind", None, "broken"),
        ("refused with a reason", TOO_LATE, "RUNNING"),
        ("refused without a reason", Fault.raw(b'{"cancelled":false}'), "RUNNING"),
    ):
        emulator = Emulator(seed_jobs=False)
        emulator.add_job(job_id="job-1", status="RUNNING", outputs=["x"] * 3)
        if reply is not None:
            emulator.faults.add(reply, path="/job-cancel/*", times=1)
        if status == "broken":
            emulator.faults.add(Fault.raw(b"{"), path="/job-status/*", times=9)
        elif status is not None:
            said = b'{"message":"","job_status":{"job-1":"%s"},"metadata":null}' % status.encode()
            emulator.faults.add(Fault.raw(said), path="/job-status/*", times=1)
        lines.append(f"{case} → {await stopped(emulator)}")
        assert sum("job-cancel" in request.path for request in emulator.requests) == 1, case
    assert "\n".join(lines) == snapshot("""\
reply dropped, but it arrived → job-1: requested. The job is being cancelled; it is not cancelled yet. Call get_job_status until it says CANCELLED or another final state.
gateway timeout, then running → job-1: unknown. No usable reply came, so it is not known whether the request was carried out. Call get_job_status; if the job still runs in a minute, call cancel_job again.
gateway error, then cancelled → job-1: confirmed. The job is cancelled. Nothing to do.
nothing can be read → job-1: unknown. No usable reply came, so it is not known whether the request was carried out. Call get_job_status; if the job still runs in a minute, call cancel_job again.
a web page → job-1: unknown. No usable reply came, so it is not known whether the request was carried out. Call get_job_status; if the job still runs in a minute, call cancel_job again.
race won by success → job-1: refused. The job ended as SUCCEEDED before it could be cancelled. Read its results with get_job_results.
race won by failure → job-1: refused. The job ended as FAILED before it could be cancelled. Nothing to do.
done at once → job-1: confirmed. The job is cancelled. Nothing to do.
accepted, not yet visible → job-1: requested. The deployment accepted the request; it still says RUNNING. Call get_job_status until it says CANCELLED or another final state.
accepted, then blind → job-1: requested. The deployment accepted the request; its status could not be read afterwards. Call get_job_status until it says CANCELLED or another final state.
refused with a reason → job-1: refused. The deployment did not accept the request: "too late". Call get_job to see the job.
refused without a reason → job-1: refused. The deployment did not accept the request. Call get_job to see the job.\
""")


class _Wire(httpx.ASGITransport):
    """Turns an app that gives up into a connection that breaks after the app has acted."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(app=emulator.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except ConnectionError as error:
            raise httpx.RemoteProtocolError("connection lost", request=request) from error


async def test_a_rate_limit_is_a_refusal_that_says_how_long(chat: Talk) -> None:
    """Nothing was done, so nothing is unknown."""
    chat.emulator.faults.add(Fault.rate_limited(7), path="/job-cancel/*", times=None)
    refusal = await chat.refusal("cancel_job", job_id=chat.emulator.find(RUNNING), confirm=True)
    assert "Wait 7 seconds" in refusal


async def test_an_older_deployment_is_asked_by_post() -> None:
    """405 to GET, then POST, once."""
    emulator = Emulator(variant=ApiVariant(cancel_methods="post"))
    job_id = emulator.find(RUNNING)
    async with talk(emulator) as chat:
        assert (await chat.call("cancel_job", job_id=job_id, confirm=True))["outcome"] == "requested"
        assert cancels(chat) == [f"GET /job-cancel/{job_id}", f"POST /job-cancel/{job_id}"]


async def test_the_policy_is_the_operators(emulator: Emulator) -> None:
    """`allow` cancels at once, and says so; with `off` and read-only there is no such tool, nor word of it."""
    job_id = emulator.find(RUNNING)
    for settings in (
        Settings(cancel="off"),
        Settings(read_only=True),
        Settings(read_only=True, cancel="allow"),
    ):
        async with talk(emulator, settings=settings) as chat:
            assert "cancel_job" not in [tool.name for tool in (await chat.client.list_tools()).tools]
            assert "cancel_job" not in (chat.client.instructions or "")
            with pytest.raises(Exception, match="Unknown tool: 'cancel_job'"):
                await chat.result("cancel_job", job_id=job_id, confirm=True)
            assert cancels(chat) == []
    async with talk(emulator, settings=Settings(cancel="allow")) as chat:
        tools = {tool.name: tool.description or "" for tool in (await chat.client.list_tools()).tools}
        assert "There is no preview" in tools["cancel_job"]
        assert (await chat.call("cancel_job", job_id=job_id))["outcome"] == "requested"
