"""The server's tests run in both protocol eras, against an emulator with its seed jobs standing still."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from sutro_mcp.emulator import Emulator
from tests.support import Era, Talk, talk


@pytest.fixture(params=["auto", "legacy"], ids=["2026-era", "2025-era"])
def era(request: pytest.FixtureRequest) -> Era:
    """The protocol era of the client."""
    return cast("Era", request.param)


@pytest.fixture
def emulator() -> Emulator:
    """Sutro, with the jobs of the demo."""
    return Emulator()


@pytest.fixture
async def chat(emulator: Emulator, era: Era) -> AsyncIterator[Talk]:
    """A conversation with the server."""
    async with talk(emulator, era) as conversation:
        yield conversation
