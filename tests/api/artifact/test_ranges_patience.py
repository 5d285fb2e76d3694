"""How long a store is waited for and a link is used, by a clock that keeps nobody waiting."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio
import httpx
import pytest

from sutro_mcp.api import RemoteArtifact
from sutro_mcp.errors import DeadlineExceededError
from sutro_mcp.results_spec import ResultsSpec
from tests.api.clock import QUICK
from tests.api.wire import JOB, Script, client, reply

pytestmark = [pytest.mark.anyio, QUICK]

LINK = "https://bucket.s3.example.com/x.parquet?X-Amz-Signature=canary"
KIB = 1024
CHUNK = bytes(64 * KIB)


class Line(httpx.AsyncByteStream):
    """A body that comes in pieces, each after so many seconds."""

    def __init__(self, size: int, seconds: float, piece: bytes = CHUNK) -> None:
        self._size = size
        self._seconds = seconds
        self._piece = piece

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        for _ in range(self._size // len(self._piece)):
            await anyio.sleep(self._seconds)
            yield self._piece


def store(size: int, line: Callable[[], Line]) -> Script:
    """A deployment with an artifact of that size, and its store at the end of such a line."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host != "sutro.example.com":
            return httpx.Response(200, headers={"etag": '"v1"'}, stream=line())
        return reply(200, {"job_id": JOB, "artifact": {"size_bytes": size}, "urls": {"get": LINK}})

    return Script(handler)


async def read(artifact: RemoteArtifact | None, pause: float = 0) -> int:
    """The number of bytes that came, from a reader who pauses after each piece of them."""
    assert artifact is not None
    count = 0
    async with aclosing(artifact.chunks(0, artifact.size)) as chunks:
        async for chunk in chunks:
            count += len(chunk)
            await anyio.sleep(pause)
    return count


async def test_a_big_artifact_on_a_slow_line_is_waited_for() -> None:
    """An hour if need be, at a little more than 64 KiB per second."""
    size = 4000 * len(CHUNK)
    async with client(store(size, lambda: Line(size, 0.9))) as api:
        assert await read(await api.open_results(ResultsSpec(JOB))) == size
    assert anyio.current_time() == pytest.approx(3600)


@pytest.mark.parametrize(("results_timeout", "patience"), [(300, 60), (5, 5)])
async def test_a_store_that_drips_is_given_up_after_a_minute_at_most(
    results_timeout: float, patience: float
) -> None:
    """A time-out of each read would not notice; the setting that bounds a file bounds the patience, too."""
    size = 4000 * len(CHUNK)
    transport = store(size, lambda: Line(size, 1, bytes(KIB)))
    async with client(transport, results_timeout=results_timeout) as api:
        artifact = await api.open_results(ResultsSpec(JOB))
        with pytest.raises(DeadlineExceededError, match="sends less than 64 KiB per second"):
            await read(artifact)
    assert patience < anyio.current_time() < patience + 2
    assert len(transport.seen) == 2


async def test_what_came_fast_is_no_credit_for_silence_later() -> None:
    """Or a store could go quiet for hours after a gigabyte."""
    size = 10_000 * len(CHUNK)

    class Tired(Line):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            for _ in range(9000):
                yield CHUNK
            await anyio.sleep_forever()

    async with client(store(size, lambda: Tired(size, 0))) as api:
        artifact = await api.open_results(ResultsSpec(JOB))
        with pytest.raises(DeadlineExceededError):
            await read(artifact)
    assert anyio.current_time() == pytest.approx(60)


async def test_the_time_of_the_reader_is_not_held_against_the_store() -> None:
    """A reader that writes to a slow disk still gets all bytes."""
    size = 10 * len(CHUNK)
    async with client(store(size, lambda: Line(size, 1))) as api:
        assert await read(await api.open_results(ResultsSpec(JOB)), pause=1000) == size


async def test_waiting_for_others_is_not_held_against_the_store() -> None:
    """The fifth of five parts begins when another one ends."""
    size = 100 * len(CHUNK)
    counts: list[int] = []
    async with client(store(size, lambda: Line(size, 0.9))) as api:
        artifact = await api.open_results(ResultsSpec(JOB))

        async def fetch() -> None:
            counts.append(await read(artifact))

        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(fetch)
    assert counts == [size] * 9
    assert anyio.current_time() == pytest.approx(270)


async def test_a_link_is_renewed_before_its_ten_minutes_are_over() -> None:
    """Rather than refused by the store."""
    size = len(CHUNK)
    transport = store(size, lambda: Line(size, 0))
    async with client(transport) as api:
        artifact = await api.open_results(ResultsSpec(JOB))
        for pause in (539, 2, 538, 2):
            await anyio.sleep(pause)
            assert await read(artifact) == size
    assert [request.url.host.partition(".")[0] for request in transport.seen] == [
        *("sutro", "bucket"),
        *("sutro", "bucket", "bucket"),
        *("sutro", "bucket"),
    ]
