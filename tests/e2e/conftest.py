"""A Sutro on real sockets, and the environment of someone who has a key for it."""

import os
from collections.abc import Iterator

import pytest

from sutro_mcp.emulator import DEMO_KEY, Emulator, serve_in_thread


@pytest.fixture
def sutro() -> Iterator[Emulator]:
    """The emulator on loopback; its jobs stand still."""
    with serve_in_thread() as emulator:
        yield emulator


@pytest.fixture
def sutro_env(sutro: Emulator) -> dict[str, str]:
    """The environment of a host that was given key and URL."""
    return {**os.environ, "SUTRO_API_URL": sutro.api_origin, "SUTRO_API_KEY": DEMO_KEY}
