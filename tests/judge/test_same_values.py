"""Values that are no frames: the official SDK and our library read the same from the same emulator."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from sutro_mcp import SutroClient, errors
from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault, Pace

from .conftest import OpenEmulator, SdkOf
from .sdk import Sdk

Call = Callable[[SutroClient], Coroutine[Any, Any, Any]]


def ours(emulator: Emulator, call: Call, api_key: str = DEMO_KEY) -> Any:
    """Our library's answer."""

    async def ask() -> Any:
        async with SutroClient(api_key=api_key, api_url=emulator.api_origin) as client:
            return await call(client)

    return asyncio.run(ask())


def test_both_list_the_same_jobs(emulator: Emulator, sdk: Sdk) -> None:
    """Every field that the API documents, in the same order of jobs."""
    theirs = sdk.call("list_jobs").value
    jobs = ours(emulator, lambda client: client.list_jobs())
    assert [as_sent(job) for job in jobs] == [with_message_only(job) for job in theirs]


def test_both_page_through_the_same_jobs(emulator: Emulator, sdk: Sdk) -> None:
    """The SDK takes all at once; our pages joined are the same."""
    theirs = sdk.call("list_jobs").value

    async def collect(client: SutroClient) -> list[str]:
        return [job.job_id async for job in client.iter_jobs(page_size=3)]

    assert ours(emulator, collect) == [job["job_id"] for job in theirs]


def test_both_read_the_same_statuses(emulator: Emulator, sdk: Sdk) -> None:
    """In the words of the API, one job for each word in the account."""
    job_ids = list({job["status"]: job["job_id"] for job in sdk.call("list_jobs").value}.values())

    async def read(client: SutroClient) -> list[str]:
        return [(await client.get_job_status(job_id)).status.value for job_id in job_ids]

    assert ours(emulator, read) == [sdk.call("get_job_status", job_id=job_id).value for job_id in job_ids]


def test_both_read_the_same_quotas(emulator: Emulator, sdk: Sdk) -> None:
    """Field by field."""
    quotas = ours(emulator, lambda client: client.get_quotas())
    assert [quota.model_dump() for quota in quotas] == sdk.call("get_quotas").value


def test_both_are_authenticated_alike(emulator: Emulator, sdk: Sdk) -> None:
    """By the same check."""
    theirs = sdk.call("try_authentication", api_key=DEMO_KEY).value
    assert ours(emulator, lambda client: client.check_auth()).authenticated is theirs["authenticated"] is True


def test_both_are_refused_with_a_wrong_key(emulator: Emulator, sdk: Sdk) -> None:
    """None there is an error here."""
    assert sdk.call("try_authentication", api_key="sk_wrong").value is None
    with pytest.raises(errors.AuthenticationError):
        ours(emulator, lambda client: client.check_auth(), "sk_wrong")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("catalogue-copy-refresh", errors.ResultsNotReadyError),
        ("legal-clause-tagging", errors.ResultsNotReadyError),
        ("contract-summaries", errors.NoResultsError),
        ("crm-dedupe-v2", errors.NoResultsError),
        ("old-survey-coding", errors.ResultsGoneError),
    ],
)
def test_both_have_no_results_of_the_same_jobs(
    emulator: Emulator, sdk: Sdk, name: str, error: type[Exception]
) -> None:
    """None there is an error here, which says which of the reasons it is."""
    job_id = emulator.find(name)
    assert sdk.call("get_job_results", job_id=job_id).frame is None
    with pytest.raises(error):
        ours(emulator, lambda client: client.get_job_results(job_id))


def test_neither_asks_for_results_again(emulator: Emulator, sdk: Sdk) -> None:
    """Not for other names and other unpacking either."""
    job_id = emulator.add_job(outputs=['{"label": "good"}'])
    sdk.call("get_job_results", job_id=job_id)
    first = len(emulator.requests)
    theirs = sdk.call("get_job_results", job_id=job_id, unpack_json=False, output_column="answer").frame
    assert len(emulator.requests) == first

    async def read_twice(client: SutroClient) -> Any:
        await client.get_job_results(job_id)
        asked = len(emulator.requests)
        frame = await client.get_job_results(job_id, unpack_json=False, output_column="answer")
        assert len(emulator.requests) == asked
        return frame

    assert theirs is not None
    assert_frame_equal(ours(emulator, read_twice), theirs)


