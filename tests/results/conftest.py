"""Fixtures of tests of the results. Their folders hold nothing else, as they look at what is in them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer reaches a test."""
    for name in ("SUTRO_API_URL", "SUTRO_API_KEY", "SUTRO_API_KEY_FILE", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def memory_limit() -> Iterator[None]:
    """The limits of a worker's own process are undone where its code was called in this one."""
    if sys.platform == "win32":
        yield
        return
    import resource

    # Kept, as a test may put something else in its place.
    restore, before = resource.setrlimit, resource.getrlimit(resource.RLIMIT_AS)
    yield
    restore(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for properties, which write one artifact after another."""
    return tmp_path_factory.mktemp("artifacts")
