"""Fixtures of the emulator's tests: the backend, a clock of its own, and a client without sockets."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sutro_mcp.emulator import Emulator

from .support import Connect


@pytest.fixture
def anyio_backend() -> str:
    """The emulator sleeps with asyncio, as uvicorn does."""
    return "asyncio"


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    """A clock for `Emulator(now=...)`."""
    return Clock()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A function that gives a client of an emulator: by default with the right key, at /v1."""
    async with AsyncExitStack() as stack:

        async def client(
            emulator: Emulator, *, key: str | None = None, base: str = "/v1", drops: bool = False
        ) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app=emulator.app, raise_app_exceptions=not drops)
            headers = (
                {"Authorization": f"Key {emulator.api_key if key is None else key}"} if key != "" else {}
            )
            made = httpx.AsyncClient(
                transport=transport, base_url=emulator.api_origin + base, headers=headers
            )
            return await stack.enter_async_context(made)

        yield client


@pytest.fixture
def emulator() -> Emulator:
    """An empty account, whose jobs stand still."""
    return Emulator(seed_jobs=False)


@pytest.fixture
async def client(connect: Connect, emulator: Emulator) -> httpx.AsyncClient:
    """A client of that account."""
    return await connect(emulator)
