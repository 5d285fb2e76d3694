"""A real Redis on a socket in a folder of the test's own, where one is installed."""

import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

REDIS = shutil.which("redis-server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REDIS is None:
        mark = pytest.mark.skip(reason="redis-server is not installed")
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(mark)


class RedisServer:
    """A process that can be stopped and started again."""

    def __init__(self, folder: str) -> None:
        self._socket = f"{folder}/redis.sock"
        self.url = f"unix://{self._socket}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        quiet = ("--save", "", "--appendonly", "no", "--port", "0", "--unixsocket", self._socket)
        process = await anyio.open_process(
            [str(REDIS), *quiet], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with anyio.fail_after(30):
                while True:
                    try:
                        await (await anyio.connect_unix(self._socket)).aclose()
                        break
                    except OSError:
                        await anyio.sleep(0.02)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                await process.aclose()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    # Not below pytest's own folder, whose path is too long for a socket.
    with tempfile.TemporaryDirectory() as folder:
        yield RedisServer(folder)
