"""The official SDK finds, follows and stops the emulator's jobs."""

import pytest

from sutro_mcp.emulator import Emulator, Pace

from .conftest import OpenEmulator, SdkOf
from .sdk import Sdk


def test_the_sdk_lists_every_job_newest_first(emulator: Emulator, sdk: Sdk) -> None:
    """The one call gives all jobs, seeds and later ones."""
    newest = emulator.add_job(name="newest")
    jobs = sdk.call("list_jobs").value
    created = [job["datetime_created"] for job in jobs]
    assert jobs[0]["job_id"] == newest
    assert created == sorted(created, reverse=True)
    assert emulator.find("product-review-sentiment") in [job["job_id"] for job in jobs]


def test_the_sdk_lists_nothing_in_an_empty_account(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """No jobs are an empty list, not a failure."""
    empty = open_emulator(seed_jobs=False)
    assert sdk_of(empty).call("list_jobs").value == []


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("haiku-smoke-test", "SUCCEEDED"),
        ("catalogue-copy-refresh", "RUNNING"),
        ("legal-clause-tagging", "QUEUED"),
        ("contract-summaries", "FAILED"),
        ("crm-dedupe-v2", "CANCELLED"),
    ],
)
def test_the_sdk_reads_the_status_of_a_job(emulator: Emulator, sdk: Sdk, name: str, status: str) -> None:
    """The word itself, in capitals."""
    assert sdk.call("get_job_status", job_id=emulator.find(name)).value == status


@pytest.mark.parametrize(
    "method", ["get_job_status", "get_job_results", "cancel_job", "results_download_url"]
)
def test_the_sdk_understands_that_a_job_does_not_exist(sdk: Sdk, method: str) -> None:
    """A 404 with a JSON body, which the SDK prints instead of raising."""
    answer = sdk.call(method, job_id="job-nowhere")
    assert (answer.value, answer.raised) == (None, None)
    assert "Job with job_id job-nowhere not found." in answer.printed


@pytest.mark.parametrize("method", ["list_jobs", "get_quotas"])
def test_the_sdk_understands_that_its_key_is_refused(emulator: Emulator, sdk_of: SdkOf, method: str) -> None:
    """A 401 with a JSON body."""
    answer = sdk_of(emulator, "sk_of_somebody_else").call(method)
    assert (answer.value, answer.raised) == (None, None)
    assert "Bad status code: 401" in answer.printed


def test_the_sdk_is_authenticated_with_the_right_key(emulator: Emulator, sdk: Sdk) -> None:
    """The question of `sutro login`."""
    answer = sdk.call("try_authentication", api_key=emulator.api_key)
    assert answer.value["authenticated"] is True
    assert [(seen.path, seen.status) for seen in emulator.requests] == [("/v1/auth/check", 200)]


def test_the_sdk_is_not_authenticated_with_a_wrong_key(sdk: Sdk) -> None:
    """None, whatever key the client itself has."""
    answer = sdk.call("try_authentication", api_key="sk_wrong")
    assert answer.value is None
    assert "API key failed to authenticate: 401" in answer.printed


def test_the_sdk_reads_the_quotas_in_order_of_priority(sdk: Sdk) -> None:
    """The documented defaults."""
    assert sdk.call("get_quotas").value == [
        {"priority": 0, "row_quota": 1_000, "token_quota": 1_000_000},
        {"priority": 1, "row_quota": 1_000_000, "token_quota": 10_000_000},
    ]


def test_the_sdk_cancels_a_running_job(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """The request is accepted at once; the job is stopped some looks later."""
    emulator = open_emulator(pace=Pace.polls(100))
    job_id = emulator.find("catalogue-copy-refresh")
    sdk = sdk_of(emulator)
    asked = sdk.call("cancel_job", job_id=job_id)
    seen = [sdk.call("get_job_status", job_id=job_id).value for _ in range(2)]
    assert asked.value["cancelled"] is True
    assert "Job cancelled" in asked.printed
    assert seen == ["CANCELLING", "CANCELLED"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("haiku-smoke-test", "Job already completed."),
        ("contract-summaries", "Job is in failed state."),
        ("crm-dedupe-v2", "Job was cancelled."),
    ],
)
def test_the_sdk_does_not_attach_to_a_finished_job(
    emulator: Emulator, sdk: Sdk, name: str, said: str
) -> None:
    """It reads the job and says how it ended, without opening the stream."""
    job_id = emulator.find(name)
    answer = sdk.call("attach", job_id=job_id)
    assert said in answer.printed
    assert [seen.path for seen in emulator.requests] == [f"/v1/jobs/{job_id}"]


@pytest.mark.parametrize("name", ["catalogue-copy-refresh", "legal-clause-tagging"])
def test_the_sdk_attaches_to_a_job_until_its_last_row(
    open_emulator: OpenEmulator, sdk_of: SdkOf, name: str
) -> None:
    """Progress up to all rows counts as success for the SDK, and tokens are shown on the way."""
    emulator = open_emulator(pace=Pace.polls(5))
    job_id = emulator.find(name)
    answer = sdk_of(emulator).call("attach", job_id=job_id)
    assert answer.raised is None
    assert f"Job succeeded. Use `sutro jobs results {job_id}`" in answer.printed
    assert "100%" in answer.progress
    assert "Tokens generated: " in answer.progress


def test_the_sdk_sees_that_a_job_it_is_attached_to_fails(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """The stream ends before all rows are done, so that nothing claims success."""
    emulator = open_emulator(pace=Pace.polls(5))
    job_id = emulator.add_job(status="RUNNING", num_rows=100, outcome="FAILED", progress=0.2)
    answer = sdk_of(emulator).call("attach", job_id=job_id)
    assert answer.raised is None
    assert "Job succeeded" not in answer.printed
    assert emulator.job(job_id).status == "FAILED"


def test_the_sdk_awaits_a_job_and_gets_its_results(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """A job that is over when first looked at needs no second look."""
    emulator = open_emulator(pace=Pace.at_once())
    job_id = emulator.add_job(status="RUNNING", outputs=["one", "two"])
    answer = sdk_of(emulator).call("await_job_completion", job_id=job_id, output_column="answer")
    assert answer.frame is not None
    assert answer.frame.to_dict(as_series=False) == {"answer": ["one", "two"]}
    assert [seen.path for seen in emulator.requests] == [f"/v1/job-status/{job_id}", "/v1/job-results"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("contract-summaries", "Job has failed"), ("crm-dedupe-v2", "Job has been cancelled")],
)
def test_the_sdk_stops_awaiting_a_job_without_results(
    emulator: Emulator, sdk: Sdk, name: str, said: str
) -> None:
    """None, and the reason printed."""
    answer = sdk.call("await_job_completion", job_id=emulator.find(name))
    assert answer.value is None
    assert said in answer.printed
