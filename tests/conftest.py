"""What every test starts from: no key or setting of the developer, no retry that waits."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina


@pytest.fixture
def anyio_backend() -> str:
    """The backend the product runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the key, the settings or the home folder of who runs it."""
    for name in list(os.environ):
        if name.startswith("SUTRO_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture(autouse=True)
def no_waiting_between_retries() -> Iterator[None]:
    """Retries happen, at once."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield
