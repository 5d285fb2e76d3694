"""Stopping a job: nothing without consent, nothing to a finished job, and exact words about the outcome."""

from collections.abc import Callable

import httpx
import pytest

from sutro_mcp.emulator import ApiVariant, Emulator, Fault, Pace
from sutro_mcp.settings import Settings
from tests.support import Talk, talk

pytestmark = pytest.mark.anyio

RUNNING = "catalogue-copy-refresh"


def cancels(chat: Talk) -> list[str]:
    """Requests to cancel that left since the last look."""
    return [path for path in chat.paths() if "job-cancel" in path]


async def test_without_consent_it_previews_and_sends_nothing(chat: Talk) -> None:
    """Status, rows done, cost, and what is lost."""
    job_id = chat.emulator.find(RUNNING)
    answer = await chat.call("cancel_job", job_id=job_id)
    assert "outcome" not in answer
    assert "status_after" not in answer
    assert answer["status_before"] == "RUNNING"
    assert 0 < answer["rows_done"] < answer["num_rows"] == 5_000
    assert answer["cost_estimate_usd"] > 0
    assert "A cancelled job has no results" in answer["message"]
    assert "confirm=true" in answer["next"]
    assert cancels(chat) == []
    assert chat.emulator.job(job_id).status == "RUNNING"


async def test_the_preview_of_a_queued_job_needs_no_stream(chat: Talk) -> None:
    """Nothing can be done yet."""
    answer = await chat.call("cancel_job", job_id=chat.emulator.find("legal-clause-tagging"))
    assert answer["rows_done"] == 0
    assert not any("stream" in path for path in chat.paths())


@pytest.mark.parametrize(
    "fault",
    [Fault.json(404, "no stream"), Fault.raw(b""), Fault.raw(b'{"update_type":"heartbeat"}\n')],
    ids=["refused", "silent", "heartbeat-only"],
)
async def test_a_preview_without_progress_says_that_it_does_not_know(chat: Talk, fault: Fault) -> None:
    """The stream is a courtesy."""
    chat.emulator.faults.add(fault, path="/stream-job-progress/*", times=9)
    answer = await chat.call("cancel_job", job_id=chat.emulator.find(RUNNING))
    assert "rows_done" not in answer
    assert "not known" in answer["message"]


async def test_a_cost_that_is_reported_is_shown(chat: Talk) -> None:
    """Some deployments may know it early."""
    job_id = chat.emulator.add_job(status="RUNNING", outputs=["x"], job_cost=1.25)
    answer = await chat.call("cancel_job", job_id=job_id)
    assert answer["cost_usd"] == 1.25
    assert "not reported" not in answer["message"]


async def test_with_consent_it_asks_once_and_reads_the_status_after(chat: Talk) -> None:
    """Requested is not confirmed."""
    job_id = chat.emulator.find(RUNNING)
    answer = await chat.call("cancel_job", job_id=job_id, confirm=True)
    assert answer["outcome"] == "requested"
    assert (answer["status_before"], answer["status_after"]) == ("RUNNING", "CANCELLING")
    assert "not cancelled yet" in answer["message"]
    paths = chat.paths()
    assert paths == [f"GET /jobs/{job_id}", f"GET /job-cancel/{job_id}", f"GET /job-status/{job_id}"]


async def test_a_cancellation_that_is_done_at_once_is_confirmed() -> None:
    """Only because the status read afterwards says so."""
    emulator = Emulator(pace=Pace.still())
    job_id = emulator.add_job(status="RUNNING", outputs=["x"])
    emulator.faults.add(
        Fault.raw(b'{"message":"","job_status":{"%s":"CANCELLED"},"metadata":null}' % job_id.encode()),
        path="/job-status/*",
        times=1,
    )
    async with talk(emulator) as chat:
        answer = await chat.call("cancel_job", job_id=job_id, confirm=True)
    assert (answer["outcome"], answer["status_after"]) == ("confirmed", "CANCELLED")


@pytest.mark.parametrize("name", ["support-ticket-triage", "contract-summaries", "crm-dedupe-v2"])
async def test_a_finished_job_is_never_asked_to_stop(chat: Talk, name: str) -> None:
    """A deployment may damage its status."""
    answer = await chat.call("cancel_job", job_id=chat.emulator.find(name), confirm=True)
    assert answer["outcome"] == "refused"
    assert answer["status_before"] == answer["status_after"]
    assert "no request was sent" in answer["message"]
    assert cancels(chat) == []


async def test_a_job_that_is_being_cancelled_is_not_asked_again(chat: Talk) -> None:
    """The first request stands."""
    answer = await chat.call(
        "cancel_job", job_id=chat.emulator.find("forum-moderation-backfill"), confirm=True
    )
    assert answer["outcome"] == "requested"
    assert cancels(chat) == []


