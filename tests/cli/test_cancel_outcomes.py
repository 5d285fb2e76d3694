"""What cancelling came to is told by words, by JSON and by the exit code, whatever the job was before."""

import json
from collections.abc import Iterator

import pytest
from inline_snapshot import snapshot

from sutro_mcp.api import Status
from sutro_mcp.cli import chosen_deployment
from sutro_mcp.cli.main import main
from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault, serve_in_thread

REFUSES = Fault.json(200, None, cancelled=False, message="the job is about to end")


@pytest.fixture
def sutro(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The deployment of whoever types; its jobs stand still."""
    with serve_in_thread(seed_jobs=False) as emulator:
        monkeypatch.setenv("SUTRO_API_URL", emulator.api_origin)
        monkeypatch.setenv("SUTRO_API_KEY", DEMO_KEY)
        # It would change this process for good.
        monkeypatch.setattr(chosen_deployment, "guard_command", str)
        yield emulator


@pytest.mark.parametrize(
    ("before", "fault", "code", "expected"),
    [
        (
            Status.RUNNING,
            None,
            0,
            snapshot(
                {
                    "job_id": "job-1",
                    "outcome": "requested",
                    "status_before": "RUNNING",
                    "message": "Cancellation is requested; the job is CANCELLING.",
                    "status_after": "CANCELLING",
                }
            ),
        ),
        (
            Status.RUNNING,
            REFUSES,
            1,
            snapshot(
                {
                    "error": {
                        "message": 'Cannot cancel job-1: Sutro refused ("the job is about to end").',
                        "hint": "`sutro-mcp job ID` says how it stands.",
                        "kind": "not_cancelled",
                    }
                }
            ),
        ),
        (
            Status.CANCELLING,
            None,
            0,
            snapshot(
                {
                    "job_id": "job-1",
                    "outcome": "requested",
                    "status_before": "CANCELLING",
                    "message": "Cancellation was requested before; nothing was sent.",
                }
            ),
        ),
        (
            Status.CANCELLED,
            None,
            0,
            snapshot(
                {
                    "job_id": "job-1",
                    "outcome": "confirmed",
                    "status_before": "CANCELLED",
                    "message": "It was cancelled before; nothing was sent.",
                }
            ),
        ),
        (
            Status.SUCCEEDED,
            None,
            1,
            snapshot(
                {
                    "error": {
                        "message": "Cannot cancel job-1: it has already ended as SUCCEEDED.",
                        "hint": "Nothing was sent.",
                        "kind": "not_cancelled",
                    }
                }
            ),
        ),
    ],
)
def test_the_outcome_is_what_became_of_the_job(
    sutro: Emulator,
    capsys: pytest.CaptureFixture[str],
    before: Status,
    fault: Fault | None,
    code: int,
    expected: dict[str, object],
) -> None:
    """A job that has ended, or is asked to stop already, is not asked again."""
    job = sutro.add_job(job_id="job-1", status=before)
    if fault is not None:
        sutro.faults.add(fault, path="/job-cancel/*", times=None)
    assert main(["cancel", job, "--yes", "--json"]) == code
    printed = capsys.readouterr()
    assert json.loads(printed.out) == expected
    assert bool(printed.err) == bool(code)
    asked = [request for request in sutro.requests if "cancel" in request.path]
    assert bool(asked) == (before is Status.RUNNING)
