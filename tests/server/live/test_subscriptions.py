"""Being told of a watched job, in both eras: each change once, and not a request when nobody watches."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import httpx
import pytest
from mcp import Client, MCPError, types
from mcp.server.lowlevel import Server

from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.server.context import AppContext
from tests.support import Era, Talk, server_for, talk
from tests.updates import Updates

pytestmark = pytest.mark.anyio


class Counting(httpx.AsyncBaseTransport):
    """The emulator, and a way to wait for requests to it."""

    def __init__(self, emulator: Emulator, together: int = 1) -> None:
        """The first `together` requests go on when all have come."""
        self._together = together
        self._emulator = httpx.ASGITransport(app=emulator.app)
        self.seen: list[str] = []
        self._change = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Passes it on."""
        self.seen.append(request.url.path.rpartition("/")[2])
        self._change.set()
        self._change = anyio.Event()
        while len(self.seen) < self._together:
            await self._change.wait()
        return await self._emulator.handle_async_request(request)

    async def until_read(self, job_id: str, times: int) -> None:
        """Returns when the job was read so often from now on."""
        target = self.seen.count(job_id) + times
        with anyio.fail_after(60):
            while self.seen.count(job_id) < target:
                await self._change.wait()


def queued() -> tuple[Emulator, str]:
    """One queued job, and its id."""
    emulator = Emulator(seed_jobs=False)
    return emulator, emulator.add_job(status="QUEUED", outputs=["a", "b"])


def travel(emulator: Emulator, job_id: str, journey: float) -> None:
    """Move the job: 0.15 is STARTING, 0.5 RUNNING, 1 SUCCEEDED."""
    emulator.job(job_id).travel(journey, datetime.now(UTC))


async def subscribe(chat: Talk, uri: str) -> None:
    """As a client before 2026 does."""
    request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    await chat.client.session.send_request(request, types.EmptyResult)


async def unsubscribe(chat: Talk, uri: str) -> None:
    """The same, to end it."""
    request = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
    await chat.client.session.send_request(request, types.EmptyResult)


async def is_left_alone(chat: Talk, transport: Counting, updates: Updates, job_id: str) -> bool:
    """Whether the job is not read for as long as another one, watched now, takes to be read five times."""
    other = chat.emulator.add_job(status="QUEUED")
    async with updates.watching(chat.client, f"sutro://jobs/{other}"):
        await transport.until_read(other, 1)
        reads = transport.seen.count(job_id)
        await transport.until_read(other, 5)
        return transport.seen.count(job_id) == reads


async def test_a_job_that_starts_runs_and_succeeds_is_told_of_three_times(era: Era) -> None:
    """Each change once, with what it is there to be read; after the last, no request."""
    emulator, job_id = queued()
    transport, updates = Counting(emulator), Updates()
    uri = f"sutro://jobs/{job_id}/status"
    async with talk(emulator, era, transport=transport, updates=updates) as chat:
        async with updates.watching(chat.client, uri) as agreed:
            assert agreed == [uri]
            await transport.until_read(job_id, 3)
            assert updates.waiting == 0
            for journey, status in ((0.15, "STARTING"), (0.5, "RUNNING"), (1.0, "SUCCEEDED")):
                travel(emulator, job_id, journey)
                assert await updates.next() == uri
                assert f'"status":"{status}"' in await chat.read(uri)
                if status != "SUCCEEDED":
                    await transport.until_read(job_id, 3)
            assert await is_left_alone(chat, transport, updates, job_id)
        assert updates.waiting == 0


async def test_nothing_is_requested_when_nobody_watches(chat: Talk) -> None:
    """Not when a client connects, looks at what there is and takes a prompt."""
    await chat.client.list_tools()
    await chat.client.list_prompts()
    await chat.client.list_resource_templates()
    await chat.client.get_prompt("triage_failed_jobs")
    assert chat.emulator.requests == []


async def test_who_leaves_is_told_no_more_and_costs_no_more(era: Era) -> None:
    """Although the job goes on."""
    emulator, job_id = queued()
    transport, updates = Counting(emulator), Updates()
    async with talk(emulator, era, transport=transport, updates=updates) as chat:
        async with updates.watching(chat.client, f"sutro://jobs/{job_id}"):
            await transport.until_read(job_id, 2)
        travel(emulator, job_id, 1.0)
        assert await is_left_alone(chat, transport, updates, job_id)
    assert updates.waiting == 0


async def test_a_resource_that_is_watched_twice_is_told_of_once_each(era: Era) -> None:
    """One stream each in 2026; before, one subscription, however often it is made."""
    emulator, job_id = queued()
    updates, uri = Updates(), f"sutro://jobs/{job_id}"
    async with (
        talk(emulator, era, updates=updates) as chat,
        updates.watching(chat.client, uri, uri),
        updates.watching(chat.client, uri),
    ):
        travel(emulator, job_id, 1.0)
        for _ in range(2 if era == "auto" else 1):
            assert await updates.next() == uri
        other = emulator.add_job(status="QUEUED")
        async with updates.watching(chat.client, f"sutro://jobs/{other}"):
            travel(emulator, other, 1.0)
            assert await updates.next() == f"sutro://jobs/{other}"
    assert updates.waiting == 0


