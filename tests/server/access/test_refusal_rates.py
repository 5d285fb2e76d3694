"""Refusals that come too often: each is counted, and few are written down."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from mcp.types import JSONRPCRequest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from sutro_mcp.server.access.authentication import Authenticated, Caller, CredentialError, Reason
from sutro_mcp.server.access.guard import Guard
from sutro_mcp.server.context import Principal
from sutro_mcp.server.operations.audit import Audit
from sutro_mcp.server.protocol.rate_limit import LocalRates

from .team import team_settings

pytestmark = pytest.mark.anyio


LACKS = "Your token lacks the scope sutro:cancel"


@dataclass
class Closed:
    """Lets nobody in."""

    reason: Reason

    async def is_ready(self) -> bool:
        return True

    async def __call__(self, _: Headers) -> Authenticated:
        raise CredentialError(self.reason, "no")


@dataclass
class Guarded:
    """A guard that lets nobody in, at a time that stands still, and its audit log."""

    guard: Guard
    audit: Audit
    file: Path

    def written(self) -> Counter[str]:
        """How many lines there are about each caller."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        assert {json.loads(line)["peer"] for line in lines} <= {"192.0.2.1", "192.0.2.2"}
        return Counter(json.loads(line)["label"] for line in lines)

    async def get(self, times: int, address: str = "192.0.2.1") -> list[httpx.Response]:
        """The answers to requests from an address."""
        transport = httpx.ASGITransport(app=self.guard, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://mcp.example") as client:
            return [await client.get("/mcp") for _ in range(times)]


def guarded(folder: Path, reason: Reason) -> Guarded:
    file = folder / "audit.jsonl"
    audit = Audit(file)
    settings = team_settings(auth="sutro-key", anonymous_rate=(6, 2))
    seen = LocalRates(lambda: 1_000.0)
    return Guarded(
        Guard(Response(), settings, Closed(reason), ("cancel_job",), audit, seen=seen), audit, file
    )


@pytest.mark.parametrize("reason", ["malformed", "unknown"])
async def test_an_address_that_is_refused_too_often_is_told_when_to_come_back(
    tmp_path: Path, reason: Reason
) -> None:
    """Another address is not; what is told so fills no disk."""
    made = guarded(tmp_path, reason)
    replies = await made.get(4)
    assert [reply.status_code for reply in replies] == [401, 401, 429, 429]
    assert [reply.headers.get("retry-after") for reply in replies] == [None, None, "10", "10"]
    assert replies[0].json() == {"error": "invalid_token", "error_description": "no"}
    assert replies[0].headers["www-authenticate"] == (
        'Bearer realm="sutro-mcp", error="invalid_token", error_description="no"'
    )
    assert [reply.status_code for reply in await made.get(1, "192.0.2.2")] == [401]
    assert made.written() == {"unknown": 3}
    assert made.audit.counts == {("caller_refused", reason): 5}


async def test_who_sends_nothing_is_told_of_no_error(tmp_path: Path) -> None:
    """A host without a token asks for one; a wrong one it throws away."""
    reply = (await guarded(tmp_path, "missing").get(1))[0]
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="sutro-mcp"')
    assert reply.json() == {"error": "unauthorized", "error_description": "no"}


async def test_callers_who_cannot_be_checked_are_told_so_however_often_they_ask(tmp_path: Path) -> None:
    """And are written down ten times a minute."""
    made = guarded(tmp_path, "unavailable")
    replies = await made.get(12)
    assert {(reply.status_code, reply.headers["retry-after"]) for reply in replies} == {(503, "5")}
    assert replies[0].json() == {"error": "temporarily_unavailable", "error_description": "no"}
    assert made.written() == {"unknown": 10}
    assert made.audit.counts == {("caller_refused", "unavailable"): 12}


async def test_a_caller_that_lacks_a_scope_is_written_down_ten_times_a_minute(tmp_path: Path) -> None:
    """Another one as often."""
    made = guarded(tmp_path, "unknown")
    cancel = JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params={"name": "cancel_job"})
    for name in ("alice", "bob"):
        caller = Caller(Principal(f"bearer {name}", name, "bearer", frozenset({"read"})))
        scope: Scope = {"user": caller, "client": ("192.0.2.1", 1)}
        refused = [await made.guard.refusal_of(scope, cancel) for _ in range(12)]
        assert [(each.status_code, json.loads(bytes(each.body))) for each in refused if each] == [
            (403, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": LACKS}})
        ] * 12
        allowed = JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params={"name": "list_jobs"})
        assert await made.guard.refusal_of(scope, allowed) is None
    assert made.written() == {"alice": 10, "bob": 10}
    assert made.audit.counts == {("scope_refused", "insufficient_scope"): 24}
