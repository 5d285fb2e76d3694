"""Everything of one job."""

from datetime import timedelta
from typing import Any

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator
from tests.support import Era, Talk, talk

from .accounts import DAY

pytestmark = pytest.mark.anyio


async def test_a_job_shows_its_settings_times_cost_and_uris(era: Era) -> None:
    """Text of several lines is indented, so that no line of it passes for one of ours."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(
        job_id="job-1",
        status="FAILED",
        name="x\nnum_rows: 999999",
        description="Nightly",
        model="m",
        num_rows=7,
        system_prompt="Judge.",
        json_schema={"type": "object"},
        sampling_params={"temperature": 0.5},
        created=DAY,
        started=DAY + timedelta(seconds=5),
        completed=DAY + timedelta(seconds=65),
        job_cost=0.00002,
        failure_reason={"message": "out of memory", "additional_context": "worker=3"},
    )
    async with talk(emulator, era) as chat:
        assert await chat.text("get_job", job_id="job-1") == snapshot("""\
job_id: job-1
status: FAILED
results: none; results exist once a job has SUCCEEDED, unless it ran as a cost estimate
uris: job sutro://jobs/job-1
<data>
failure: out of memory
failure_context: worker=3
name: x
  num_rows: 999999
description: Nightly
model: m
job_priority: 0
run_type: FULL
created: 2026-03-01T12:00:00Z
started: 2026-03-01T12:00:05Z
completed: 2026-03-01T12:01:05Z
queue_seconds: 5
run_seconds: 60
input_tokens: 12
output_tokens: 120
sampling_params: {"temperature":0.5}
json_schema: {"type":"object"}
system_prompt: Judge.
num_rows: 7
cost_usd: 0.00002
</data>\
""")


async def test_long_prompts_are_cut_unless_asked_for(chat: Talk) -> None:
    """And the answer says how to get them."""
    job_id = chat.emulator.add_job(
        status="FAILED",
        system_prompt="p" * 5_000,
        json_schema={"properties": {f"f{n}": {"type": "string"} for n in range(200)}},
        failure_reason={"message": "m" * 3_000, "additional_context": "c" * 3_000},
    )
    cut = await chat.call("get_job", job_id=job_id)
    assert len(cut["system_prompt"]) == 600
    assert cut["shortened"] == "system_prompt and json_schema cut; full=true shows more"
    assert len(cut["failure"]["message"]) == 1_000
    full = await chat.call("get_job", job_id=job_id, full="true")
    assert full["system_prompt"] == "p" * 5_000
    assert "shortened" not in full


async def test_a_schema_nested_hundreds_deep_is_named_and_not_shown(chat: Talk) -> None:
    """And the job can still be read and summarised."""
    schema: dict[str, Any] = {}
    for _ in range(400):
        schema = {"properties": {"a": schema}, "allOf": [schema] if not schema else []}
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=["x"], json_schema=schema)
    assert "too deeply" in (await chat.call("get_job", job_id=job_id))["json_schema"]
    assert (await chat.call("get_job_results", job_id=job_id))["row_count"] == 1


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("support-ticket-triage", ["", "/results", "/results/summary"]),
        ("nightly-email-classify", ["", "/status"]),
        ("contract-summaries", [""]),
    ],
)
async def test_a_job_names_the_resources_that_can_be_read(chat: Talk, name: str, parts: list[str]) -> None:
    """Those and no other, and each is there."""
    job_id = chat.emulator.find(name)
    uris = (await chat.call("get_job", job_id=job_id))["uris"]
    assert list(uris.values()) == [f"sutro://jobs/{job_id}{part}" for part in parts]
    for uri in uris.values():
        assert await chat.read(uri)