@pytest.mark.parametrize(
    ("uri", "code", "words"),
    [
        ("sutro://jobs", -32602, "only a job can be watched. Use sutro://jobs/{job_id}"),
        ("sutro://jobs?limit=3", -32602, "only a job can be watched"),
        ("sutro://jobs/job-1/results?offset=3", -32602, "only a job can be watched"),
        ("sutro://jobs/job-1/rows", -32602, "only a job can be watched"),
        ("sutro://jobs/job-nope", -32002, "no such job"),
        ("sutro://jobs/job%20x/status", -32602, "list_jobs"),
        ("test://nothing", -32602, "only a job can be watched"),
    ],
)
async def test_what_cannot_be_watched_is_refused(era: Era, uri: str, code: int, words: str) -> None:
    """2026 leaves it out of the acknowledgement; before, it is an error that says why."""
    emulator, job_id = queued()
    good, updates = f"sutro://jobs/{job_id}", Updates()
    async with talk(emulator, era, updates=updates) as chat:
        if era == "auto":
            async with updates.watching(chat.client, uri, good) as agreed:
                assert agreed == [good]
            return
        with pytest.raises(MCPError) as caught:
            async with updates.watching(chat.client, uri):
                pass
        assert words in str(caught.value)
        assert (caught.value.code, caught.value.data) == (code, {"uri": uri})


async def test_a_stream_has_the_first_fifty_resources() -> None:
    """The rest is missing in its acknowledgement, and is not read."""
    emulator, updates = Emulator(seed_jobs=False), Updates()
    uris = [f"sutro://jobs/{emulator.add_job(status='QUEUED')}" for _ in range(51)]
    transport = Counting(emulator)
    async with (
        talk(emulator, transport=transport, updates=updates) as chat,
        updates.watching(chat.client, *uris) as agreed,
    ):
        assert agreed == uris[:50]
        assert uris[50].rpartition("/")[2] not in transport.seen


async def test_a_wrong_key_is_no_fault_of_the_uri(emulator: Emulator) -> None:
    """Another code, and the setting to mend."""
    updates = Updates()
    async with talk(emulator, "legacy", key="sk_wrong_key_1234", updates=updates) as chat:
        with pytest.raises(MCPError, match="SUTRO_API_KEY") as caught:
            async with updates.watching(chat.client, "sutro://jobs/job-1"):
                pass
    assert caught.value.code == -32603


async def test_a_deployment_in_trouble_does_not_keep_anyone_from_watching(era: Era) -> None:
    """The first reading that works is told, as nobody knows what was missed."""
    emulator, job_id = queued()
    updates, uri = Updates(), f"sutro://jobs/{job_id}"
    emulator.faults.add(Fault.html(502), times=6)
    async with talk(emulator, era, updates=updates) as chat, updates.watching(chat.client, uri) as agreed:
        assert agreed == [uri]
        assert await updates.next() == uri
        travel(emulator, job_id, 1.0)
        assert await updates.next() == uri


async def test_the_same_subscription_made_twice_at_once_is_one() -> None:
    """Both are answered, and one farewell ends it; one to something else does nothing."""
    emulator, job_id = queued()
    transport, updates, uri = Counting(emulator, together=2), Updates(), f"sutro://jobs/{job_id}"
    async with talk(emulator, "legacy", transport=transport, updates=updates) as chat:
        await unsubscribe(chat, uri)
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(subscribe, chat, uri)
        await unsubscribe(chat, "sutro://jobs/job-1")
        async with updates.watching(chat.client, uri):
            travel(emulator, job_id, 0.5)
            assert await updates.next() == uri
        assert await is_left_alone(chat, transport, updates, job_id)
    assert updates.waiting == 0


async def test_a_connection_that_goes_takes_its_subscriptions_along() -> None:
    """The other one is told, and the deployment is asked for its job alone."""
    emulator, job_id = queued()
    other = emulator.add_job(status="QUEUED")
    transport, updates = Counting(emulator), Updates()
    server = server_for(emulator, transport=transport)
    low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage] - the SDK has no public way
    async with low.lifespan(low) as state:

        @asynccontextmanager
        async def shared(_: Server[AppContext]) -> AsyncGenerator[AppContext]:
            yield state

        # As over HTTP, where many connections share one.
        low.lifespan = shared
        async with Client(server, mode="legacy", message_handler=updates) as stays:
            async with Client(server, mode="legacy", message_handler=updates) as goes:
                for uri in (f"sutro://jobs/{job_id}", f"sutro://jobs/{job_id}/results"):
                    await subscribe(Talk(goes, emulator), uri)
                await subscribe(Talk(stays, emulator), f"sutro://jobs/{other}")
                travel(emulator, other, 0.5)
                assert await updates.next() == f"sutro://jobs/{other}"
                await transport.until_read(job_id, 2)
            async with updates.watching(stays, f"sutro://jobs/{other}"):
                travel(emulator, job_id, 1.0)
                reads = transport.seen.count(job_id)
                await transport.until_read(other, 5)
                assert transport.seen.count(job_id) == reads
                travel(emulator, other, 1.0)
                assert await updates.next() == f"sutro://jobs/{other}"
    assert updates.waiting == 0


async def test_a_resource_that_never_changes_may_be_watched(era: Era) -> None:
    """It is there, so it is no error; and it costs nothing."""
    emulator, updates = Emulator(seed_jobs=False), Updates()
    server = server_for(emulator)
    server.resource("test://fixed", name="fixed")(lambda: "text")
    async with Client(server, mode=era, message_handler=updates) as client:
        async with updates.watching(client, "test://fixed") as agreed:
            assert agreed == ["test://fixed"]
        if era == "legacy":
            await subscribe(Talk(client, emulator), "test://fixed")
    assert updates.waiting == 0
    assert emulator.requests == []


async def test_only_what_is_kept_is_promised(chat: Talk) -> None:
    """Resources can be watched; no list announces that it has changed."""
    promised = chat.client.server_capabilities
    assert promised.resources is not None
    assert promised.resources.subscribe is True
    kinds = (promised.tools, promised.prompts, promised.resources)
    assert not any(kind.list_changed for kind in kinds if kind is not None)