def _status(word: str) -> Callable[[str], bytes]:
    return lambda job_id: (
        b'{"message":"","job_status":{"%s":"%s"},"metadata":null}'
        % (
            job_id.encode(),
            word.encode(),
        )
    )


@pytest.mark.parametrize(
    ("reply", "status", "outcome", "words"),
    [
        (Fault.dropped(), None, "requested", "being cancelled"),
        (Fault.html(524), "RUNNING", "unknown", "No usable reply came"),
        (Fault.html(502), "CANCELLED", "confirmed", "is cancelled"),
        (Fault.html(502), "broken", "unknown", "No usable reply came"),
        (None, "SUCCEEDED", "refused", "ended as SUCCEEDED before"),
        (None, "FAILED", "refused", "ended as FAILED before"),
        (None, "RUNNING", "requested", "it still says RUNNING"),
        (None, "broken", "requested", "could not be read afterwards"),
        (Fault.raw(b'{"cancelled":false,"message":"too late"}'), "RUNNING", "refused", 'request: "too late"'),
        (Fault.raw(b'{"cancelled":false}'), "RUNNING", "refused", "did not accept the request."),
    ],
    ids=[
        "reply-dropped-but-it-arrived",
        "gateway-timeout-then-running",
        "gateway-error-then-cancelled",
        "nothing-can-be-read",
        "race-won-by-success",
        "race-won-by-failure",
        "accepted-not-yet-visible",
        "accepted-then-blind",
        "refused-with-reason",
        "refused-without-reason",
    ],
)
async def test_the_outcome_is_what_is_known(
    reply: Fault | None, status: str | None, outcome: str, words: str
) -> None:
    """A lost reply is unknown until a status read says more; it is never sent twice."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job(status="RUNNING", outputs=["x"] * 3)
    if reply is not None:
        emulator.faults.add(reply, path="/job-cancel/*", times=1)
    if status == "broken":
        emulator.faults.add(Fault.raw(b"{"), path="/job-status/*", times=9)
    elif status is not None:
        emulator.faults.add(Fault.raw(_status(status)(job_id)), path="/job-status/*", times=1)
    # A drop is an exception in the app; the product must see a broken connection, as on a socket.
    transport = _Wire(emulator)
    async with talk(emulator, transport=transport) as chat:
        answer = await chat.call("cancel_job", job_id=job_id, confirm=True)
        assert answer["outcome"] == outcome
        assert words in answer["message"]
        assert len(cancels(chat)) == 1


class _Wire(httpx.ASGITransport):
    """Turns an app that gives up into a connection that breaks after the app has acted."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(app=emulator.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except ConnectionError as error:
            raise httpx.RemoteProtocolError("connection lost", request=request) from error


async def test_an_older_deployment_is_asked_by_post() -> None:
    """405 to GET, then POST, once."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(cancel_methods="post"))
    job_id = emulator.add_job(status="RUNNING", outputs=["x"])
    async with talk(emulator) as chat:
        assert (await chat.call("cancel_job", job_id=job_id, confirm=True))["outcome"] == "requested"
        assert cancels(chat) == [f"GET /job-cancel/{job_id}", f"POST /job-cancel/{job_id}"]


async def test_allow_cancels_at_once_and_off_and_read_only_have_no_such_tool(emulator: Emulator) -> None:
    """The policy is the operator's."""
    job_id = emulator.find(RUNNING)
    for settings in (
        Settings(cancel="off"),
        Settings(read_only=True),
        Settings(read_only=True, cancel="allow"),
    ):
        async with talk(emulator, settings=settings) as chat:
            assert "cancel_job" not in [tool.name for tool in (await chat.client.list_tools()).tools]
            with pytest.raises(Exception, match="Unknown tool: 'cancel_job'"):
                await chat.result("cancel_job", job_id=job_id, confirm=True)
            assert cancels(chat) == []
    async with talk(emulator, settings=Settings(cancel="allow")) as chat:
        assert (await chat.call("cancel_job", job_id=job_id))["outcome"] == "requested"


async def test_the_text_says_the_same(chat: Talk) -> None:
    """Outcome, figures, and the name inside the fence."""
    preview = await chat.text("cancel_job", job_id=chat.emulator.find(RUNNING))
    assert "preview. This is a preview, nothing was sent." in preview
    assert "rows_done: " in preview
    assert f"name: {RUNNING}" in preview
    unnamed = chat.emulator.add_job(status="RUNNING", outputs=["x"], name=None)
    assert "<data" not in await chat.text("cancel_job", job_id=unnamed)
