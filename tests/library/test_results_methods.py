"""Results from Python as the assistant gets them: the same engine, with frames and files in place of text."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import polars as pl
import pytest
from inline_snapshot import snapshot

from sutro_mcp import SutroClient, errors
from sutro_mcp.api import JobProgress, Status
from sutro_mcp.emulator import DEMO_KEY, Emulator, Pace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

linux = pytest.mark.skipif(sys.platform != "linux", reason="SQL needs a process without rights")
BEFORE = [{"label": "good", "score": 1}, {"label": "bad", "score": 2}, {"label": "<br/>", "score": 3}]
AFTER = [{"label": "good", "score": 1}, {"label": "good", "score": 2}, {"label": "bad", "score": 5}]


@pytest.fixture
def emulator() -> Emulator:
    """An account without jobs, in which a job moves with each look at it."""
    return Emulator(seed_jobs=False, pace=Pace.polls(3))


@pytest.fixture
def before(emulator: Emulator) -> str:
    """The id of a job with three rows."""
    return emulator.add_job(inputs=["a", "b", "c"], outputs=[json.dumps(row) for row in BEFORE])


@pytest.fixture
def after(emulator: Emulator) -> str:
    """The id of the run after it."""
    return emulator.add_job(inputs=["a", "b", "c"], outputs=[json.dumps(row) for row in AFTER])


@pytest.fixture
async def sutro(emulator: Emulator) -> AsyncIterator[SutroClient]:
    """A client without sockets."""
    transport = httpx.ASGITransport(app=emulator.app)
    with anyio.fail_after(60):
        async with SutroClient(DEMO_KEY, emulator.api_origin, transport=transport) as client:
            yield client


async def test_a_summary_is_a_record_that_a_notebook_shows(sutro: SutroClient, before: str) -> None:
    """As a table, in which a model's markup is text."""
    told: list[float] = []
    summary = await sutro.summarize(before, on_progress=lambda share, _words: told.append(share))
    assert (summary.row_count, [column.name for column in summary.columns]) == (3, ["label", "score"])
    assert told[-1] == 1.0
    html = summary._repr_html_()  # pyright: ignore[reportPrivateUsage] - the name that notebooks look for
    assert html == snapshot("""\
<p><b>3 rows. Outputs: JSON objects.</b></p>
<table>
<tr><th>column</th><th>type</th><th>values</th><th>nulls</th><th>distinct</th><th>of which</th></tr>
<tr><td>label</td><td>text</td><td>3</td><td>0</td><td>3</td><td></td></tr>
<tr><td>score</td><td>integer</td><td>3</td><td>0</td><td>3</td><td>1 to 3, median 2, mean 2</td></tr>
</table>
<table>
<tr><th>row</th><th>why</th><th>output</th></tr>
<tr><td>0</td><td>first</td><td>{&quot;label&quot;: &quot;good&quot;, &quot;score&quot;: 1}</td></tr>
<tr><td>1</td><td>shortest</td><td>{&quot;label&quot;: &quot;bad&quot;, &quot;score&quot;: 2}</td></tr>
<tr><td>2</td><td>longest</td><td>{&quot;label&quot;: &quot;&lt;br/&gt;&quot;, &quot;score&quot;: 3}</td></tr>
</table>\
""")


async def test_a_page_is_a_frame(sutro: SutroClient, before: str) -> None:
    """Of the rows and columns that were asked for."""
    page = await sutro.page(before, offset=1, limit=1, columns=["score", "label"])
    assert (page.row_count, page.next_offset) == (3, 2)
    assert page.frame().equals(pl.DataFrame({"score": [2], "label": ["bad"]}))


@linux
async def test_a_query_yields_all_its_rows(sutro: SutroClient, before: str, after: str) -> None:
    """However many, exact, and over several jobs."""
    many = await sutro.query(before, "SELECT n FROM results, range(2000) AS r(n)")
    assert many.height == 6000
    sql = "SELECT old.label AS old, results.label AS new FROM results JOIN old USING (row) ORDER BY row"
    joined = await sutro.query(after, sql, with_jobs={"old": before})
    assert joined.rows() == [("good", "good"), ("bad", "good"), ("<br/>", "bad")]
    with pytest.raises(errors.InvalidArgumentError, match="there is no column"):
        await sutro.query(before, "SELECT nothing FROM results")


async def test_options_and_a_single_name_add_to_what_is_shown(sutro: SutroClient, before: str) -> None:
    """Inputs that were asked for are never left out."""
    page = await sutro.page(before, columns=["label"], include_inputs=True)
    assert (page.columns, page.rows[0]) == (["label", "inputs"], ["good", "a"])
    assert (await sutro.page(before, columns="label")).columns == ["label"]


