"""Cancelling: sent once, never blindly again, and honest about what is not known."""

from collections.abc import Callable

import httpx
import pytest

from sutro_mcp import errors
from sutro_mcp.api import ApiClient, ApiKey, CancelReply, Connection, Status
from sutro_mcp.emulator import Emulator

from .wire import JOB, answering, client, emulated, error_of, reply, socket_server

pytestmark = pytest.mark.anyio


async def cancel(api: ApiClient) -> None:
    await api.cancel_job(JOB)


ACCEPTED = {"cancelled": True, "message": "Cancelling."}


async def test_cancelling_asks_once_and_the_job_is_then_cancelling() -> None:
    """Accepted is not done; whether to cancel is for the caller to find out before."""
    emulator = Emulator()
    job_id = emulator.add_job(status="RUNNING")
    async with emulated(emulator) as api:
        assert (await api.cancel_job(job_id)).accepted
        assert [request.method for request in emulator.requests] == ["GET"]
        assert (await api.get_job_status(job_id)).status is Status.CANCELLING


async def test_a_refusal_is_an_answer() -> None:
    """With the deployment's reason."""
    async with client(answering(reply(200, {"cancelled": False, "message": "Already over."}))) as api:
        assert await api.cancel_job(JOB) == CancelReply(accepted=False, message="Already over.")


async def test_where_get_is_not_allowed_the_documented_post_is_sent() -> None:
    """Once each."""
    transport = answering(reply(405), reply(200, ACCEPTED))
    async with client(transport) as api:
        assert (await api.cancel_job(JOB)).accepted
    assert transport.targets == [f"GET /v1/job-cancel/{JOB}", f"POST /v1/job-cancel/{JOB}"]


async def test_where_neither_is_allowed_it_is_said() -> None:
    """Nothing was cancelled."""
    transport = answering(lambda: reply(405))
    assert "does not allow this method here" in str(await error_of(transport, cancel))
    assert len(transport.seen) == 2


def lost() -> httpx.Response:
    raise httpx.ReadError("reset")


def silent() -> httpx.Response:
    raise httpx.ReadTimeout("")


LOST: dict[str, tuple[Callable[[], httpx.Response], type[errors.SutroError]]] = {
    "connection": (lost, errors.ConnectionFailedError),
    "time-out": (silent, errors.DeadlineExceededError),
    "408": (lambda: reply(408), errors.DeadlineExceededError),
    "500": (lambda: reply(500), errors.ServiceUnavailableError),
    "524 page": (lambda: reply(524, b"<html>"), errors.ServiceUnavailableError),
    "cut body": (lambda: reply(200, b"{", headers={"content-length": "9"}), errors.IncompleteReplyError),
    "broken JSON": (lambda: reply(200, b"{"), errors.UnexpectedReplyError),
    "no word about it": (lambda: reply(200, {}), errors.UnexpectedReplyError),
    "a word that is no yes or no": (lambda: reply(200, {"cancelled": "maybe"}), errors.UnexpectedReplyError),
}


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("after_405", [False, True], ids=["GET", "POST"])
async def test_a_lost_reply_leaves_the_outcome_unknown_and_is_not_sent_again(
    case: str, after_405: bool
) -> None:
    """The request may have been carried out."""
    make, kind = LOST[case]
    transport = answering(*([reply(405)] if after_405 else []), make)
    error = await error_of(transport, cancel)
    assert isinstance(error, kind)
    assert "so the outcome is UNKNOWN: the job may or may not be cancelled" in str(error)
    assert "Call get_job_status to see" in str(error)
    assert len(transport.seen) == 1 + after_405


NOT_CARRIED_OUT: dict[str, tuple[httpx.Response | Exception, type[errors.SutroError]]] = {
    "401": (reply(401), errors.AuthenticationError),
    "409": (reply(409, {"detail": "no"}), errors.RejectedError),
    "429": (reply(429), errors.RateLimitedError),
    "404": (reply(404, {"detail": "Job not found"}), errors.JobNotFoundError),
    "no connection": (httpx.ConnectError(""), errors.ConnectionFailedError),
    "no connection in time": (httpx.ConnectTimeout(""), errors.DeadlineExceededError),
    "no place in the pool": (httpx.PoolTimeout(""), errors.DeadlineExceededError),
}


@pytest.mark.parametrize("case", NOT_CARRIED_OUT)
async def test_a_request_that_was_refused_or_never_left_is_not_unknown(case: str) -> None:
    """Nor is it repeated."""
    answer, kind = NOT_CARRIED_OUT[case]
    transport = answering(answer)
    error = await error_of(transport, cancel)
    assert isinstance(error, kind)
    assert "UNKNOWN" not in str(error)
    assert len(transport.seen) == 1


async def test_a_server_that_hangs_leaves_the_outcome_unknown() -> None:
    """The deadline of the call strikes."""
    hanging = socket_server([b"HTTP/1.1 200 OK\r\n", 5.0])
    async with hanging as (origin, requests), client(None, origin=origin, timeout=3) as api:
        with pytest.raises(errors.DeadlineExceededError, match="the outcome is UNKNOWN"):
            await api.cancel_job(JOB)
    assert len(requests) == 1


async def test_on_the_central_host_paths_have_no_prefix() -> None:
    """The documented base of the second generation."""
    transport = answering(reply(200, ACCEPTED))
    connection = Connection("https://api.sutro.sh", ApiKey("k"), "default", "argument")
    async with ApiClient(connection, transport=transport) as api:
        await api.cancel_job(JOB)
    assert str(transport.seen[0].url) == f"https://api.sutro.sh/job-cancel/{JOB}"
