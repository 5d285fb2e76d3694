"""Submission, dry runs, Function runs, and what the emulated models answer."""

import json
from typing import Any

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import Emulator, Pace
from sutro_mcp.emulator.fake_models import answer, conforming
from sutro_mcp.emulator.seeded_random import SeededRandom

from .support import Connect, job_of

pytestmark = pytest.mark.anyio


async def _run(client: AsyncClient, **body: Any) -> list[Any]:
    submitted = (await client.post("/batch-inference", json=body)).json()
    results = await client.post("/job-results", json={"job_id": submitted["results"]})
    return results.json()["results"]["outputs"]


async def test_a_submission_becomes_a_waiting_job(client: AsyncClient) -> None:
    """§6.9: exactly 200, `results` is the id."""
    asked = {"inputs": ["a", "b"], "model": "qwen-3-14b", "job_priority": 1, "name": "mine"}
    response = await client.post("/batch-inference", json={**asked, "description": "d"})
    body = response.json()
    job = await job_of(client, body["results"])
    assert (response.status_code, body["metadata"]["job_id"]) == (200, body["results"])
    shown = [job[key] for key in ("status", "model", "job_priority", "name", "description", "num_rows")]
    assert shown == ["QUEUED", "qwen-3-14b", 1, "mine", "d", 2]


async def test_outputs_are_the_same_at_every_run(connect: Connect) -> None:
    """Two accounts, the same submission, the same answers in input order."""
    answers: list[list[Any]] = []
    for _ in range(2):
        client = await connect(Emulator(seed_jobs=False, pace=Pace.at_once()))
        answers.append(await _run(client, inputs=["one fish", "two fish"]))
    assert answers[0] == answers[1]
    assert "one fish" in answers[0][0]
    assert "two fish" in answers[0][1]


async def test_structured_outputs_conform_to_their_schema(connect: Connect) -> None:
    """§7.2: JSON text."""
    client = await connect(Emulator(seed_jobs=False, pace=Pace.at_once()))
    schema = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}, "n": {"type": "integer"}}}
    outputs = await _run(client, inputs=["x"] * 20, json_schema=schema)
    for output in map(json.loads, outputs):
        assert sorted(output) == ["label", "n"]
        assert output["label"] in ("a", "b")
    assert len({json.loads(output)["label"] for output in outputs}) == 2


async def test_reasoning_and_embedding_models_have_their_shapes(connect: Connect) -> None:
    """§7.1 and §7.3."""
    client = await connect(Emulator(seed_jobs=False, pace=Pace.at_once()))
    (thought,) = await _run(client, inputs=["x"], model="qwen-3-14b-thinking")
    (vector,) = await _run(client, inputs=["x"], model="qwen-3-embedding-0.6b")
    assert sorted(json.loads(thought)) == ["content", "reasoning_content"]
    assert all(isinstance(component, float) for component in vector)


async def test_a_function_takes_objects_and_scores_its_confidence(connect: Connect) -> None:
    """§6.9 and §7.1."""
    client = await connect(Emulator(seed_jobs=False, pace=Pace.at_once()))
    record = {"plan": "team", "months": 3}
    body = {"inputs": [record], "model": "churn-risk-scorer"}
    job_id = (await client.post("/batch-inference", json=body)).json()["results"]
    results = (await client.get(f"/jobs/{job_id}/results?format=json&include_inputs=1")).json()
    assert json.loads(results["inputs"][0]) == record
    assert 0 <= results["confidence_score"][0] <= 1


