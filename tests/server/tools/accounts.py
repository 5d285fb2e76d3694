"""Small accounts whose every value is fixed, for tests that compare whole answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sutro_mcp.emulator import Emulator

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def three_jobs() -> Emulator:
    """One that failed, one that runs, and the newest, which succeeded."""
    emulator = Emulator(seed_jobs=False)
    common: dict[str, Any] = {"model": "m", "created": DAY}
    emulator.add_job(
        job_id="job-c",
        status="FAILED",
        failure_reason={"message": "x"},
        completed=DAY + timedelta(minutes=1),
        num_rows=1,
        **common,
    )
    emulator.add_job(job_id="job-b", status="RUNNING", name="Nightly run", num_rows=1200, **common)
    emulator.add_job(
        job_id="job-a",
        status="SUCCEEDED",
        name="Labels, first",
        outputs=["x", "y"],
        job_cost=0.000012,
        **common,
    )
    return emulator
