"""`SutroClient`: from a deployment's wire to a frame, through the emulator."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import anyio
import httpx
import pandas as pd
import polars as pl
import pytest

from sutro_mcp import SutroClient, errors
from sutro_mcp.api import Status
from sutro_mcp.emulator import DEMO_KEY, ApiVariant, Emulator

pytestmark = pytest.mark.anyio


class Connect(Protocol):
    """Gives a client of an emulator."""

    async def __call__(self, emulator: Emulator) -> SutroClient: ...


@pytest.fixture
async def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Connect]:
    """Clients without sockets, closed at the end; their files lie in the test's folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with anyio.fail_after(60):
        async with AsyncExitStack() as stack:

            async def client(emulator: Emulator) -> SutroClient:
                transport = httpx.ASGITransport(app=emulator.app)
                made = SutroClient(DEMO_KEY, emulator.api_origin, transport=transport)
                return await stack.enter_async_context(made)

            yield client


ROUTES = {
    "results-url": ApiVariant(),
    "get-results": ApiVariant(results_url=False),
    "post-results": ApiVariant(results_url=False, get_results=False),
}
JOB: dict[str, Any] = {
    "inputs": ["q1", "q2"],
    "outputs": ['{"label": "good"}', '{"label": "bad"}'],
    "cumulative_logprobs": [-0.5, -1.0],
    "confidence_score": [1.0, 0.25],
    "id_column": ("ticket", [7, 8]),
}


@pytest.mark.parametrize("variant", ROUTES.values(), ids=ROUTES)
async def test_a_job_becomes_a_frame_by_every_route(connect: Connect, variant: ApiVariant) -> None:
    """The same frame."""
    emulator = Emulator(seed_jobs=False, variant=variant)
    job_id = emulator.add_job(**JOB)
    client = await connect(emulator)
    plain = await client.get_job_results(job_id)
    rich = await client.get_job_results(job_id, True, True, unpack_json=False, output_column="answer")
    assert isinstance(plain, pl.DataFrame)
    assert plain.to_dict(as_series=False) == {
        "ticket": [7, 8],
        "confidence_score": [1.0, 0.25],
        "label": ["good", "bad"],
    }
    assert list(rich.columns) == ["inputs", "ticket", "answer", "cumulative_logprobs", "confidence_score"]


async def test_results_are_added_to_the_frame_given(connect: Connect) -> None:
    """In its own kind."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job(**JOB)
    client = await connect(emulator)
    original = {"q": ["q1", "q2"]}
    of_polars = await client.get_job_results(job_id, with_original_df=pl.DataFrame(original))
    of_pandas = await client.get_job_results(job_id, with_original_df=pd.DataFrame(original))
    assert isinstance(of_polars, pl.DataFrame)
    assert isinstance(of_pandas, pd.DataFrame)
    assert list(of_polars.columns) == list(of_pandas.columns) == ["q", "ticket", "confidence_score", "label"]
    with pytest.raises(errors.InvalidArgumentError):
        await client.get_job_results(job_id, with_original_df=pl.DataFrame({"label": [1, 2]}))


async def test_an_artifact_is_fetched_once_unless_the_cache_is_disabled(connect: Connect) -> None:
    """`output_column` and `unpack_json` do not change it; other columns do."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job(**JOB)
    client = await connect(emulator)

    async def requests(**options: Any) -> int:
        before = len(emulator.requests)
        await client.get_job_results(job_id, **options)
        return len(emulator.requests) - before

    first = await requests()

    assert first > 0
    assert await requests() == await requests(output_column="x", unpack_json=False) == 0
    assert await requests(disable_cache=True) > 0
    assert await requests(include_inputs=True) > 0


async def test_nothing_is_left_on_disk(connect: Connect, tmp_path: Path) -> None:
    """Artifacts are private while the client is open, and gone when it is closed."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job(**JOB)
    client = await connect(emulator)
    await client.get_job_results(job_id)
    while_open = modes(tmp_path / "temporary")
    await client.aclose()
    assert while_open == [0o700, 0o600, 0o600, 0o600]
    assert modes(tmp_path / "temporary") == []


def modes(folder: Path) -> list[int]:
    """Permissions of everything below a folder."""
    return [path.stat().st_mode & 0o777 for path in sorted(folder.rglob("*"))]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": "RUNNING"}, errors.ResultsNotReadyError),
        ({"status": "FAILED"}, errors.NoResultsError),
        ({"status": "CANCELLED"}, errors.NoResultsError),
    ],
    ids=["running", "failed", "cancelled"],
)
async def test_a_job_without_results_says_why(
    connect: Connect, fields: dict[str, Any], error: type[Exception]
) -> None:
    """With the error that says what to do."""
    emulator = Emulator(seed_jobs=False)
    job_id = emulator.add_job(**fields)
    with pytest.raises(error):
        await (await connect(emulator)).get_job_results(job_id)


@pytest.mark.parametrize("status", ["FAILED", "failed", ["failed"], ("Failed", "FAILED")])
async def test_jobs_are_found_by_a_status_in_any_case(connect: Connect, status: Any) -> None:
    """One word, or several."""
    client = await connect(Emulator())
    found = await client.find_jobs(status=status, limit=5)
    totals = await client.summarize_jobs(status=status)
    assert {job.status for job in found.jobs} == {Status.FAILED}
    assert totals.total.jobs == totals.total.failed > 0


@pytest.mark.parametrize(
    ("method", "filters", "words"),
    [
        ("find_jobs", {"status": "nope"}, '"nope" is not a status. Use one of QUEUED, STARTING,'),
        ("summarize_jobs", {"status": ["failed", "nope"]}, '"nope" is not a status'),
        ("find_jobs", {"limit": 0}, "limit is 0"),
        ("find_jobs", {"sort": "nope"}, '"nope" is not a sort. Use one of created,'),
        ("summarize_jobs", {"group_by": "nope"}, '"nope" is not a group_by. Use one of status,'),
    ],
)
async def test_a_filter_that_does_not_exist_is_refused(
    connect: Connect, method: str, filters: dict[str, Any], words: str
) -> None:
    """Nothing is found would be another answer."""
    emulator = Emulator()
    client = await connect(emulator)
    with pytest.raises(errors.InvalidArgumentError, match=words):
        await getattr(client, method)(**filters)
    assert not emulator.requests


async def test_an_unknown_job_is_said_to_be_unknown(connect: Connect) -> None:
    """Not to be without results."""
    with pytest.raises(errors.JobNotFoundError):
        await (await connect(Emulator())).get_job_results("job-00000000-0000-4000-8000-000000000000")


def test_a_key_for_no_deployment_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything is made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(errors.ConfigurationError):
        SutroClient()
