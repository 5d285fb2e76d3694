"""Opening results to be read in parts: one request, and None only where another route may still have them."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from inline_snapshot import snapshot

from sutro_mcp.api import ApiClient, ApiKey, Connection, RemoteArtifact
from sutro_mcp.emulator import DEMO_KEY, ApiVariant, Emulator, Fault, SeenRequest, serve_in_thread
from sutro_mcp.errors import (
    AuthenticationError,
    IncompleteReplyError,
    JobNotFoundError,
    NoResultsError,
    RangesUnsupportedError,
    RejectedError,
    ResultsNotReadyError,
    ServiceUnavailableError,
    SutroError,
)
from sutro_mcp.results_spec import ResultsSpec
from tests.api.wire import JOB, answering, client, emulated, error_of, reply

from .stores import read

pytestmark = pytest.mark.anyio


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A deployment and its store on real sockets, where a connection can really break."""
    with serve_in_thread(seed_jobs=False) as running:
        yield running


@asynccontextmanager
async def opened(emulator: Emulator, rows: int = 20_000) -> AsyncGenerator[RemoteArtifact]:
    """The results of a job of the emulator, opened."""
    connection = Connection(f"{emulator.api_origin}/v1", ApiKey(DEMO_KEY), "argument", "argument")
    async with ApiClient(connection) as api:
        artifact = await api.open_results(ResultsSpec(emulator.add_job(num_rows=rows)))
        assert artifact is not None
        yield artifact


def at_store(emulator: Emulator) -> list[SeenRequest]:
    """Requests to the store, in order."""
    return [request for request in emulator.requests if request.origin == "store"]


async def test_opening_costs_one_request_and_each_part_one_more(emulator: Emulator) -> None:
    """Exactly the bytes that were asked for cross the wire, and no HEAD is ever sent."""
    async with opened(emulator) as artifact:
        assert [(r.method, r.origin) for r in emulator.requests] == [("GET", "api")]
        size = artifact.size
        tail = await read(artifact, size - 1000, size)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, artifact, 0, 5000)
            tasks.start_soon(read, artifact, 5000, 7000)
        everything = await read(artifact, 0, size)
    assert everything.endswith(tail)
    assert (everything[:4], len(everything)) == (b"PAR1", size)
    assert sorted((r.method, r.status, r.body_bytes) for r in at_store(emulator)) == [
        ("GET", 200, size),
        ("GET", 206, 1000),
        ("GET", 206, 2000),
        ("GET", 206, 5000),
    ]
    assert len(emulator.requests) == 5


async def test_three_dropped_connections_cost_no_byte_twice(emulator: Emulator) -> None:
    """Not even one percent of what is fetched."""
    async with opened(emulator, 100_000) as artifact:
        whole = await read(artifact, 0, artifact.size)
        emulator.requests.clear()
        for _ in range(3):
            emulator.faults.add(Fault.dropped(after=artifact.size // 4), origin="store")
        assert await read(artifact, 0, artifact.size) == whole
    seen = at_store(emulator)
    assert [request.status for request in seen] == [200, 206, 206, 206]
    assert {request.headers.get("if-match") for request in seen} == {artifact.etag}
    assert sum(request.body_bytes for request in seen) <= artifact.size * 1.01


@pytest.mark.parametrize(
    "variant", [ApiVariant(store_ranges=False), ApiVariant(store_etag=False)], ids=["ranges", "tags"]
)
async def test_a_store_without_ranges_or_tags_gives_only_the_whole(variant: ApiVariant) -> None:
    """A broken reply is read from zero where a tag proves that it is the same."""
    with serve_in_thread(seed_jobs=False, variant=variant) as emulator:
        async with opened(emulator) as artifact:
            with pytest.raises(RangesUnsupportedError):
                await read(artifact, 0, 100)
            assert (await read(artifact, 0, artifact.size))[-4:] == b"PAR1"
            emulator.faults.add(Fault.dropped(after=100), origin="store")
            if variant.store_etag:
                assert (await read(artifact, 0, artifact.size))[:4] == b"PAR1"
                return
            with pytest.raises(IncompleteReplyError):
                await read(artifact, 0, artifact.size)


async def test_optional_columns_are_asked_for() -> None:
    """And they make another artifact."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job()
    async with emulated(emulator) as api:
        plain = await api.open_results(ResultsSpec(job_id))
        full = await api.open_results(ResultsSpec(job_id, True, True))
    assert plain is not None
    assert full is not None
    assert full.size > plain.size
    assert [request.query["include_inputs"] for request in emulator.requests] == ["false", "true"]
    assert emulator.requests[1].query["include_cumulative_logprobs"] == "true"


# --- None: the caller then asks for a file, which sorts out why


async def test_where_there_are_no_links_the_file_route_takes_over(tmp_path: Path) -> None:
    """A route's absence is remembered once another one has delivered."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(results_url=False))
    job_id = emulator.add_job()
    async with emulated(emulator) as api:
        assert await api.open_results(ResultsSpec(job_id)) is None
        assert (await api.fetch_results(ResultsSpec(job_id), tmp_path)).route == "get-results"
        before = len(emulator.requests)
        assert await api.open_results(ResultsSpec(job_id)) is None
        assert len(emulator.requests) == before


def offered(size: object) -> httpx.Response:
    link = "https://bucket.s3.example.com/x.parquet?X-Amz-Signature=canary"
    return reply(200, {"job_id": JOB, "artifact": {"size_bytes": size}, "urls": {"get": link}})


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        *((lambda status=status: reply(status, {"detail": "no"}), 1) for status in (405, 501)),
        *((lambda status=status: reply(status, {"detail": "no"}), 2) for status in (404, 410)),
        *((lambda size=size: offered(size), 2) for size in (None, 0, -1, "x", 8 * 1024**3 + 1)),
    ],
    ids=["405", "501", "404", "410", "no size", "zero", "negative", "junk", "too large"],
)
async def test_where_there_is_no_link_to_rely_on_the_results_are_a_file(
    answer: Callable[[], httpx.Response], requests: int
) -> None:
    """The route is not asked for again after a status that cannot be about the job."""
    transport = answering(answer)
    async with client(transport) as api:
        assert [await api.open_results(ResultsSpec(JOB)) for _ in range(2)] == [None, None]
    assert len(transport.seen) == requests


