"""Results as files, through the tool: what the answer says, what is on disk, and what is refused."""

# ruff: noqa: ASYNC240 - a look at small local files blocks nobody

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.settings import Settings, load_settings
from tests.support import Era, Talk, talk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

TRIAGE = "support-ticket-triage"


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Where the export folder will be."""
    return tmp_path / "exports"


@pytest.fixture
async def chat(emulator: Emulator, era: Era, exports: Path) -> AsyncIterator[Talk]:
    """A conversation with a server whose export folder is known."""
    async with talk(emulator, era, settings=Settings(export_dir=exports)) as conversation:
        yield conversation


def names(folder: Path) -> set[str]:
    """All entries, or none when there is no folder."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


async def test_all_rows_come_into_a_private_file_and_the_answer_describes_it(
    chat: Talk, exports: Path
) -> None:
    """Both channels say the same; the name is relative to the folder."""
    outputs = ['{"label": "a", "score": 1}', "not JSON", None]
    job_id = chat.emulator.add_job(job_id="job-1", outputs=outputs)
    text = await chat.text("export_job_results", job_id=job_id, file_name="all")
    size = (exports / "all.parquet").stat().st_size
    assert text.replace(str(exports), "/exports").replace(f"{size:,}", "N") == snapshot("""\
job-1: wrote 3 rows, N bytes of parquet.
file_name: all.parquet
folder: /exports
<data>
3 columns: label,score,inference_result
1 row holds no JSON object: "inference_result" keeps its text and is null in the others.
</data>\
""")
    rows = [("a", 1, None), (None, None, "not JSON"), (None, None, None)]
    assert pl.read_parquet(exports / "all.parquet").rows() == rows
    assert stat.S_IMODE(exports.stat().st_mode) == 0o700
    assert stat.S_IMODE((exports / "all.parquet").stat().st_mode) == 0o600
    one = chat.emulator.add_job(outputs=["x"])
    text = await chat.text("export_job_results", job_id=one, file_name="one.csv")
    assert "wrote 1 row, " in text
    assert "\n1 column: inference_result" in text


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
async def test_the_file_holds_the_rows_that_pages_show(chat: Talk, exports: Path, ending: str) -> None:
    """By the ending of its name, or by `format`; how many rows were not unpacked is said."""
    job_id = chat.emulator.find(TRIAGE)
    ask = {"job_id": job_id, "include_inputs": True, "unpack_json": True}
    answer = await chat.call("export_job_results", file_name=f"a.{ending}", **ask)
    assert (await chat.call("export_job_results", file_name="b", format=ending, **ask))["format"] == ending
    assert (exports / f"a.{ending}").read_bytes() == (exports / f"b.{ending}").read_bytes()

    assert "hold no JSON object" in answer["remarks"][0]
    page = await chat.call("get_job_results", job_id=job_id, view="rows", limit=5, include_inputs=True)
    path = exports / f"a.{ending}"
    if ending == "jsonl":
        frame = pl.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines()[:5]])
    else:
        frame = pl.read_parquet(path) if ending == "parquet" else pl.read_csv(path)
    assert frame.columns == answer["columns"] == [*page["columns"], "inference_result"]
    assert [list(row) for row in frame.select(page["columns"]).head(5).rows()] == page["rows"]


