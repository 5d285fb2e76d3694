"""Contexts of callers who are told apart: one for each Sutro key, small, and gone when idle."""

import gc
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.emulator import DEMO_KEY, Pace, serve
from sutro_mcp.errors import ConfigurationError, SutroError
from sutro_mcp.redaction import redact
from sutro_mcp.server.access.authentication import Caller
from sutro_mcp.server.build import build_server
from sutro_mcp.server.context import AppContext, Principal
from sutro_mcp.server.tenants import Tenants, serve_tenant
from sutro_mcp.settings import Settings

pytestmark = pytest.mark.anyio


def principal(name: str) -> Principal:
    return Principal(name, name, "bearer", frozenset({"read"}))


@dataclass
class Keys:
    """Sutro keys by principal, of a deployment that accepts the demo's alone."""

    url: str
    keys: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, principal: Principal) -> Connection:
        if (key := self.keys.get(principal.id, DEMO_KEY)) == "":
            raise ConfigurationError("use Sutro", "you have no key", "Ask for one")
        return Connection(self.url, ApiKey(key, of_caller=True), "a", "b")


@asynccontextmanager
async def contexts(keys: Keys) -> AsyncGenerator[AppContext]:
    """The context that a server for a team begins with."""

    def servers_own() -> ApiClient:
        raise AssertionError("the server's key was used")

    server = build_server(Settings(cache_max_bytes=0), servers_own, key_of=keys)
    assert server.settings.lifespan
    async with server.settings.lifespan(server) as app:
        yield app


def tenants_of(app: AppContext, keys: Keys, most: int, now: Callable[[], float]) -> Tenants:
    return Tenants(keys, lambda _, __: app, lambda _: None, most=most, idle_seconds=60, now=now)


async def test_who_shares_a_key_shares_a_context_and_nobody_else_does() -> None:
    """A job that both watch is then read once."""
    keys = Keys("http://127.0.0.1:9/v1", {"c": "sk_other_0123456789"})
    async with contexts(keys) as app:
        assert app.tenants is not None
        async with (
            app.tenants.serving(principal("a")) as a,
            app.tenants.serving(principal("b")) as b,
            app.tenants.serving(principal("c")) as c,
        ):
            assert a is b
            assert len({id(a.client), id(c.client), id(a.watcher), id(c.watcher)}) == 4
            assert a.client.cache_identity != c.client.cache_identity
        with pytest.raises(ConfigurationError, match="nobody knows who asks"):
            _ = app.client


async def test_a_caller_without_a_key_is_told_so_and_nobodys_key_is_used() -> None:
    """The context fails when the client is asked for."""
    keys = Keys("http://127.0.0.1:9/v1", {"a": ""})
    async with contexts(keys) as app:
        assert app.tenants is not None
        async with app.tenants.serving(principal("a")) as a:
            with pytest.raises(ConfigurationError, match="you have no key"):
                _ = a.client


async def test_a_key_masks_words_for_its_own_caller_only() -> None:
    """A caller chooses it, and could otherwise blacken what others read."""
    keys = Keys("http://127.0.0.1:9/v1", {"evil": "SUCCEEDED"})
    async with contexts(keys) as app:
        assert app.tenants is not None
        async with app.tenants.serving(principal("evil")):
            assert redact("SUCCEEDED") == "[redacted]"
            async with app.tenants.serving(principal("a")):
                pass
        assert redact("SUCCEEDED") == "SUCCEEDED"


async def test_a_key_that_was_changed_counts_after_seconds() -> None:
    """Its context is another, as it may see other jobs."""
    now = 0.0
    keys = Keys("http://127.0.0.1:9/v1")
    async with contexts(keys) as app:
        tenants = tenants_of(app, keys, 10, lambda: now)
        for seconds, key, expected in (
            (0, DEMO_KEY, 1),
            (5, "sk_new_0123456789", 1),
            (6, "sk_new_0123456789", 2),
        ):
            now, keys.keys["a"] = float(seconds), key
            async with tenants.serving(principal("a")):
                assert len(tenants) == expected


async def test_contexts_that_are_idle_are_dropped_but_none_in_use() -> None:
    """By number, and by time."""
    now = 0.0
    keys = Keys("http://127.0.0.1:9/v1", {name: f"sk_{name}_0123456789" for name in "abcd"})
    async with contexts(keys) as app:
        tenants = tenants_of(app, keys, 2, lambda: now)
        async with tenants.serving(principal("a")):
            for name in "bcd":
                async with tenants.serving(principal(name)):
                    pass
            assert len(tenants) == 2
            now = 60.0
            async with tenants.serving(principal("a")):
                pass
            assert len(tenants) == 2
            now = 61.0
            async with tenants.serving(principal("d")):
                pass
            assert len(tenants) == 2
        now = 122.0
        async with tenants.serving(principal("d")):
            pass
        assert len(tenants) == 1


@dataclass
class Asked:
    """A request, as a middleware is given it."""

    lifespan_context: Any
    request: Any


async def test_a_request_is_served_in_the_context_of_its_caller_if_callers_are_told_apart() -> None:
    """The server asks itself how it is without any, and over stdio there is one caller."""

    async def told(ctx: Any) -> Any:
        return ctx.lifespan_context

    async with contexts(Keys("http://127.0.0.1:9/v1")) as app:
        assert app.tenants is not None
        users = SimpleNamespace(scope={"user": Caller(principal("a"))})
        for context, request in (
            (app, None),
            (app, SimpleNamespace(scope={})),
            (SimpleNamespace(tenants=None), users),
        ):
            asked: Any = Asked(context, request)
            assert await serve_tenant(asked, told) is context
        asked = Asked(app, users)
        served = await serve_tenant(asked, told)
        assert [served] == app.tenants.contexts()


async def test_an_idle_principal_costs_less_than_20_kb() -> None:
    """After a request of each."""
    async with serve(port=0, pace=Pace.at_once()) as emulator:
        keys = Keys(f"{emulator.api_origin}/v1", {f"p{n}": f"sk_{n:04}_0123456789" for n in range(101)})
        async with contexts(keys) as app:
            assert app.tenants is not None

            async def call(name: str) -> None:
                assert app.tenants is not None
                async with app.tenants.serving(principal(name)) as context:
                    await context.prepare()
                    with suppress(SutroError):  # the emulator knows one key
                        await context.client.list_jobs()

            await call("p100")
            tracemalloc.start()
            for n in range(100):
                await call(f"p{n}")
            gc.collect()
            each = tracemalloc.get_traced_memory()[0] / 100
            tracemalloc.stop()
            assert len(app.tenants) == 101
            assert each < 20_000
