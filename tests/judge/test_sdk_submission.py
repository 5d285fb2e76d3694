"""The official SDK submits jobs to the emulator."""

import pytest

from sutro_mcp.emulator import Emulator, Pace

from .conftest import OpenEmulator, SdkOf
from .sdk import Sdk

INPUTS = ["The parcel came late.", "Lovely service!", "How do I return this?"]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["good", "bad"]}, "score": {"type": "integer"}},
}


def test_the_sdk_submits_a_job_and_leaves(emulator: Emulator, sdk: Sdk) -> None:
    """One request; what was asked is what the job object says."""
    answer = sdk.call(
        "infer",
        data=INPUTS,
        model="gpt-oss-120b",
        name="triage",
        description="of three",
        system_prompt="Be brief.",
        output_schema=SCHEMA,
        sampling_params={"temperature": 0.2},
        job_priority=1,
        stay_attached=False,
    )

    job = sdk.call("list_jobs").value[0]
    assert answer.value == job["job_id"]
    assert [seen.path for seen in emulator.requests] == ["/v1/batch-inference", "/v1/list-jobs"]
    assert {
        key: job[key] for key in ("status", "model", "name", "description", "num_rows", "job_priority")
    } == {
        "status": "QUEUED",
        "model": "gpt-oss-120b",
        "name": "triage",
        "description": "of three",
        "num_rows": 3,
        "job_priority": 1,
    }
    assert (job["system_prompt"], job["json_schema"], job["sampling_params"]) == (
        "Be brief.",
        SCHEMA,
        {"temperature": 0.2},
    )


def test_the_sdk_gets_a_cost_estimate(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """A dry run is a job of its own: submitted, awaited, and read for its estimate."""
    emulator = open_emulator(pace=Pace.at_once())
    answer = sdk_of(emulator).call("infer", data=INPUTS, dry_run=True)
    job = emulator.job(answer.value)
    assert job.cost_estimate is not None
    assert f"Cost estimates retrieved for job {answer.value}: ${job.cost_estimate}" in answer.printed


def test_the_sdk_stays_attached_to_a_job_until_its_results(
    open_emulator: OpenEmulator, sdk_of: SdkOf
) -> None:
    """Submission, waiting for the start, the stream to its end, and the outputs printed."""
    emulator = open_emulator(pace=Pace.polls(4))
    sdk = sdk_of(emulator)

    answer = sdk.call("infer", data=INPUTS, stay_attached=True)

    outputs = sdk.call("get_job_results", job_id=answer.value).frame
    assert outputs is not None
    assert str(outputs["inference_result"].to_list()) in answer.printed
    paths = [seen.path.removeprefix("/v1/").partition("/")[0] for seen in emulator.requests]
    assert [path for path in paths if path != "job-status"] == [
        "batch-inference",
        "stream-job-progress",
        "job-results",
        "job-results",
    ]


def test_the_sdk_adds_the_outputs_to_the_frame_it_was_given(
    open_emulator: OpenEmulator, sdk_of: SdkOf
) -> None:
    """A column of a frame as input; a structured output as a column of the printed preview."""
    emulator = open_emulator(pace=Pace.at_once())
    frame = {"library": "polars", "columns": {"review": ["String", INPUTS]}}
    answer = sdk_of(emulator).call(
        "infer", frames={"data": frame}, column="review", output_schema=SCHEMA, output_column="verdict"
    )
    assert emulator.job(answer.value).rows.pairs()[0] == INPUTS
    assert "verdict" in answer.printed


@pytest.mark.parametrize("confidence", [True, False], ids=["scored", "unscored"])
def test_the_sdk_runs_a_function(sdk: Sdk, confidence: bool) -> None:
    """One input, answered in the request."""
    result = sdk.call(
        "run_function",
        name="churn-risk",
        input_data={"note": "wants to leave"},
        confidence_scoring=confidence,
    ).value
    assert result["function"]["name"] == "churn-risk"
    assert isinstance(result["output"], str)
    assert (result["confidence"] is not None) is confidence
