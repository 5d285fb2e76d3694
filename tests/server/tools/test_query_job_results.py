"""SQL over what came out of a job, through the tool, in both eras."""

import json

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator
from tests.support import Talk, talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

TRIAGE = "support-ticket-triage"


async def test_a_question_about_groups_is_answered_by_a_table(chat: Talk) -> None:
    """Text of others stands inside a fence."""
    sql = (
        "SELECT label, count(*) AS n, count(*) FILTER (WHERE score > 2) AS high FROM results "
        "WHERE label IS NOT NULL GROUP BY label ORDER BY label"
    )
    labels = [json.dumps({"label": "ab"[n % 2], "score": n}) for n in range(6)]
    job_id = chat.emulator.add_job(job_id="job-1", outputs=[*labels, "not JSON"])
    assert await chat.text("query_job_results", job_id=job_id, sql=sql) == snapshot("""\
job-1: the SQL yields 2 rows.
<data>
label,n,high
a,3,1
b,3,2
</data>\
""")
    text = await chat.text("query_job_results", job_id=job_id, sql=f"{sql} LIMIT 1")
    assert text.startswith("job-1: the SQL yields 1 row.\n")


async def test_inputs_are_a_column_when_asked_for(chat: Talk) -> None:
    """And what is not shown is said, in both channels."""
    ask = {"job_id": chat.emulator.find(TRIAGE), "sql": "SELECT row, inputs FROM results", "limit": 3}
    answer = await chat.call("query_job_results", **ask, include_inputs=True)
    assert answer["columns"] == ["row", "inputs"]
    assert [row[0] for row in answer["rows"]] == [0, 1, 2]
    assert "rows not shown (limit goes up to 1,000; OFFSET skips rows)" in answer["shortened"]
    assert answer["shortened"] in await chat.text("query_job_results", **ask, include_inputs=True)
    refusal = await chat.refusal("query_job_results", **ask)
    assert 'there is no column "inputs" (include_inputs=true adds it)' in refusal


@pytest.mark.parametrize("more", [{}, {"limit": 1000}])
@pytest.mark.parametrize("name", [TRIAGE, "invoice-extraction", "math-reasoning-audit"])
async def test_no_answer_passes_its_budget(name: str, more: dict[str, int]) -> None:
    """10,000 characters by default, 60,000 when more is asked for, in each channel."""
    async with talk(Emulator()) as chat:
        ask = {"job_id": chat.emulator.find(name), "sql": "SELECT * FROM results", "include_inputs": True}
        result = await chat.result("query_job_results", **ask, **more)
    assert not result.is_error
    most = 60_000 if more else 10_000
    assert len(json.dumps(result.structured_content, ensure_ascii=False)) < most
    assert len(text_of(result)) < most


async def test_the_rows_are_those_of_the_pages(chat: Talk) -> None:
    """A query and a page read the same artifact, which is fetched once."""
    job_id = chat.emulator.find("haiku-smoke-test")
    page = await chat.call("get_job_results", job_id=job_id, view="rows", limit=20)
    chat.emulator.requests.clear()
    answer = await chat.call(
        "query_job_results", job_id=job_id, sql="SELECT inference_result FROM results ORDER BY row"
    )
    assert answer["rows"] == page["rows"]
    assert chat.emulator.requests == []


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT lable FROM results", 'there is no column "lable"; the nearest names are "label"'),
        ("SELECT * FROM read_csv('/etc/passwd')", "SQL can read the tables listed here and nothing else"),
        ("DROP TABLE results", "it has to be one SELECT"),
        ("", "it has to be one SELECT"),
    ],
)
async def test_wrong_sql_lists_the_columns(chat: Talk, sql: str, words: str) -> None:
    """With their types, and names as SQL needs them."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=['{"label": "a", "at": {"x": 1}}'])
    refusal = await chat.refusal("query_job_results", job_id=job_id, sql=sql)
    assert words in refusal
    assert refusal.endswith(
        'The columns of results are "row" BIGINT, "label" VARCHAR, "at" STRUCT(x BIGINT), "at.x" BIGINT, '
        '"inference_result" VARCHAR.'
    )
    assert "/" not in refusal


async def test_what_keeps_a_query_from_running_is_said(chat: Talk) -> None:
    """Jobs without results, and arguments out of range, as in the other tools."""
    ask = {"sql": "SELECT 1 FROM results"}
    for name, words in (("catalogue-copy-refresh", "has not finished"), ("contract-summaries", "FAILED")):
        job_id = chat.emulator.find(name)
        assert words in await chat.refusal("query_job_results", job_id=job_id, **ask)
    assert "limit: " in await chat.refusal("query_job_results", job_id="job-1", limit=1_001, **ask)
    assert "10000" in await chat.refusal("query_job_results", job_id="job-1", sql="x" * 10_001)


async def test_text_of_others_is_made_visible_in_cells_and_names(chat: Talk) -> None:
    """Also where SQL makes a column name of it."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=['{"a\\u202e": "b\\u200b"}'])
    answer = await chat.call("query_job_results", job_id=job_id, sql='SELECT *, 1 AS "x\u202e" FROM results')
    assert answer["columns"] == ["row", "a\\u{202E}", "inference_result", "x\\u{202E}"]
    assert answer["rows"][0][1] == "b\\u{200B}"