async def test_a_query_without_sql_is_refused(sutro: SutroClient, before: str, tmp_path: Path) -> None:
    """As are tables that no SQL reads."""
    with pytest.raises(errors.InvalidArgumentError, match="sql is empty"):
        await sutro.query(before, "")
    with pytest.raises(errors.InvalidArgumentError, match="there is no sql"):
        await sutro.export(before, tmp_path / "rows.csv", with_jobs={"old": before})


@pytest.mark.parametrize(
    ("with_jobs", "words"),
    [
        ({"results": "job-2"}, "two tables would be called results"),
        ({"aB": "job-2", "ab": "job-2"}, "two tables would be called ab"),
        ({"a b": "job-2"}, '"a b" is not the name of a table'),
        ({"a/b": "job-2"}, '"a/b" is not the name of a table'),
        ({"": "job-2"}, '"" is not the name of a table'),
        ({f"t{n}": "job-2" for n in range(4)}, "it names 4 tables"),
        ({"a": None}, "what a stands for is not an id"),
        (["a=job-2"], "it does not map names to jobs"),
    ],
)
async def test_a_table_is_never_another_than_it_is_called(
    sutro: SutroClient, before: str, with_jobs: Any, words: str
) -> None:
    """Its name is refused before anything is fetched."""
    with pytest.raises(errors.InvalidArgumentError, match=f"^Cannot read with_jobs: {words}"):
        await sutro.query(before, "SELECT 1", with_jobs=with_jobs)


@linux
async def test_a_comparison_is_counts_and_frames(sutro: SutroClient, before: str, after: str) -> None:
    """Each table of it can be worked with."""
    comparison = await sutro.compare(before, after)
    assert (comparison.compared_rows, comparison.changed_rows) == (3, 2)
    assert comparison.moves is not None
    changed = comparison.moves.frame().filter(pl.col("field") == "score")
    assert changed.select("before", "after").rows() == [("3", "5")]


async def test_an_export_is_the_file_that_was_named(sutro: SutroClient, before: str, tmp_path: Path) -> None:
    """With the model's own bytes; nothing is replaced unless that is said."""
    folder = tmp_path / "mine"
    folder.mkdir(0o700)
    report = await sutro.export(before, folder / "rows.jsonl")
    written = [json.loads(line) for line in (folder / report.file_name).read_text("utf-8").splitlines()]
    assert (report.rows, written) == (3, BEFORE)
    with pytest.raises(errors.InvalidArgumentError):
        await sutro.export(before, folder / "rows.jsonl")
    await sutro.export(before, str(folder / "rows.jsonl"), overwrite=True)


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.csv/", "folder.csv"])
async def test_an_export_has_the_name_that_was_asked_for(
    sutro: SutroClient, before: str, tmp_path: Path, name: str
) -> None:
    """Or there is none: no ending is added, and a folder is no file."""
    folder = tmp_path / "mine"
    (folder / "folder.csv").mkdir(0o700, parents=True)
    folder.chmod(0o700)
    with pytest.raises(errors.InvalidArgumentError, match=r"Name a file"):
        await sutro.export(before, f"{folder}/{name}")
    assert [path.name for path in folder.iterdir()] == ["folder.csv"]


async def test_a_wait_ends_with_the_job_and_tells_of_its_rows(
    sutro: SutroClient, emulator: Emulator, before: str
) -> None:
    """Of a job that has ended at once; in time, or with the status that it had."""
    told: list[JobProgress] = []
    running = emulator.add_job(status="RUNNING", num_rows=4)
    ended = await sutro.wait(running, on_progress=told.append)
    assert ended.status is Status.SUCCEEDED
    assert any(event.rows_done for event in told)
    assert (await sutro.wait(before)).status is Status.SUCCEEDED
    slow = emulator.add_job(status="QUEUED")
    with pytest.raises(errors.DeadlineExceededError, match=f"^{slow} has not ended after 0 seconds: it was"):
        await sutro.wait(slow, timeout=0)


async def test_an_argument_out_of_range_is_an_error_of_ours(sutro: SutroClient, before: str) -> None:
    """Which names it."""
    with pytest.raises(errors.InvalidArgumentError, match="offset"):
        await sutro.page(before, offset=-1)
    with pytest.raises(errors.InvalidArgumentError, match="limit"):
        await sutro.page(before, limit=0)
    with pytest.raises(errors.InvalidArgumentError, match="timeout is -1"):
        await sutro.wait(before, timeout=-1)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
async def test_what_ends_the_block_comes_out_as_itself(emulator: Emulator, kind: type[BaseException]) -> None:
    """Not in a group of a task group's making."""
    with pytest.raises(kind):
        async with SutroClient(DEMO_KEY, emulator.api_origin):
            raise kind
    with pytest.raises(kind), SutroClient.sync(DEMO_KEY, emulator.api_origin):
        raise kind


async def test_results_need_an_open_client(emulator: Emulator, before: str) -> None:
    """Whose block ends the processes that read them."""
    client = SutroClient(DEMO_KEY, emulator.api_origin)
    with pytest.raises(errors.ConfigurationError, match="async with"):
        await client.summarize(before)
