"""The official SDK reads the emulator's results: every option, and its cache."""

import polars
import pytest
from polars.testing import assert_frame_equal

from sutro_mcp.emulator import Emulator, Fault

from .sdk import Sdk

LABELS = ['{"label": "good", "score": 1}', '{"label": "bad", "score": 2}']


def add_job_with_everything(emulator: Emulator) -> str:
    """A structured job of two rows with every column the API knows."""
    return emulator.add_job(
        inputs=["first", "second"],
        outputs=LABELS,
        cumulative_logprobs=[-0.5, -1.0],
        confidence_score=[1.0, 0.25],
        id_column=("ticket_id", [7, 8]),
    )


def test_the_sdk_reads_every_column_there_is(emulator: Emulator, sdk: Sdk) -> None:
    """Inputs first, then what was carried, the output, the diagnostics."""
    job_id = add_job_with_everything(emulator)

    frame = sdk.call(
        "get_job_results",
        job_id=job_id,
        include_inputs=True,
        include_cumulative_logprobs=True,
        unpack_json=False,
        output_column="answer",
    ).frame

    expected = {
        "inputs": ["first", "second"],
        "ticket_id": [7, 8],
        "answer": LABELS,
        "cumulative_logprobs": [-0.5, -1.0],
        "confidence_score": [1.0, 0.25],
    }
    assert frame is not None
    assert_frame_equal(frame, polars.DataFrame(expected))


def test_the_sdk_unpacks_structured_outputs(emulator: Emulator, sdk: Sdk) -> None:
    """The fields come after everything else; the carried column needs no asking."""
    job_id = add_job_with_everything(emulator)
    frame = sdk.call("get_job_results", job_id=job_id).frame
    expected = {
        "ticket_id": [7, 8],
        "confidence_score": [1.0, 0.25],
        "label": ["good", "bad"],
        "score": [1, 2],
    }
    assert frame is not None
    assert_frame_equal(frame, polars.DataFrame(expected))


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("haiku-smoke-test", 1),
        ("support-ticket-triage", 1),
        ("invoice-extraction", None),
        ("math-reasoning-audit", 2),
        ("multilingual-greetings", 1),
        ("churn-function-scores", None),
        ("product-review-sentiment", None),
    ],
)
def test_the_sdk_reads_the_results_of_the_seed_jobs(
    emulator: Emulator, sdk: Sdk, name: str, columns: int | None
) -> None:
    """As many rows as the job says, and no job that breaks the SDK."""
    job_id = emulator.find(name)
    answer = sdk.call("get_job_results", job_id=job_id, include_inputs=True, include_cumulative_logprobs=True)
    assert answer.raised is None
    assert answer.frame is not None
    assert answer.frame.height == emulator.job(job_id).num_rows
    assert {"inputs", "cumulative_logprobs"} <= set(answer.frame.columns)
    assert columns is None or answer.frame.width == 2 + columns


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("catalogue-copy-refresh", "Bad status code: 409"),
        ("contract-summaries", "Bad status code: 409"),
        ("old-survey-coding", "Bad status code: 404"),
    ],
    ids=["still running", "failed", "past its retention"],
)
def test_the_sdk_understands_that_there_are_no_results(
    emulator: Emulator, sdk: Sdk, name: str, said: str
) -> None:
    """None, and the reason printed."""
    answer = sdk.call("get_job_results", job_id=emulator.find(name))
    assert (answer.frame, answer.raised) == (None, None)
    assert said in answer.printed


def test_the_sdk_reads_cached_results_without_a_request(emulator: Emulator, sdk: Sdk) -> None:
    """Another output column and other unpacking are applied to the same cache entry."""
    job_id = add_job_with_everything(emulator)
    first = sdk.call("get_job_results", job_id=job_id, include_inputs=True)
    requests = len(emulator.requests)
    again = sdk.call("get_job_results", job_id=job_id, include_inputs=True)
    renamed = sdk.call("get_job_results", job_id=job_id, unpack_json=False, output_column="answer")
    assert first.frame is not None
    assert again.frame is not None
    assert_frame_equal(again.frame, first.frame)
    assert renamed.frame is not None
    assert renamed.frame["answer"].to_list() == LABELS
    assert len(emulator.requests) == requests


def test_the_sdk_asks_again_for_columns_that_its_cache_lacks(emulator: Emulator, sdk: Sdk) -> None:
    """A file cached without inputs cannot answer a call that wants them."""
    job_id = add_job_with_everything(emulator)
    sdk.call("get_job_results", job_id=job_id)
    frame = sdk.call("get_job_results", job_id=job_id, include_inputs=True).frame
    assert frame is not None
    assert frame["inputs"].to_list() == ["first", "second"]
    assert [seen.path for seen in emulator.requests] == ["/v1/job-results"] * 2


def test_the_sdk_asks_every_time_without_its_cache(emulator: Emulator, sdk: Sdk) -> None:
    """Nothing is read from the home directory and nothing written."""
    job_id = add_job_with_everything(emulator)
    for _ in range(2):
        sdk.call("get_job_results", job_id=job_id, disable_cache=True)
    assert [seen.path for seen in emulator.requests] == ["/v1/job-results"] * 2
    assert list(sdk.home.iterdir()) == []


def test_the_sdk_waits_out_a_timeout_of_the_edge(emulator: Emulator, sdk: Sdk) -> None:
    """An HTML page with status 524 is retried after a second."""
    job_id = add_job_with_everything(emulator)
    emulator.faults.add(Fault.html(524), path="/job-results")
    answer = sdk.call("get_job_results", job_id=job_id)
    assert answer.frame is not None
    assert [seen.status for seen in emulator.requests] == [524, 200]