def two_runs(chat: Talk, *, after: int = 3) -> None:
    """job-1 and job-2 over the same inputs, of which the second has `after` rows."""
    for job_id, labels in (("job-1", "abb"), ("job-2", "aba"[:after])):
        outputs = [json.dumps({"label": label}) for label in labels]
        chat.emulator.add_job(
            job_id=job_id, outputs=outputs, inputs=[f"input {n}" for n in range(len(outputs))]
        )


async def test_other_jobs_are_tables_beside_the_first(chat: Talk) -> None:
    """Each under its alias; a list may come as text, as some hosts send it."""
    two_runs(chat)
    sql = "SELECT a.label, b.label AS later, count(*) AS n FROM results a JOIN b USING (row) GROUP BY ALL ORDER BY ALL"
    ask = {"job_id": "job-1", "sql": sql}
    text = await chat.text("query_job_results", **ask, with_jobs=["b=job-2"])
    assert text == snapshot("""\
job-1: the SQL yields 3 rows. Tables: results 3 rows (job-1), b 3 rows (job-2).
<data>
label,later,n
a,a,1
b,a,1
b,b,1
</data>\
""")
    assert text_of(await chat.result("query_job_results", **ask, with_jobs="b=job-2")).startswith(text[:80])


async def test_tables_of_unlike_length_are_told(chat: Talk) -> None:
    """As a join by row number would then be a guess."""
    two_runs(chat, after=2)
    sql = "SELECT count(*) AS n FROM results JOIN later USING (inputs)"
    ask = {"job_id": "job-1", "sql": sql, "include_inputs": True}
    assert await chat.text("query_job_results", **ask, with_jobs=["later=job-2"]) == snapshot("""\
job-1: the SQL yields 1 row. Tables: results 3 rows (job-1), later 2 rows (job-2). The tables differ in their rows. Row numbers match only where jobs ran over the same input: else join on a column that both carry, or on inputs (include_inputs=true).
<data>
n
2
</data>\
""")


@pytest.mark.parametrize(
    ("with_jobs", "words"),
    [
        (["job-2"], '"job-2" is not an alias and a job. Write each as alias=job_id, like "before=job-1"'),
        (["Before=job-2"], '"Before=job-2" is not an alias'),
        (["results=job-2"], "two tables would be called results"),
        (["a=job-2", "a=job-1"], "two tables would be called a"),
        (["rEsults=job-2"], "two tables would be called rEsults"),
        (["order=job-2"], "order cannot be the alias of a table. Choose another one"),
        (["leFt=job-2"], "leFt cannot be the alias of a table. Choose another one"),
        (["results_side=job-2"], "results_side cannot be the alias"),
        ([f"t{n}=job-2" for n in range(4)], "query_job_results: with_jobs takes 3 at most, not 4. Correct"),
        (["b=job-3"], "job-3"),
        (["b=job-4"], "Cannot read the results of job-4: the job has not finished"),
    ],
)
async def test_a_wrong_alias_or_job_is_named(chat: Talk, with_jobs: list[str], words: str) -> None:
    """An error about one of several jobs says which."""
    two_runs(chat)
    chat.emulator.add_job(job_id="job-4", status="RUNNING")
    ask = {"job_id": "job-1", "sql": "SELECT 1", "with_jobs": with_jobs}
    assert words in await chat.refusal("query_job_results", **ask)


async def test_wrong_sql_lists_the_columns_of_every_table(chat: Talk) -> None:
    """A model then needs one more call."""
    two_runs(chat)
    ask = {"job_id": "job-1", "sql": "SELECT nothing FROM b", "with_jobs": ["b=job-2"]}
    assert await chat.refusal("query_job_results", **ask) == snapshot(
        'Cannot query the results of job-1 and job-2: there is no column "nothing". The columns of results are "row" BIGINT, "label" VARCHAR, "inference_result" VARCHAR. The columns of b are "row" BIGINT, "label" VARCHAR, "inference_result" VARCHAR.'
    )
