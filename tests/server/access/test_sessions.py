"""Sessions, and requests that stay open, of callers who are told apart."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from sutro_mcp.api import Status
from sutro_mcp.server.access.authentication import Authenticated, CredentialError, Reason
from sutro_mcp.server.access.guard import Guard
from sutro_mcp.server.access.token_file import add_token
from sutro_mcp.server.context import Principal
from sutro_mcp.server.transports import http_admission
from sutro_mcp.server.transports.open_requests import HttpRequests
from tests.e2e.http_process import SESSION, legacy, result_of
from tests.e2e.process import INITIALIZE

from .team import ERAS, Team, accounts, keys_folder, team, team_settings

pytestmark = pytest.mark.anyio
KEYS = {"alice": "sk_alice_0123456789", "bob": "sk_bob_0123456789"}


@asynccontextmanager
async def sticky(mode: str, folder: Path) -> AsyncGenerator[tuple[Team, dict[str, dict[str, str]]]]:
    """A server with sessions, and the headers of Alice and Bob."""
    until = datetime.now(UTC) + timedelta(days=1)
    tokens = {name: add_token(folder / "tokens", name, ["sutro:read"], until) for name in KEYS}
    keys = keys_folder(folder / "keys", **KEYS)
    headers = {
        "bearer": {name: {"authorization": f"Bearer {token}"} for name, token in tokens.items()},
        "sutro-key": {name: {"x_sutro_key": key} for name, key in KEYS.items()},
    }[mode]
    found = {"keys_dir": keys, "tokens_file": folder / "tokens"} if mode == "bearer" else {}
    async with team(team_settings(auth=mode, sessions="sticky", **found)) as served:
        yield served, headers


@pytest.mark.parametrize("mode", ["bearer", "sutro-key"])
async def test_a_session_exists_for_its_own_caller_alone(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows its id can neither use, listen to nor end it."""
    async with accounts(*KEYS.values()) as sutro:
        monkeypatch.setenv("SUTRO_API_URL", sutro.url)
        async with sticky(mode, tmp_path) as (served, headers):
            reply = await served.post(legacy("initialize", INITIALIZE), **headers["alice"])
            session = reply.headers[SESSION]
            assert '"subscribe":true' in reply.text
            request = legacy("tools/call", {"name": "list_jobs", "arguments": {}}, session)
            assert (await served.post(request, **headers["bob"])).status_code == 404
            bobs = {name.replace("_", "-"): value for name, value in headers["bob"].items()}
            named = {SESSION: session, "accept": "application/json, text/event-stream", **bobs}
            for verb, more in (("GET", {}), ("GET", {"last-event-id": "1"}), ("DELETE", {})):
                assert (await served.client.request(verb, "/mcp", headers=named | more)).status_code == 404
            cancelled = {"method": "notifications/cancelled", "params": {"requestId": 1}}
            for message in (
                cancelled,
                {"id": 1, "result": {"action": "accept", "content": {"confirm": True}}},
            ):
                reply = await served.client.post("/mcp", json={"jsonrpc": "2.0", **message}, headers=named)
                # Answering a question takes the right to cancel, which comes first.
                assert reply.status_code == (403 if mode == "bearer" and "id" in message else 404)
            assert (await served.post(request)).status_code == 401
            assert [each.requests for each in sutro.emulators.values()] == [[], []]
            assert (await served.post(request, **headers["alice"])).status_code == 200
            assert [len(each.requests) for each in sutro.emulators.values()] == [1, 0]