SQL = (
    "SELECT label, count(*) AS n, avg(score) AS mean, list(row) AS rows FROM results GROUP BY ALL ORDER BY n"
)
GROUPS = [
    {"label": None, "n": 1, "mean": None, "rows": [2]},
    {"label": "b", "n": 2, "mean": 2.25, "rows": [1, 3]},
    {"label": "a", "n": 3, "mean": 1.0, "rows": [0, 4, 5]},
]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
async def test_sql_writes_all_that_it_yields(chat: Talk, exports: Path, ending: str) -> None:
    """With its types; the file that the query wrote for it is gone."""
    scores = [("a", 1), ("b", 1.5), None, ("b", 3), ("a", 1), ("a", 1)]
    outputs = [each and json.dumps({"label": each[0], "score": each[1]}) for each in scores]
    job_id = chat.emulator.add_job(job_id="job-1", outputs=outputs)
    answer = await chat.call("export_job_results", job_id=job_id, file_name=f"a.{ending}", sql=SQL)
    assert (answer["rows"], answer["columns"]) == (3, ["label", "n", "mean", "rows"])
    path = exports / f"a.{ending}"
    if ending == "parquet":
        assert pl.read_parquet(path).to_dicts() == GROUPS
    elif ending == "jsonl":
        assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == GROUPS
    else:
        assert path.read_bytes().decode() == snapshot(
            '"label","n","mean","rows"\r\n,1,,"[2]"\r\n"b",2,2.25,"[1,3]"\r\n"a",3,1.0,"[0,4,5]"\r\n'
        )
    assert names(exports) == {path.name}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"sql": "SELECT labell FROM results"}, 'there is no column "labell"; the nearest names are "label"'),
        ({"sql": "COPY results TO 'x.csv'"}, "COPY is not allowed: it has to be one SELECT"),
        ({"sql": "SELECT * FROM read_csv('/etc/hosts')"}, "SQL can read the tables listed here"),
        ({"sql": "SELECT 1", "join_with": "a.csv"}, "join_with cannot be combined with sql"),
        ({"sql": "SELECT 1", "unpack_json": False, "output_column": "x"}, "unpack_json and output_column"),
    ],
)
async def test_sql_that_cannot_be_exported_says_why_and_leaves_nothing(
    chat: Talk, exports: Path, arguments: dict[str, Any], why: str
) -> None:
    """As a question would be refused; arguments that it would ignore are."""
    job_id = chat.emulator.add_job(job_id="job-1", outputs=['{"label": "a"}'])
    problem = await chat.refusal("export_job_results", job_id=job_id, file_name="a.csv", **arguments)
    assert why in problem
    assert names(exports) == set()


async def test_every_option_reaches_the_file(chat: Talk, exports: Path) -> None:
    """Diagnostics, a name for the outputs, and a file of the user's to add them to."""
    job_id = chat.emulator.find(TRIAGE)
    exports.mkdir()
    rows = chat.emulator.job(job_id).num_rows
    pl.DataFrame({"ticket": range(rows or 0)}).write_csv(exports / "tickets.csv")
    answer = await chat.call(
        "export_job_results",
        job_id=job_id,
        file_name="joined.csv",
        include_cumulative_logprobs=True,
        unpack_json=False,
        output_column="label",
        join_with="tickets.csv",
    )
    assert answer["columns"] == ["ticket", "label", "cumulative_logprobs"]
    frame = pl.read_csv(exports / "joined.csv")
    assert frame["ticket"].to_list() == list(range(rows or 0))


async def test_a_file_is_kept_unless_overwriting_is_asked_for(chat: Talk, exports: Path) -> None:
    """The refusal says which argument to change; the results are fetched once."""
    job_id = chat.emulator.find("haiku-smoke-test")
    ask = {"job_id": job_id, "file_name": "haiku.csv"}
    await chat.call("export_job_results", **ask)
    before = (exports / "haiku.csv").stat()
    chat.paths()
    assert await chat.refusal("export_job_results", **ask) == (
        'Cannot write "haiku.csv": a file of that name exists. Choose another name, or pass '
        "overwrite=true if the user wants it replaced."
    )
    assert (exports / "haiku.csv").stat() == before
    await chat.call("export_job_results", **ask, overwrite=True)
    assert (exports / "haiku.csv").stat().st_ino != before.st_ino
    assert names(exports) == {"haiku.csv"}
    assert chat.paths() == []


async def test_a_hostile_file_name_sends_and_touches_nothing(chat: Talk, exports: Path) -> None:
    """The refusal says what a name looks like, and repeats nothing invisible."""
    ask = {"job_id": chat.emulator.find("haiku-smoke-test"), "file_name": "good.csv"}
    hostile = ("../a.csv", "/etc/passwd", "~/a.csv", ".bashrc", "a\u202e.csv", "CON", "a/b.csv", "-a", "C:a")
    for name in hostile:
        for argument in ("file_name", "join_with"):
            refusal = await chat.refusal("export_job_results", **ask | {argument: name})
            assert "Pass one plain name without a path, like a.csv" in refusal
            assert "\u202e" not in refusal
    assert chat.emulator.requests == []
    assert not exports.exists()


async def test_a_file_to_join_with_that_is_not_there_is_said_to_be_missing(chat: Talk, exports: Path) -> None:
    """With the folder to put it into; nothing is written."""
    refusal = await chat.refusal(
        "export_job_results",
        job_id=chat.emulator.find("haiku-smoke-test"),
        file_name="a.csv",
        join_with="mine.csv",
    )
    assert 'Cannot join with "mine.csv": the export folder has no such file.' in refusal
    assert str(exports) in refusal
    assert names(exports) == set()


