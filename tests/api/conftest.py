"""Tests of the client: one event loop, no waiting between attempts, no settings of whoever runs them."""

from collections.abc import Generator

import pytest
import stamina

from sutro_mcp.api.retries import ATTEMPTS


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_waiting() -> Generator[None]:
    """Attempts follow each other at once; their number stays."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    for name in ("SUTRO_API_URL", "SUTRO_API_KEY", "SUTRO_API_KEY_FILE", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
