"""Changes between two runs, through the tool, in both eras."""

import json
from typing import Any

import pytest
from inline_snapshot import snapshot

from tests.support import Talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]


def add(chat: Talk, job_id: str, outputs: list[Any], **options: Any) -> str:
    """A job whose inputs are numbered unless they are given."""
    texts = [output if isinstance(output, str) else json.dumps(output) for output in outputs]
    inputs = options.pop("inputs", [f"input {n}" for n in range(len(texts))])
    return chat.emulator.add_job(job_id=job_id, outputs=texts, inputs=inputs, **options)


def two_runs(chat: Talk) -> dict[str, str]:
    """Two runs over the same five inputs, the later with a row more."""
    before: list[dict[str, Any]] = [{"label": "ab"[n % 2], "score": n, "reason": "because"} for n in range(5)]
    after = [each | {"score": each["score"] + (each["label"] == "b")} for each in before]
    after[2]["label"] = "c"
    add(chat, "job-1", before)
    add(chat, "job-2", [*after, {"label": "a", "score": 9, "reason": "new"}])
    return {"job_id": "job-1", "other_job_id": "job-2"}


async def test_what_changed_is_one_answer(chat: Talk) -> None:
    """Rows are matched by number unless the call says otherwise."""
    assert await chat.text("compare_job_results", **two_runs(chat)) == snapshot("""\
job-1 (before) and job-2 (after): 5 rows compared, 3 changed. Inputs: the same in 5 rows, different in 0 rows, unknown in 0.
<data>
by: row
runs:
run,rows,only_here
before,5,0
after,6,1
fields that changed (lost: a value only before; gained: only after; difference: after - before):
field,type,rows,agree,agree_share,moves,mean_difference,sd_difference
score,BIGINT,5,3,0.6,2,0.4,0.547723
label,VARCHAR,5,4,0.8,1,,
most frequent changes:
field,before,after,rows,first_row
score,1,2,1,1
score,3,4,1,3
label,a,c,1,2
first changed rows:
row,field,before,after
1,score,1,2
2,label,a,c
3,score,3,4
fields that did not change: reason
</data>\
""")


async def test_rows_are_matched_by_a_key(chat: Talk) -> None:
    """Null and repeated keys are left out and counted."""
    add(chat, "job-1", [{"id": n, "label": "a"} for n in (1, 2, 2, 3, None)])
    add(chat, "job-2", [{"id": n, "label": "b"} for n in (4, 3, 1)])
    ask = {"job_id": "job-1", "other_job_id": "job-2", "by": "ID"}
    assert await chat.text("compare_job_results", **ask) == snapshot("""\
job-1 (before) and job-2 (after): 2 rows compared, 2 changed. Inputs: the same in 0 rows, different in 2 rows, unknown in 0.
<data>
by: ID
runs (left out: rows whose key is null or repeated in a run):
run,rows,only_here,null_key,repeated_key
before,5,0,1,2
after,3,1,0,0
fields that changed (lost: a value only before; gained: only after; difference: after - before):
field,type,rows,agree,agree_share,moves
label,VARCHAR,2,0,0.0,1
most frequent changes:
field,before,after,rows,first_row,first_row_after
label,a,b,2,0,2
first changed rows:
row,row_after,field,before,after
0,2,label,a,b
3,1,label,a,b
</data>\
""")


async def test_other_inputs_in_the_same_rows_are_told(chat: Talk) -> None:
    """As the comparison by number says little then; by inputs it does."""
    add(chat, "job-1", ["yes", "no"], inputs=["x", "y"])
    add(chat, "job-2", ["no", "yes"], inputs=["y", "x"])
    ask = {"job_id": "job-1", "other_job_id": "job-2"}
    assert await chat.text("compare_job_results", **ask) == snapshot("""\
job-1 (before) and job-2 (after): 2 rows compared, 2 changed. Inputs: the same in 0 rows, different in 2 rows, unknown in 0. Rows with the same number are not about the same input everywhere: compare by inputs, or by a column that tells rows apart.
<data>
by: row
runs:
run,rows,only_here
before,2,0
after,2,0
fields that changed (lost: a value only before; gained: only after; difference: after - before):
field,type,rows,agree,agree_share,moves
inference_result,VARCHAR,2,0,0.0,2
most frequent changes:
field,before,after,rows,first_row
inference_result,yes,no,1,0
inference_result,no,yes,1,1
first changed rows:
row,field,before,after
0,inference_result,yes,no
1,inference_result,no,yes
</data>\
""")
    assert await chat.text("compare_job_results", **ask, by="inputs") == snapshot("""\
job-1 (before) and job-2 (after): 2 rows compared, 0 changed. Inputs: rows are matched by them.
<data>
by: inputs
runs (left out: rows whose key is null or repeated in a run):
run,rows,only_here,null_key,repeated_key
before,2,0,0,0
after,2,0,0,0
fields that did not change: inference_result
</data>\
""")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (
            {"by": "lable"},
            'neither run has a column "lable"; the nearest names are "label". Use row, inputs or',
        ),
        ({"by": "extra"}, 'the run before does not have a column "extra"'),
        ({"other_job_id": "job-4"}, "Cannot read the results of job-4: the job has not finished"),
        ({"job_id": "job-5"}, "job-5"),
    ],
)
async def test_a_wrong_column_or_job_is_named(chat: Talk, ask: dict[str, str], words: str) -> None:
    """With what there is instead."""
    add(chat, "job-1", [{"label": "a"}])
    add(chat, "job-2", [{"label": "a", "extra": 1}])
    chat.emulator.add_job(job_id="job-4", status="RUNNING")
    refusal = await chat.refusal("compare_job_results", **{"job_id": "job-1", "other_job_id": "job-2"} | ask)
    assert words in refusal


async def test_the_demo_has_runs_worth_comparing(chat: Talk) -> None:
    """One model against another over the same tickets; each channel stays small."""
    jobs = [chat.emulator.find(f"model-comparison-{model}") for model in ("gemma", "qwen")]
    answer = await chat.call("compare_job_results", job_id=jobs[0], other_job_id=jobs[1])
    assert (answer["compared_rows"], answer["same_inputs"], answer["unknown_inputs"]) == (200, 200, 0)
    assert 20 < answer["changed_rows"] < 60
    assert len(json.dumps(answer, ensure_ascii=False)) < 6_000


async def test_objects_of_many_numbers_are_compared(chat: Talk) -> None:
    """In the memory that a comparison has."""
    for more in (0, 1):
        add(chat, f"job-{more}", [{f"n{n}": n + more for n in range(190)}] * 50)
    answer = await chat.call("compare_job_results", job_id="job-0", other_job_id="job-1")
    assert answer["changed_rows"] == 50


@pytest.mark.parametrize("by", ["row", "inputs"])
async def test_the_longest_answer_is_within_its_budget(chat: Talk, by: str) -> None:
    """Long names and texts that grow when they are written as JSON or CSV, all of which changed."""

    def outputs(salt: str) -> list[Any]:
        quotes = '"' * 120
        texts = {f'{n}"{"x" * 90}': f"{salt}{quotes}\n" for n in range(60)}
        return [texts | {salt * 80: 1, f"{n}{salt * 70}": 2} for n in range(30)]

    add(chat, "job-1", outputs("a"))
    add(chat, "job-2", outputs("b"))
    ask = {"job_id": "job-1", "other_job_id": "job-2", "by": by}
    result = await chat.result("compare_job_results", **ask)
    text = text_of(result)
    assert len(text) < 6_000
    assert len(json.dumps(result.structured_content, ensure_ascii=False)) < 6_000
    assert "Shortened: " in text