async def test_what_cannot_be_read_says_why_and_leaves_nothing(chat: Talk, exports: Path) -> None:
    """As the other tools do: jobs without results, and a damaged artifact."""
    chat.emulator.faults.add(Fault.truncated(0), origin="store", times=9)
    for name, words in (
        ("catalogue-copy-refresh", "RUNNING"),
        ("legal-clause-tagging", "QUEUED"),
        ("contract-summaries", "FAILED"),
        ("crm-dedupe-v2", "CANCELLED"),
        ("old-survey-coding", "has no results of it"),
        ("haiku-smoke-test", "Call again"),
    ):
        refusal = await chat.refusal("export_job_results", job_id=chat.emulator.find(name), file_name="a.csv")
        assert words in refusal, name
    assert names(exports) == set()


async def test_the_folder_is_found_once_and_links_that_come_later_are_not_followed(
    chat: Talk, exports: Path, tmp_path: Path
) -> None:
    """An operator may set a link; nobody else may put one there."""
    real, evil = tmp_path / "real", tmp_path / "evil"
    real.mkdir()
    evil.mkdir()
    exports.symlink_to(real)
    ask = {"job_id": chat.emulator.find("haiku-smoke-test")}
    assert (await chat.call("export_job_results", file_name="a", **ask))["folder"] == str(real)
    real.rename(tmp_path / "moved")
    real.symlink_to(evil)
    refusal = await chat.refusal("export_job_results", file_name="b", **ask)
    assert "replaced by a link" in refusal
    assert (names(evil), names(tmp_path / "moved")) == (set(), {"a.parquet"})


async def test_an_export_that_is_cancelled_leaves_nothing(emulator: Emulator, exports: Path) -> None:
    """The worker is killed half way; what it had begun is removed."""
    exports.mkdir()
    job_id = emulator.add_job(status="SUCCEEDED", outputs=[f"{'x' * 500}{n}" for n in range(40_000)])
    settings = Settings(export_dir=exports)
    async with talk(emulator, settings=settings) as chat:
        await chat.call("get_job_results", job_id=job_id, view="rows", limit=1)
        async with anyio.create_task_group() as calls:
            calls.start_soon(lambda: chat.result("export_job_results", job_id=job_id, file_name="a.csv"))
            with anyio.fail_after(60):
                while not names(exports):  # noqa: ASYNC110 - another process makes it
                    await anyio.sleep(0.001)
            calls.cancel_scope.cancel()
        with anyio.fail_after(60):
            while any(name.startswith(".") for name in names(exports)):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        # Whether it was finished by then or not, it is whole or absent, and the next one works.
        assert names(exports) <= {"a.csv"}
        await chat.call("export_job_results", job_id=job_id, file_name="b.csv")
    assert names(exports) - {"a.csv"} == {"b.csv"}


async def test_a_worker_that_dies_leaves_nothing_and_says_so(chat: Talk, exports: Path) -> None:
    """A file to join with that no reader survives: -1 values in its page."""
    from tests.results.support import aborting

    exports.mkdir()
    (exports / "evil.parquet").write_bytes(aborting())
    job_id = chat.emulator.find("haiku-smoke-test")
    ask = {"job_id": job_id, "file_name": "a.csv"}
    refusal = await chat.refusal("export_job_results", **ask, join_with="evil.parquet")
    assert "stopped (signal" in refusal
    assert "No file was written: try Parquet, or without inputs and join_with." in refusal
    assert names(exports) == {"evil.parquet"}
    await chat.call("export_job_results", **ask)


async def test_without_a_setting_the_folder_is_in_the_home_folder(emulator: Emulator, tmp_path: Path) -> None:
    """Where a user looks for it."""
    async with talk(emulator, settings=load_settings({})) as chat:
        answer = await chat.call(
            "export_job_results", job_id=emulator.find("haiku-smoke-test"), file_name="a.csv"
        )
    assert answer["folder"] == str(tmp_path / "home" / "sutro-exports")
    assert names(tmp_path / "home" / "sutro-exports") == {"a.csv"}


async def test_without_a_home_folder_the_refusal_names_the_setting(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a user of no name."""

    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    settings = load_settings({})
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(ConfigurationError, match="SUTRO_MCP_EXPORT_DIR to an absolute path"):
        _ = settings.export_folder
    with pytest.raises(ConfigurationError, match='SUTRO_MCP_EXPORT_DIR is "~/x": there is no home folder'):
        load_settings({"SUTRO_MCP_EXPORT_DIR": "~/x"})