async def test_a_link_that_works_again_is_used_again(tmp_path: Path) -> None:
    """An unknown job does not make the route absent."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job()
    emulator.faults.add(Fault.json(404, "Not Found"), path="*/results-url", times=2)
    async with emulated(emulator) as api:
        assert await api.open_results(ResultsSpec("job-unknown")) is None
        with pytest.raises(JobNotFoundError):
            await api.fetch_results(ResultsSpec("job-unknown"), tmp_path)
        assert await api.open_results(ResultsSpec(job_id)) is not None


# --- errors: what is certain is said at once


@pytest.mark.parametrize(
    ("status", "kind", "happened"),
    [
        ("RUNNING", ResultsNotReadyError, "RUNNING"),
        ("FAILED", NoResultsError, "FAILED"),
        ("SUCCEEDED", ResultsNotReadyError, "being published"),
    ],
)
async def test_a_job_without_results_says_why(status: str, kind: type[SutroError], happened: str) -> None:
    """The refusal of a link is looked into."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(results_lag=1))
    job_id = emulator.add_job(status=status)
    async with emulated(emulator) as api:
        with pytest.raises(kind, match=happened):
            await api.open_results(ResultsSpec(job_id))
        assert [request.status for request in emulator.requests] == [409, 200]
        if status == "SUCCEEDED":
            assert await api.open_results(ResultsSpec(job_id)) is not None


@pytest.mark.parametrize(
    ("status", "kind", "requests"),
    [(400, RejectedError, 1), (401, AuthenticationError, 1), (503, ServiceUnavailableError, 3)],
)
async def test_other_refusals_are_errors(status: int, kind: type[SutroError], requests: int) -> None:
    """Another route would not help, or its answer would hide them."""
    transport = answering(lambda: reply(status, {"detail": "no"}))
    assert type(await error_of(transport, lambda api: api.open_results(ResultsSpec(JOB)))) is kind
    assert len(transport.seen) == requests


# --- what results are kept under


def test_deployment_and_key_have_an_identity_that_reveals_neither() -> None:
    """The same in every process, and another for another key or deployment."""
    code = (
        "from sutro_mcp.api import ApiClient, ApiKey, Connection\n"
        "for url, key in [('a', 'sk_1'), ('a', 'sk_2'), ('b', 'sk_1'), ('b', 'sk_1')]:\n"
        "    connection = Connection(f'https://{url}.example.com/v1', ApiKey(key), 'x', 'y')\n"
        "    print(ApiClient(connection).cache_identity)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == snapshot(
        [
            "67cf186713578e68407b37b7e17867d2fce288ba305ef8fea00c68e945f255ff",
            "c4725532d2ae4d9d8333058e1c6d1299f9dceb4ecd19f76de4183960eb1bbf06",
            "0ffe3cb4acc615713044065bd97769e97cbf2395ce619caa282830435e5ebccc",
            "0ffe3cb4acc615713044065bd97769e97cbf2395ce619caa282830435e5ebccc",
        ]
    )
