"""Keys that somebody makes up: each costs Sutro a request, a few at a time, and good keys are served."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.e2e.http_process import modern, result_of

from .team import Accounts, Team, accounts, team, team_settings

pytestmark = pytest.mark.anyio

LIST_JOBS: dict[str, Any] = {"name": "list_jobs", "arguments": {}}
GOOD = [f"sk_good_{number:08}" for number in range(6)]
MADE_UP = [f"sk_nobody_{number:08}" for number in range(6)]


@asynccontextmanager
async def served(
    rate: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Team, Accounts]]:
    """A server in front of six accounts, and as many new keys a minute and at once as `rate` says."""
    async with AsyncExitStack() as stack:
        sutro = await stack.enter_async_context(accounts(*GOOD))
        monkeypatch.setenv("SUTRO_API_URL", sutro.url)
        settings = team_settings(auth="sutro-key", anonymous_rate=rate)
        yield await stack.enter_async_context(team(settings)), sutro


async def answered(team: Team, key: str) -> int | str:
    """The status of the answer to a call, or "ok" or "error" if it is one of MCP."""
    reply = await team.post(modern("tools/call", LIST_JOBS), x_sutro_key=key)
    if reply.status_code == 429:
        assert 1 <= int(reply.headers["retry-after"]) <= 60
    if reply.status_code != 200:
        return reply.status_code
    result: dict[str, Any] = result_of(reply)
    return "error" if result["isError"] else "ok"


async def test_a_key_that_sutro_refused_is_refused_without_asking_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For half a minute."""
    async with served((1_000, 1_000), monkeypatch) as (team, sutro):
        assert await answered(team, MADE_UP[0]) == "error"
        asked = sutro.requests
        assert [await answered(team, MADE_UP[0]) for _ in range(3)] == [401] * 3
        assert sutro.requests == asked


async def test_an_address_with_many_new_keys_has_to_wait_and_good_keys_count_against_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller who got in stays in; who never did is told when to come back, before Sutro is asked."""
    async with served((1, 3), monkeypatch) as (team, sutro):
        assert [await answered(team, key) for key in GOOD[:5]] == ["ok"] * 5
        assert [await answered(team, key) for key in MADE_UP[:3]] == ["error"] * 3
        asked = sutro.requests
        assert [await answered(team, key) for key in [*MADE_UP[3:], GOOD[5]]] == [429] * 4
        assert sutro.requests == asked
        assert [await answered(team, key) for key in GOOD[:5]] == ["ok"] * 5


async def test_a_key_that_was_taken_away_is_refused_once_sutro_has_said_so_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once may be a fault of Sutro's, and then the next call is answered."""
    async with served((1_000, 1_000), monkeypatch) as (team, sutro):
        account = sutro.emulators[GOOD[0]]
        assert await answered(team, GOOD[0]) == "ok"
        del sutro.emulators[GOOD[0]]
        assert await answered(team, GOOD[0]) == "error"
        sutro.emulators[GOOD[0]] = account
        assert await answered(team, GOOD[0]) == "ok"
        del sutro.emulators[GOOD[0]]
        assert [await answered(team, GOOD[0]) for _ in range(3)] == ["error", "error", 401]
