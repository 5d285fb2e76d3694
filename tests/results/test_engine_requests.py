"""Large results: what is asked of the deployment and its store for a page or a summary, counted exactly."""

import importlib
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
import polars as pl
import pytest

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import ApiVariant, Emulator, Fault, serve_in_thread
from sutro_mcp.errors import StillWorkingError
from sutro_mcp.results import (
    ExpectedResults,
    ExportRequest,
    Page,
    PageRequest,
    QueryRequest,
    Summary,
    SummaryRequest,
)
from sutro_mcp.results.results_engine import ResultsEngine, results_engine
from sutro_mcp.results_spec import ResultsSpec

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

# Its types are unknown.
pq: Any = importlib.import_module("pyarrow.parquet")

ROWS = 60_000
MB = 1_000_000
Layout = Literal["one group", "page index"]
T = TypeVar("T")


@dataclass
class Sutro:
    """A deployment with one large job, and an engine that reads it."""

    emulator: Emulator
    client: ApiClient
    engine: ResultsEngine
    frame: pl.DataFrame
    size: int
    job: str

    def asked(self) -> tuple[int, int, int]:
        """Requests to the API, requests to the store and bytes since the last time.

        Never HEAD on a link that was made for GET, never the key to the store.
        """
        seen, self.emulator.requests[:] = list(self.emulator.requests), []
        store = [each for each in seen if each.origin == "store"]
        assert all(each.method == "GET" and "authorization" not in each.headers for each in store)
        return len(seen) - len(store), len(store), sum(each.body_bytes for each in seen)

    async def page(self, offset: int = 0, **options: Any) -> Page:
        """A page whose rows are checked against the artifact."""
        page = await self.engine.page(
            self.client, ResultsSpec(self.job), PageRequest(offset=offset, **options)
        )
        outputs = self.frame.get_column("outputs")[offset : offset + len(page.rows)].to_list()
        assert [row[page.columns.index("inference_result")] for row in page.rows] == outputs
        assert page.row_count == self.frame.height
        return page

    async def summary(self, request: SummaryRequest = SummaryRequest(), **options: Any) -> Summary:  # noqa: B008
        """The summary of all rows."""
        return await self.engine.summary(self.client, ResultsSpec(self.job), request, **options)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Outputs that hardly compress, so that few rows make a large artifact."""
    numbers = pl.int_range(ROWS, eager=True)
    parts = [numbers.hash(seed).cast(pl.String) for seed in range(18)]
    texts = pl.select(pl.concat_str([pl.lit(part) for part in parts], separator=" ")).to_series()
    return pl.DataFrame({"outputs": texts})


@pytest.fixture(scope="module")
def artifacts(frame: pl.DataFrame) -> dict[Layout, bytes]:
    """The same rows in one row group without an index, and as polars writes them."""
    one, indexed = io.BytesIO(), io.BytesIO()
    pq.write_table(frame.to_arrow(), one, compression="zstd")
    frame.write_parquet(indexed, row_group_size=20_000)
    return {"one group": one.getvalue(), "page index": indexed.getvalue()}


@asynccontextmanager
async def sutro(
    frame: pl.DataFrame,
    artifact: bytes,
    *,
    folder: Path | None = None,
    patience: float = 60,
    outputs: list[str] | None = None,
    variant: ApiVariant = ApiVariant(),  # noqa: B008 - frozen
) -> AsyncGenerator[Sutro]:
    """A deployment that reads the contract so, and an engine with `folder` for its cache."""
    with serve_in_thread(seed_jobs=False, variant=variant) as emulator:
        job = emulator.add_job(num_rows=frame.height, outputs=outputs or [], parquet=artifact)
        connection = resolve_connection(emulator.api_origin, emulator.api_key, env={})
        async with (
            ApiClient(connection) as client,
            results_engine(folder, patience=patience) as engine,
        ):
            yield Sutro(emulator, client, engine, frame, len(artifact), job)


@pytest.fixture(params=["one group", "page index"])
async def large(
    request: pytest.FixtureRequest, frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> AsyncIterator[Sutro]:
    """A large job in each layout."""
    async with sutro(frame, artifacts[request.param]) as made:
        yield made


async def test_a_first_page_costs_three_requests_and_the_next_none(large: Sutro) -> None:
    """The link, the head and the tail, however many ask at once."""
    async with anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(large.page)
    api, store, size = large.asked()
    assert (api, store) == (1, 2)
    assert size < MB
    await large.page(20)
    await large.page(40, max_cell_chars=1_000)
    assert large.asked() == (0, 0, 0)


async def test_a_small_artifact_costs_two_requests(frame: pl.DataFrame) -> None:
    """It is fetched whole: then everything is there."""
    few, body = frame.head(5_000), io.BytesIO()
    few.write_parquet(body)
    async with sutro(few, body.getvalue()) as small:
        await small.page()
        assert small.asked()[:2] == (1, 1)
        await small.page(4_990)
        await small.summary()
        assert small.asked() == (0, 0, 0)


async def test_a_deep_page_with_an_index_costs_three_requests_and_then_one(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> None:
    """Footer and index lie in the tail; the page is one range."""
    async with sutro(frame, artifacts["page index"]) as large:
        await large.page(ROWS * 7 // 10)
        api, store, size = large.asked()
        assert (api, store) == (1, 2)
        assert size < 1.5 * MB
        await large.page(ROWS // 2)
        api, store, size = large.asked()
        assert (api, store) == (0, 1)
        assert size < 1.5 * MB


async def test_a_deep_page_without_an_index_costs_what_lies_before_it(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> None:
    """Pages can only be found one after the other; nothing behind is fetched, and nothing twice."""
    async with sutro(frame, artifacts["one group"]) as large:
        await large.page(ROWS * 7 // 10)
        api, store, size = large.asked()
        assert api == 1
        assert store <= 4
        assert size < large.size * 0.7 + MB
        await large.summary()
        rest = large.asked()
        assert rest[0] == 0
        assert size + rest[2] < large.size * 1.01 + 3_000


async def test_a_summary_costs_its_bytes_once_and_the_second_nothing(large: Sutro) -> None:
    """Pages after it cost nothing either."""
    first = await large.summary()
    assert first.row_count == ROWS
    api, store, size = large.asked()
    assert api == 1
    assert size < large.size * 1.01
    assert store <= 3
    assert await large.summary() == first
    await large.page(ROWS - 7)
    assert large.asked() == (0, 0, 0)


async def test_pages_and_summaries_at_once_fetch_each_byte_once(large: Sutro) -> None:
    """One is first, and the others wait for what is on its way."""
    async with anyio.create_task_group() as calls:
        calls.start_soon(large.summary)
        calls.start_soon(lambda: large.summary(SummaryRequest(unpack_json=False)))
        for offset in (0, ROWS // 2, ROWS - 7):
            calls.start_soon(large.page, offset)
    api, _, size = large.asked()
    assert api == 1
    assert size < large.size * 1.01


async def test_inputs_are_not_fetched_for_a_page_of_outputs(frame: pl.DataFrame) -> None:
    """Although the artifact at hand holds them."""
    body = io.BytesIO()
    long = frame.select(pl.concat_str("outputs", "outputs").str.reverse().alias("inputs"), "outputs")
    long.write_parquet(body, row_group_size=ROWS)
    async with sutro(long, body.getvalue()) as large:
        await large.page(columns=("inference_result",))
        assert large.asked()[2] < 1.5 * MB


READINGS = {
    "no ranges": ApiVariant(store_ranges=False),
    "no entity tag": ApiVariant(store_etag=False),
    "no link": ApiVariant(results_url=False),
    "JSON only": ApiVariant(results_url=False, get_results=False),
}


@pytest.mark.parametrize("variant", READINGS.values(), ids=READINGS)
async def test_the_whole_is_fetched_where_parts_cannot_be_had(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes], variant: ApiVariant
) -> None:
    """Once, and the answers are the same as from parts."""
    outputs = frame.get_column("outputs").to_list() if not variant.get_results else []
    async with sutro(frame, artifacts["one group"], outputs=outputs, variant=variant) as whole:
        async with sutro(frame, artifacts["one group"]) as parts:
            summary = await parts.summary()
        assert await whole.summary() == summary
        whole.asked()
        await whole.page(ROWS - 9)
        assert whole.asked() == (0, 0, 0)


async def test_three_broken_connections_cost_no_byte_twice(large: Sutro) -> None:
    """The download goes on where it stopped."""
    for after in (100_000, 3_000_000, 5_000_000):
        large.emulator.faults.add(Fault.truncated(after), origin="store", times=1)
    await large.summary()
    assert large.asked()[2] < large.size * 1.01


async def test_an_artifact_that_is_replaced_is_never_mixed_with_the_old_one(large: Sutro) -> None:
    """The page is of the new one."""
    await large.page()
    large.emulator.faults.add(Fault.changed_artifact(), origin="store", times=1)
    frame = pl.DataFrame({"outputs": ["new " + text for text in large.frame.get_column("outputs")]})
    body = io.BytesIO()
    frame.write_parquet(body)
    large.frame = frame
    large.emulator.job(large.job).parquet = body.getvalue()
    await large.page(ROWS * 9 // 10)
    await large.page()


async def test_a_small_artifact_that_is_replaced_before_its_first_byte_is_read_as_the_new_one(
    frame: pl.DataFrame,
) -> None:
    """Its link told the length of the old one."""
    old, new = io.BytesIO(), io.BytesIO()
    frame.head(10).write_parquet(old)
    frame.head(500).write_parquet(new)
    async with sutro(frame.head(500), old.getvalue()) as small:
        small.emulator.faults.add(Fault.changed_artifact(), origin="store", times=1)
        small.emulator.job(small.job).parquet = new.getvalue()
        await small.page()


async def test_a_summary_that_takes_long_goes_on_without_its_caller(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> None:
    """A caller that asks again gets what was found; nothing is fetched twice."""
    async with sutro(frame, artifacts["one group"], patience=0) as large:
        with pytest.raises(StillWorkingError, match="goes on in the background"):
            await large.summary()
        assert (await patiently(large.summary)).row_count == ROWS
        assert large.asked()[2] < large.size * 1.01


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The answer to a call that is made again and again."""
    with anyio.fail_after(60):
        while True:
            with suppress(StillWorkingError):
                return await call()
            await anyio.sleep(0.05)


