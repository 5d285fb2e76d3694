"""The start of every test: no key or setting of the developer, no retry that waits."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import stamina

from sutro_mcp.results.worker import server_processes
from sutro_mcp.results.worker.supervisor import Worker

from . import tries


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that `scripts/test` and `scripts/fuzz` set."""
    parser.addoption(
        "--tries",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of what tests generate and of the cases of `hostile` ones, make this share (1.0)",
    )
    parser.addoption("--seed", type=int, default=1, help="the seed of what tests generate (1)")


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported."""
    tries.share, tries.seed = config.option.tries, config.option.seed
    if tries.share < 1:
        hypothesis.settings.register_profile("the same at every run", derandomize=True)
        hypothesis.settings.load_profile("the same at every run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most cases of `hostile` tests, and one of two eras, when only a share is asked for."""
    kept = tries.sampled(items)
    if tries.share < 1 and len(kept) < len(items):
        config.hook.pytest_deselected(items=list(set(items) - set(kept)))
        items[:] = kept


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The backend the product runs on. For the session, as the process of `shared_worker` outlives a test."""
    return "asyncio"


class _SharedWorker(Worker):
    async def aclose(self) -> None:
        """It outlives the engine."""


@pytest.fixture(scope="module")
async def shared_worker(anyio_backend: str) -> AsyncIterator[None]:
    """Every engine of a module's tests uses one process: to start it costs half a second of CPU.

    For tests that only read: `pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]`.
    It asks for the backend, as the first of them may be a test that does not.
    """
    worker = _SharedWorker()

    def shared(**_: object) -> Worker:
        return worker

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_processes, "Worker", shared)
        yield
    await Worker.aclose(worker)


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