@pytest.mark.parametrize(("name", "limit"), [("SESSIONS", 4), ("_OWN_SESSIONS", 3)])
async def test_a_caller_makes_room_with_sessions_of_its_own(
    name: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many it opens, others keep theirs, which are idle for longer."""
    monkeypatch.setattr(http_admission, name, limit)
    async with sticky("sutro-key", tmp_path) as (served, headers):

        async def initialize(caller: str) -> str:
            reply = await served.post(legacy("initialize", INITIALIZE), **headers[caller])
            return reply.headers[SESSION]

        async def is_open(caller: str, session: str) -> bool:
            request = legacy("tools/list", {}, session)
            return (await served.post(request, **headers[caller])).status_code == 200

        alices = await initialize("alice")
        bobs = [await initialize("bob") for _ in range(5)]
        assert [await is_open("bob", session) for session in bobs] == [False, False, True, True, True]
        assert await is_open("alice", alices)


async def test_a_caller_whose_sessions_all_have_calls_opens_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears why. Another caller opens one, and does not hear what runs in a session that it only knows."""
    monkeypatch.setattr(http_admission, "_OWN_SESSIONS", 1)
    asked = anyio.Event()

    async def never_answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            asked.set()
            await anyio.sleep_forever()

    async with (
        anyio.create_task_group() as tasks,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as sutro,
    ):
        tasks.start_soon(sutro.serve, never_answer)
        monkeypatch.setenv("SUTRO_API_URL", f"http://127.0.0.1:{sutro.extra(SocketAttribute.local_port)}")  # noqa: S610
        async with sticky("sutro-key", tmp_path) as (served, headers):
            opening = legacy("initialize", INITIALIZE)
            session = (await served.post(opening, **headers["alice"])).headers[SESSION]
            call = legacy("tools/call", {"name": "list_jobs", "arguments": {}}, session)
            tasks.start_soon(partial(served.post, call, **headers["alice"]))
            with anyio.fail_after(60):
                await asked.wait()
            refused = await served.post(opening, **headers["alice"])
            assert (refused.status_code, refused.json()["id"], refused.headers["retry-after"]) == (
                429,
                1,
                "5",
            )
            assert (await served.post(opening, **headers["bob"])).status_code == 200
            assert (await served.post(call, **headers["bob"])).status_code == 404
            tasks.cancel_scope.cancel()


READER = Principal("a", "a", "bearer", frozenset({"read"}))


@dataclass
class Door:
    """Knows one caller for as long as it is open; and an app whose answer never ends."""

    expires: float | None = None
    later: Iterator[Reason | Principal] = field(default_factory=lambda: iter(()))
    """The caller when asked about again, or why it is not let in."""
    asked: int = 0

    async def is_ready(self) -> bool:
        return True

    async def __call__(self, _: Headers) -> Authenticated:
        self.asked += 1
        found = READER if self.asked == 1 else next(self.later)
        if not isinstance(found, Principal):
            raise CredentialError(found, "no")
        return Authenticated(found, self.expires)

    async def app(self, _: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.sleep_forever()

    async def get(self) -> str:
        """What a caller gets before the answer ends."""
        settings = team_settings(auth="sutro-key")
        guard = Guard(self.app, settings, self, (), recheck_seconds=0.01)
        transport = httpx.ASGITransport(app=HttpRequests(guard, self.is_ready))
        async with httpx.AsyncClient(transport=transport, base_url="https://mcp.example") as client:
            with anyio.fail_after(30):
                return (await client.get("/mcp")).text


@pytest.mark.parametrize("reason", ["missing", "malformed", "unknown", "expired", "not for us"])
async def test_what_is_open_ends_when_its_caller_is_locked_out(reason: Reason) -> None:
    """A stream is not cut while callers cannot be looked up."""
    door = Door(later=iter(("unavailable", READER, "unavailable", reason)))
    assert await door.get() == "first"
    assert door.asked == 5


async def test_what_is_open_ends_when_its_caller_may_do_less() -> None:
    """A question that waits for an answer ends with it."""
    door = Door(later=iter((READER, replace(READER, scopes=frozenset()))))
    assert await door.get() == "first"
    assert door.asked == 3


@pytest.mark.parametrize("left", [0.005, -5.0])
async def test_what_is_open_ends_when_its_credential_expires(left: float) -> None:
    """Without being asked about again; a clock may say that it has already."""
    door = Door(expires=datetime.now(UTC).timestamp() + left)
    assert await door.get() == "first"
    assert door.asked == 1


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_done_without_a_session_is_given_up_when_the_client_hangs_up(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sutro sees the connection close."""
    asked, given_up = anyio.Event(), anyio.Event()

    async def never_answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            asked.set()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            given_up.set()

    async with (
        anyio.create_task_group() as tasks,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as sutro,
    ):
        port = sutro.extra(SocketAttribute.local_port)  # noqa: S610 - no Django
        tasks.start_soon(sutro.serve, never_answer)
        monkeypatch.setenv("SUTRO_API_URL", f"http://127.0.0.1:{port}")
        async with team(team_settings(auth="sutro-key")) as served:
            with anyio.CancelScope() as calling:

                async def hang_up() -> None:
                    await asked.wait()
                    calling.cancel()

                tasks.start_soon(hang_up)
                request = ERAS[era]("tools/call", {"name": "list_jobs", "arguments": {}})
                await served.post(request, x_sutro_key=KEYS["alice"])
            with anyio.fail_after(60):
                await given_up.wait()
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_a_callers_notice_that_it_cancels_ends_no_call_of_another(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without sessions a call has no more of a name than its id, which others choose as well."""
    async with accounts(*KEYS.values()) as sutro:
        monkeypatch.setenv("SUTRO_API_URL", sutro.url)
        job_id = sutro.emulators[KEYS["alice"]].add_job(name="hers", status=Status.RUNNING)
        async with team(team_settings(auth="sutro-key")) as served:
            arguments = {"job_id": job_id, "timeout_seconds": 1}
            waits = ERAS[era]("tools/call", {"name": "wait_for_job", "arguments": arguments})
            cancels = ERAS[era]("notifications/cancelled", {"requestId": 1})
            del cancels["json"]["id"]
            replies: list[httpx.Response] = []

            async def wait() -> None:
                replies.append(await served.post(waits, x_sutro_key=KEYS["alice"]))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                while not sutro.emulators[KEYS["alice"]].requests:
                    await anyio.lowlevel.checkpoint()
                reply = await served.post(cancels, x_sutro_key=KEYS["bob"])
                assert reply.status_code == 202
            (reply,) = replies
            assert result_of(reply)["structuredContent"]["status"] == "RUNNING"


async def test_host_and_origin_are_those_of_the_public_url_or_said_by_the_operator() -> None:
    """Never those of the request, nor of a header that a proxy could have set."""
    settings = team_settings(
        auth="sutro-key", allowed_hosts=("other.example",), allowed_origins=("https://app.example",)
    )
    good: list[dict[str, str]] = [
        {"host": "mcp.example"},
        {"host": "mcp.example:443", "origin": "https://mcp.example"},
        {"host": "other.example", "origin": "https://app.example"},
    ]
    bad: dict[int, list[dict[str, str]]] = {
        421: [
            {"host": "evil.example", "origin": "https://evil.example"},
            {"host": "evil.example", "x-forwarded-host": "mcp.example", "forwarded": "host=mcp.example"},
            {"host": "mcp.example.evil.example"},
            {"host": ""},
        ],
        403: [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://mcp.example"},
            {"origin": "https://evil.example", "x-forwarded-host": "evil.example"},
        ],
    }
    async with team(settings) as served:
        request = legacy("tools/list", {})
        for expected, cases in {200: good, **bad}.items():
            for case in cases:
                headers = {**request["headers"], "host": "mcp.example", "x-sutro-key": KEYS["alice"], **case}
                reply = await served.client.post("/mcp", json=request["json"], headers=headers)
                assert reply.status_code == expected, case