async def test_a_query_that_takes_long_goes_on_without_its_caller(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> None:
    """As a summary does: loading what it needs may take longer than a host waits."""
    async with sutro(frame, artifacts["one group"], patience=0) as large:

        async def query() -> Page:
            request = QueryRequest(sql="SELECT COUNT(*) AS n FROM results")
            return await large.engine.query(large.client, {"results": ResultsSpec(large.job)}, request)

        with pytest.raises(StillWorkingError, match="goes on in the background"):
            await query()
        assert (await patiently(query)).rows == [[ROWS]]
        assert large.asked()[2] < large.size * 1.01


async def test_what_answers_further_questions_is_made_after_the_first(
    frame: pl.DataFrame, tmp_path: Path
) -> None:
    """Beside the artifact, where the next process finds it; nothing is fetched again."""
    texts = [
        json.dumps({"n": n, "text": text}) for n, text in enumerate(frame.get_column("outputs")[:20_000])
    ]
    frame = pl.DataFrame({"outputs": texts})
    artifact = io.BytesIO()
    frame.write_parquet(artifact)
    questions = ("SELECT count(n) FROM results", "SELECT count(text) FROM results")
    async with sutro(frame, artifact.getvalue(), folder=tmp_path) as large:
        spec = ResultsSpec(large.job)
        for sql in questions:
            page = await large.engine.query(large.client, {"results": spec}, QueryRequest(sql=sql))
            assert page.rows == [[20_000]]
        with anyio.fail_after(60):
            # Another process makes it.
            while not [path async for path in anyio.Path(tmp_path).rglob("*.narrow")]:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        large.asked()
        for sql in questions:
            request = QueryRequest(sql=sql, limit=2)
            assert (await large.engine.query(large.client, {"results": spec}, request)).rows == [[20_000]]
        assert large.asked() == (0, 0, 0)


async def test_a_summary_that_nobody_waits_for_any_more_is_stopped(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> None:
    """With its download; what came of it is not fetched again."""
    async with sutro(frame, artifacts["one group"]) as large:
        large.emulator.store.bytes_per_second = 4 * MB
        seen = anyio.Event()

        def begun(_share: float, _words: str) -> None:
            seen.set()

        async with anyio.create_task_group() as calls:

            async def call() -> None:
                await large.summary(on_progress=begun)

            calls.start_soon(call)
            with anyio.fail_after(60):
                await seen.wait()
            calls.cancel_scope.cancel()
        large.emulator.store.bytes_per_second = None
        await large.summary()
        # What was in flight when the connection was closed does not count as received.
        assert large.asked()[2] < large.size * 1.5


async def test_progress_grows_to_all_rows(large: Sutro) -> None:
    """In words that can be shown."""
    told: list[tuple[float, str]] = []

    def tell(share: float, words: str) -> None:
        told.append((share, words))

    await large.summary(on_progress=tell)

    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1] == (1.0, f"{ROWS:,} of {ROWS:,} rows read")


async def test_what_the_job_promised_is_asked_for_once(large: Sutro) -> None:
    """And compared with what came."""
    asked = 0

    async def expected() -> ExpectedResults:
        nonlocal asked
        asked += 1
        return ExpectedResults(num_rows=ROWS + 1)

    assert (await large.summary(expected=expected)).expected_rows == ROWS + 1
    assert (await large.summary(expected=expected)).expected_rows == ROWS + 1
    assert asked == 1


async def test_the_job_is_looked_up_while_its_results_are_opened(
    large: Sutro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for the other."""
    opened, open_results = anyio.Event(), large.client.open_results

    async def open_and_tell(*args: Any, **options: Any) -> Any:
        opened.set()
        return await open_results(*args, **options)

    async def expected() -> ExpectedResults:
        await opened.wait()
        return ExpectedResults(num_rows=ROWS)

    monkeypatch.setattr(large.client, "open_results", open_and_tell)
    with anyio.fail_after(60):
        assert (await large.summary(expected=expected)).expected_rows == ROWS


async def test_the_next_process_finds_what_this_one_fetched(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes], tmp_path: Path
) -> None:
    """After it has asked whether that is still the artifact: one request, and one byte of the store."""
    async with sutro(frame, artifacts["one group"], folder=tmp_path / "cache") as large:
        first = await large.summary()
        large.asked()
        async with results_engine(tmp_path / "cache") as other:
            large.engine, ours = other, large.engine
            assert await large.summary() == first
            await large.page(ROWS // 2)
            api, store, size = large.asked()
            large.engine = ours
    assert (api, store) == (1, 1)
    assert size < 3_000
    (kept,) = (tmp_path / "cache").iterdir()
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}
    assert kept.stat().st_mode & 0o777 == 0o700


async def test_a_kept_summary_is_that_of_the_rows_a_page_shows(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes]
) -> None:
    """After the artifact was replaced, too."""
    async with sutro(frame, artifacts["one group"]) as large:
        assert (await large.summary()).row_count == ROWS
        async with large.engine.store.artifact(large.client, ResultsSpec(large.job)) as artifact:
            artifact.discard()
        large.engine.store._open.clear()  # pyright: ignore[reportPrivateUsage]
        body = io.BytesIO()
        large.frame = frame.head(50)
        large.frame.write_parquet(body)
        large.emulator.job(large.job).parquet = body.getvalue()
        large.emulator.artifacts.replace(large.emulator.job(large.job))
        await large.page()
        assert (await large.summary()).row_count == 50


async def test_an_export_that_has_gone_is_made_again(
    frame: pl.DataFrame, artifacts: dict[Layout, bytes], tmp_path: Path
) -> None:
    """A report must not outlive its file."""
    async with sutro(frame, artifacts["one group"], patience=0) as large:

        async def export() -> bool:
            with suppress(StillWorkingError):
                request = ExportRequest(folder=tmp_path, file_name="a.csv")
                await large.engine.export(large.client, ResultsSpec(large.job), request)
                return True
            return False

        async def written() -> None:
            with anyio.fail_after(60):
                while not (tmp_path / "a.csv").exists():
                    await anyio.sleep(0.05)  # another process writes it
                    await export()

        assert not await export()
        await written()
        (tmp_path / "a.csv").unlink()
        await written()
