"""Jobs as every generation of the API describes them."""

from datetime import UTC, datetime, timedelta

import pytest

from sutro_mcp.api import Failure, Job, Status

from .wire import JOB, answering, client, job, reply

pytestmark = pytest.mark.anyio


async def read_job(**fields: object) -> Job:
    """A job object with these fields, after its trip through the client."""
    async with client(answering(reply(200, {"job": job(**fields)}))) as api:
        return await api.get_job(JOB)


async def test_a_job_is_read_with_every_field() -> None:
    """The example of the documentation, field by field."""
    sent: dict[str, object] = {
        "job_id": JOB,
        "model": "llama-3.1-8b",
        "system_prompt": "You are a helpful assistant.",
        "job_priority": 1,
        "status": "succeeded",
        "datetime_created": "2024-01-15T10:30:00Z",
        "datetime_started": "2024-01-15T10:30:15Z",
        "datetime_completed": "2024-01-15T10:32:15Z",
        "datetime_added": "2024-01-15T10:29:59Z",
        "json_schema": {"type": "object"},
        "sampling_params": {"temperature": 0.7},
        "name": "Batch",
        "description": "Inquiries",
        "dataset_id": "dataset-1",
        "input_tokens": 15420,
        "output_tokens": 8230,
        "job_cost": 1,
        "num_rows": 50,
        "failure_reason": None,
        "cost_estimate": 0.025,
        "run_type": "FULL",
        "a_field_of_tomorrow": {"x": 1},
    }
    async with client(answering(reply(200, {"job": sent}))) as api:
        found = await api.get_job(JOB)
    at = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
    assert found.model_dump() == {
        **{name: value for name, value in sent.items() if name != "a_field_of_tomorrow"},
        "status": Status.SUCCEEDED,
        "datetime_created": at,
        "datetime_started": at + timedelta(seconds=15),
        "datetime_completed": at + timedelta(seconds=135),
        "datetime_added": at - timedelta(seconds=1),
    }


AT = "2024-01-15T10:30:00+00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((f"2024-01-15T10:30:00{zone}", AT) for zone in ("Z", "z", "+00:00", "", ".Z")),
        *((f"2024-01-15{time}", AT) for time in (" 10:30:00", "T12:30:00+0200", "T08:00:00-02:30")),
        ("2024-01-15T10:30:00.5", "2024-01-15T10:30:00.500000+00:00"),
        ("2024-01-15T10:30:00.123456Z", "2024-01-15T10:30:00.123456+00:00"),
        ("2024-01-15T10:30:00.123456789+00:00", "2024-01-15T10:30:00.123456+00:00"),
        *((f"2024-01-15T10:30:{junk}", None) for junk in ("00.1234567890Z", "60Z", "00+99:00")),
        *((junk, None) for junk in ("2024-13-15T10:30:00Z", "0001-01-01T00:00:00+02:00", "yesterday")),
        *(("٢٠٢٤-01-15T10:30:00Z", None), (1705314600, None), (None, None), ([], None)),
    ],
)
async def test_a_timestamp_becomes_utc_or_nothing(text: object, expected: str | None) -> None:
    """0 to 9 digits of fraction, Z, an offset, or no zone at all."""
    found = (await read_job(datetime_created=text)).datetime_created
    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0, 0), (7, 7), (7.0, 7), (-1, None), (7.5, None), (True, None), (2**63, None), ([], None)),
        (None, None),
        *(("1000", 1000), ("1000.00", 1000), ("1e3", 1000), ("7.5", None), ("1,000", None), ("", None)),
        *(("9" * 41, None), (str(2**63), None), ("-7", None), ("٧", None), ("seven", None), ("nan", None)),
    ],
    ids=repr,
)
async def test_a_count_is_a_whole_number_or_nothing(value: object, expected: int | None) -> None:
    """Also as text, as JSON of decimals often is; a guess would be shown as a fact."""
    assert (await read_job(num_rows=value)).num_rows == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0, 0.0), (1, 1.0), (0.5, 0.5), (-1, None), (False, None), (None, None)),
        *(("1.25", 1.25), ("1e999", None), ("$1", None)),
    ],
    ids=repr,
)
async def test_an_amount_is_a_finite_number_or_nothing(value: object, expected: float | None) -> None:
    """Money may be an integer, or text."""
    assert (await read_job(job_cost=value)).job_cost == expected


async def test_a_field_of_the_wrong_type_costs_only_itself() -> None:
    """Junk in every field but the id still is a job."""
    junk: dict[str, object] = {name: [1] for name in set(Job.model_fields) - {"job_id", "failure_reason"}}
    found = await read_job(**junk)
    figures = {"num_rows", "input_tokens", "output_tokens", "job_cost"}
    assert found == Job(job_id=JOB, unreadable=frozenset(figures))
    assert found.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((None, None), ("", None), ({}, None), ([], None)),
        ("out of memory", Failure(message="out of memory")),
        ({"message": "boom"}, Failure(message="boom")),
        (
            {"message": "boom", "additional_context": {"gpu": 3}},
            Failure(message="boom", additional_context='{"gpu":3}'),
        ),
        ({"detail": "boom", "additional_context": "log"}, Failure(message="boom", additional_context="log")),
        ({"message": "", "error": "boom"}, Failure(message="boom")),
        ({"message": {"code": 7}}, Failure(message='{"code":7}')),
        ({"code": 7}, Failure(message='{"code":7}')),
        (["a", "b"], Failure(message='["a","b"]')),
        (7, Failure(message="7")),
    ],
    ids=repr,
)
async def test_a_failure_reason_is_read_in_every_shape(value: object, expected: Failure | None) -> None:
    """String, object with one of three names, or anything else as JSON."""
    assert (await read_job(failure_reason=value)).failure_reason == expected


def test_a_failure_that_is_read_already_stays_as_it_is() -> None:
    """For callers that build a Job themselves."""
    failure = Failure(message="boom", additional_context="log")
    assert Job(job_id=JOB, failure_reason=failure).failure_reason == failure


@pytest.mark.parametrize(
    ("word", "status"),
    [
        *((status.value, status) for status in Status),
        *((status.value.lower(), status) for status in Status),
        ("pending", Status.QUEUED),
        ("SUBMITTED", Status.QUEUED),
        ("Completed", Status.SUCCEEDED),
        ("canceled", Status.CANCELLED),
        ("CANCELING", Status.CANCELLING),
        (" running ", Status.RUNNING),
        (Status.FAILED, Status.FAILED),
        *((word, Status.UNKNOWN) for word in ("paused", "is_terminal", "", 3, None)),
    ],
)
def test_a_status_is_read_in_any_generation(word: object, status: Status) -> None:
    """Any case, the aliases, and UNKNOWN for the rest."""
    assert Status.read(word) is status


def test_only_three_statuses_are_final() -> None:
    """A job that is being cancelled may still succeed."""
    assert {status for status in Status if status.is_terminal} == {
        Status.SUCCEEDED,
        Status.FAILED,
        Status.CANCELLED,
    }