def test_both_miss_the_same_job(emulator: Emulator, sdk: Sdk) -> None:
    """None there is an error here."""
    assert sdk.call("get_job_status", job_id="job-nowhere").value is None
    with pytest.raises(errors.JobNotFoundError):
        ours(emulator, lambda client: client.get_job_status("job-nowhere"))


def test_both_cancel_a_job_with_the_same_request(emulator: Emulator, sdk: Sdk) -> None:
    """The request and what came of it."""
    first, second = (emulator.add_job(status="RUNNING", num_rows=10) for _ in range(2))
    theirs = sdk.call("cancel_job", job_id=first).value
    reply = ours(emulator, lambda client: client.cancel_job(second))
    assert reply.accepted is theirs["cancelled"] is True
    assert [(seen.method, seen.path) for seen in emulator.requests] == [
        ("GET", f"/v1/job-cancel/{first}"),
        ("GET", f"/v1/job-cancel/{second}"),
    ]
    assert emulator.job(first).status == emulator.job(second).status == "CANCELLING"


def test_both_read_a_progress_stream_to_its_last_row(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """The SDK shows a bar that reaches all rows and token counts; our events say the same."""
    emulator = open_emulator(pace=Pace.polls(5))
    first, second = (emulator.add_job(status="RUNNING", num_rows=40, progress=0.1) for _ in range(2))

    async def follow(client: SutroClient) -> list[Any]:
        await client.get_job(second)  # as `attach` does, which moves the job one step
        return [event async for event in client.stream_job_progress(second)]

    theirs = sdk_of(emulator).call("attach", job_id=first)
    events = ours(emulator, follow)

    rows = [event.rows_done for event in events if event.kind == "progress"]
    # The SDK's bar is closed by the last row, so it does not show what comes after.
    *shown, _ = [event for event in events if event.kind == "tokens"]
    assert "40/40" in theirs.progress
    assert rows == sorted(rows)
    assert rows[-1] == 40
    assert all(
        f"Input tokens processed: {tokens.input_tokens}, Tokens generated: {tokens.output_tokens}"
        in theirs.progress
        for tokens in shown
    )


def test_both_download_the_same_bytes_through_a_cut_connection(
    emulator: Emulator, sdk: Sdk, tmp_path: Path
) -> None:
    """Neither fetches anew what it has, neither shows its key to the store."""
    noise = random.Random(7)
    job_id = emulator.add_job(outputs=[noise.randbytes(512 * 1024).hex() for _ in range(12)])
    folder = tmp_path / "downloads"
    theirs, mine = folder / "theirs.parquet", folder / "ours.parquet"
    cut = 9 * 1024 * 1024

    emulator.faults.add(Fault.dropped(after=cut), method="GET", origin="store")
    for _ in range(2):
        sdk.call("download_job_results", job_id=job_id, output_path=str(theirs))
    emulator.faults.add(Fault.dropped(after=cut), method="GET", origin="store")
    ours(emulator, lambda client: client.download_job_results(job_id, mine))

    gets = [seen for seen in emulator.requests if seen.origin == "store" and seen.method == "GET"]
    size = theirs.stat().st_size
    assert mine.read_bytes() == theirs.read_bytes()
    conditions = [{"range", "if-range", "if-match"} & set(seen.headers) for seen in gets]
    assert conditions == [set(), {"range", "if-range"}, set(), {"range", "if-match"}]
    assert gets[3].body_bytes <= gets[1].body_bytes < size
    assert not any("authorization" in seen.headers for seen in emulator.requests if seen.origin == "store")
    assert sorted(path.name for path in folder.iterdir()) == ["ours.parquet", "theirs.parquet"]


def as_sent(job: Any) -> dict[str, Any]:
    """Our job in the API's own spelling, without what the API did not send."""
    fields = job.model_dump(mode="json")
    for name in ("datetime_created", "datetime_started", "datetime_completed"):
        moment = getattr(job, name)
        fields[name] = moment and moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    del fields["datetime_added"]
    fields["failure_reason"] = job.failure_reason and job.failure_reason.message
    return fields


def with_message_only(job: dict[str, Any]) -> dict[str, Any]:
    """The API's job with the text of its failure, which is what every generation agrees on."""
    return {**job, "failure_reason": job["failure_reason"] and job["failure_reason"]["message"]}
