"""Handles for the tests of other packages: the record of requests and the stored jobs."""

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import Emulator


@pytest.mark.anyio
async def test_every_request_is_recorded_as_it_arrived(emulator: Emulator, client: AsyncClient) -> None:
    """Tests assert on the URL that left a client."""
    response = await client.get("/jobs/a%2Fb?x=1", headers={"X-Mark": "me"})
    (seen,) = emulator.requests
    assert (seen.method, seen.path, seen.query, seen.origin) == ("GET", "/v1/jobs/a%2Fb", {"x": "1"}, "api")
    assert (seen.status, seen.body_bytes) == (404, len(response.content))
    assert seen.headers["x-mark"] == "me"


def test_a_job_is_found_by_id_and_by_name() -> None:
    """The tests' handles; the newest of a name wins."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(name="twice")
    newest = emulator.add_job(name="twice", job_id="job-mine")
    assert emulator.find("twice") == newest == "job-mine"
    assert emulator.job("job-mine").name == "twice"
    with pytest.raises(KeyError):
        emulator.find("never")
    with pytest.raises(KeyError):
        emulator.job("never")


def test_columns_of_different_lengths_are_refused() -> None:
    """A mistake of the test, not a case of the contract."""
    with pytest.raises(ValueError, match="differ in length"):
        Emulator(seed_jobs=False).add_job(outputs=["a"], inputs=["a", "b"])
