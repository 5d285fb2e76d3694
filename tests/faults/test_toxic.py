"""The real server behind a bad line: slow, narrow, chopped, cut."""

import anyio
import pytest

from tests.support import Talk, records

from .toxic import Toxic
from .upstream import conversation, faulty_upstream

pytestmark = pytest.mark.anyio

OUTPUTS = [f"output {n}" for n in range(200)]


async def _rows(chat: Talk, job_id: str) -> list[str]:
    answer = await chat.call("get_job_results", job_id=job_id, view="rows", limit=1000, disable_cache=True)
    assert "next_offset" not in answer
    return [cell for (cell,) in answer["rows"]]


@pytest.mark.parametrize(
    "toxic",
    [
        pytest.param(Toxic(latency=0.05), id="latency"),
        pytest.param(Toxic(piece=1), id="single bytes"),
        pytest.param(Toxic(piece=7, latency=0.0005), id="small pieces"),
        pytest.param(Toxic(bytes_per_second=50_000, piece=512), id="narrow"),
    ],
)
async def test_a_bad_line_changes_no_answer(toxic: Toxic) -> None:
    """It takes longer."""
    async with faulty_upstream(toxic, seed_jobs=False) as upstream, conversation(upstream) as chat:
        job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=OUTPUTS)
        assert [job["job_id"] for job in records((await chat.call("list_jobs"))["jobs"])] == [job_id]
        assert (await chat.call("get_job_status", job_id=job_id))["status"] == "SUCCEEDED"
        assert await _rows(chat, job_id) == OUTPUTS


async def test_a_line_too_narrow_for_the_deadline_is_an_error() -> None:
    """Not a part of the results."""
    toxic = Toxic(bytes_per_second=200, piece=16)
    async with (
        faulty_upstream(toxic, seed_jobs=False) as upstream,
        conversation(upstream, results_timeout=0.5, timeout=0.5) as chat,
    ):
        job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=OUTPUTS)
        assert "within 0.5 seconds" in await chat.refusal("get_job_results", job_id=job_id)


async def test_a_connection_reset_anywhere_is_made_again() -> None:
    """After every so many bytes of head and body, of API and store; asked twice, the answer is whole."""
    toxic = Toxic(times=0)
    async with faulty_upstream(toxic, seed_jobs=False) as upstream:
        job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=OUTPUTS)
        for after in (0, 1, 100, 300, 800, 2_500):
            toxic.reset_after, toxic.times = after, 2
            async with conversation(upstream) as chat:
                with anyio.fail_after(60):
                    assert await _rows(chat, job_id) == OUTPUTS


async def test_a_line_that_is_always_cut_is_an_error() -> None:
    """After a bounded number of attempts."""
    toxic = Toxic(reset_after=20)
    async with faulty_upstream(toxic, seed_jobs=False) as upstream, conversation(upstream) as chat:
        job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=OUTPUTS)
        assert "the connection to the deployment broke" in await chat.refusal("get_job_status", job_id=job_id)
        assert upstream.connections == 3