@pytest.mark.parametrize("flag", ["cost_estimate", "dryrun", "dry_run"])
async def test_a_dry_run_ends_with_an_estimate_and_costs_nothing(connect: Connect, flag: str) -> None:
    """§6.9 and C20: a job like any other, with no results."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(2))
    client = await connect(emulator)
    body = {"inputs": ["word " * 400], flag: True}
    job_id = (await client.post("/batch-inference", json=body)).json()["results"]
    before, after = await job_of(client, job_id), await job_of(client, job_id)
    assert (before["cost_estimate"], before["status"]) == (None, "RUNNING")
    assert (after["status"], after["job_cost"], after["run_type"]) == ("SUCCEEDED", 0.0, None)
    assert after["cost_estimate"] > 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"inputs": "https://example.com/rows.csv"}, 400),
        ({"inputs": "dataset-3f0c9a1e-7d52-4c1b-9a51-0f6b8d2c77aa"}, 400),
        ({"inputs": []}, 422),
        ({}, 422),
        ({"inputs": ["a"], "model": 5}, 422),
        ({"inputs": ["a"], "job_priority": 2}, 422),
        ({"inputs": ["a"], "cost_estimate": "yes"}, 422),
        ({"inputs": ["a"], "json_schema": "object"}, 422),
    ],
    ids=[
        "a URL",
        "a dataset",
        "no rows",
        "nothing",
        "a bad model",
        "a bad priority",
        "a bad flag",
        "a bad schema",
    ],
)
async def test_what_cannot_be_run_is_refused(client: AsyncClient, body: dict[str, Any], status: int) -> None:
    """§6.9; no job is made."""
    response = await client.post("/batch-inference", json=body)
    assert response.status_code == status
    assert response.json()["detail"]
    assert (await client.get("/list-jobs")).json()["jobs"] == []


@pytest.mark.parametrize("given", ["some text", {"plan": "team"}])
async def test_a_function_runs_at_once(client: AsyncClient, given: Any) -> None:
    """§6.11: the same input, the same answer."""
    scored = (await client.post("/functions/churn-risk-scorer/run", json={"input": given})).json()
    plain = (
        await client.post(
            "/functions/churn-risk-scorer/run", json={"input": given, "confidence_scoring": False}
        )
    ).json()
    assert scored["function"] == {"name": "churn-risk-scorer"}
    assert (scored["output"], scored["request_id"]) == (plain["output"], plain["request_id"])
    assert 0 <= scored["confidence"] <= 1
    assert plain["confidence"] is None


async def test_a_function_refuses_what_is_no_input(client: AsyncClient) -> None:
    """§6.11: 422 with code and request_id."""
    response = await client.post("/functions/f/run", json={"input": 5})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


_SCHEMAS: list[tuple[Any, list[Any]]] = [
    ({"const": 7}, [7]),
    ({"enum": ["x", "y"]}, ["x", "y"]),
    ({"type": "string", "maxLength": 0}, [""]),
    ({"type": "boolean"}, [True, False]),
    ({"type": "integer", "minimum": 5, "maximum": 6}, [5, 6]),
    ({"type": "number", "minimum": 2, "maximum": 2}, [2.0]),
    ({"type": "null"}, [None]),
    ({"type": ["boolean", "null"]}, [True, False, None]),
    ({"anyOf": [{"type": "null"}]}, [None]),
    ({"oneOf": [{"const": 1}, {"const": 2}]}, [1, 2]),
    ({"type": "array", "items": {"const": 0}, "minItems": 4, "maxItems": 4}, [[0, 0, 0, 0]]),
    ({"properties": {"a": {"const": 1}}}, [{"a": 1}]),
    ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 9}}}, [9]),
    ({"$ref": "#/missing"}, [None]),
    ({"$ref": "#/anyOf/0", "anyOf": [{"const": 1}]}, [None]),
    (True, [None]),
]


@pytest.mark.parametrize(("schema", "fitting"), _SCHEMAS)
def test_a_made_up_value_fits_its_schema(schema: Any, fitting: list[Any]) -> None:
    """The keywords people use; the rest becomes null. Every alternative comes up."""
    root: dict[str, Any] = schema if schema is not True else {}
    made = [conforming(schema, SeededRandom(seed, 0), root) for seed in range(50)]
    assert all(value in fitting for value in made)
    assert all(value in made for value in fitting)


def test_a_schema_that_refers_to_itself_ends() -> None:
    """A tree of limited depth."""
    schema: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    value, depth = conforming(schema, SeededRandom(1, 1), schema), 0
    while value is not None:
        value, depth = value["next"], depth + 1
    assert depth == 4


def test_an_empty_input_is_answered_too() -> None:
    """Null and empty rows exist."""
    assert "an empty input" in str(answer(None, "gpt-oss-20b", None, 1, 0))
