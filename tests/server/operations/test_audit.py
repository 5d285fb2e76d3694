"""The audit log: a line before anything is cancelled, or nothing is; every way to a cancellation has one."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.settings import Settings
from tests.support import Era, Talk, talk

pytestmark = pytest.mark.anyio

STAMPED = {"ts", "event", "principal", "label", "job_id", "request_id"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def running() -> Emulator:
    """One running job."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", status="RUNNING", num_rows=10)
    return emulator


def lines(file: Path) -> list[dict[str, Any]]:
    """What was written, without what every line has."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert all(set(line) >= STAMPED and line["principal"] == "local" for line in found)
    return [{name: value for name, value in line.items() if name not in STAMPED} for line in found]


def person(action: str) -> Any:
    async def answer(_: ClientRequestContext, __: ElicitRequestParams) -> ElicitResult:
        return ElicitResult.model_validate({"action": action, "content": {"confirm": True}})

    return answer


HAS_NO_FULL_DEVICE = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
SENT = [{"outcome": "requested", "status": "CANCELLING"}]
ASKED = [{"outcome": "asked", "status": "RUNNING"}]
PATHS: dict[str, tuple[str, dict[str, Any], str | None, list[dict[str, str]]]] = {
    "a preview": ("confirm", {}, None, [{"outcome": "preview", "status": "RUNNING"}]),
    "confirmed through the assistant": (
        "confirm",
        {"confirm": True},
        None,
        [{"outcome": "sending", "status": "RUNNING", "agreed": "through the assistant"}, *SENT],
    ),
    "allowed": (
        "allow",
        {},
        None,
        [{"outcome": "sending", "status": "RUNNING", "agreed": "by policy"}, *SENT],
    ),
    "agreed in the dialog": (
        "elicit",
        {},
        "accept",
        [*ASKED, {"outcome": "sending", "status": "RUNNING", "agreed": "in the host's dialog"}, *SENT],
    ),
    "declined": ("elicit", {}, "decline", [*ASKED, {"outcome": "declined", "status": "RUNNING"}]),
    "no dialog": ("elicit", {}, None, [{"outcome": "refused", "status": "RUNNING"}]),
}


@pytest.mark.parametrize("path", PATHS)
async def test_every_way_to_a_cancellation_is_written_down(
    running: Emulator, era: Era, file: Path, path: str
) -> None:
    """In the order in which it happened, in a file that its owner alone reads."""
    policy, arguments, action, expected = PATHS[path]
    settings = Settings.model_validate({"cancel": policy, "audit_file": file})
    host = {"person": person(action)} if action else {}
    async with talk(running, era, settings=settings, fastest_answer=0, **host) as chat:
        await chat.call("cancel_job", job_id="job-1", **arguments)
    assert lines(file) == expected


async def test_a_job_that_has_ended_and_a_refusal_of_the_deployment_are_written_down(
    running: Emulator, file: Path
) -> None:
    """What went wrong after the line that it begins is a line too."""
    ended = running.add_job(status="SUCCEEDED", num_rows=1)
    async with talk(running, settings=Settings(cancel="allow", audit_file=file)) as chat:
        await chat.call("cancel_job", job_id=ended)
        running.faults.add(Fault.json(429, "later"), path="/job-cancel/*")
        await chat.refusal("cancel_job", job_id="job-1")
    assert lines(file) == [
        {"outcome": "not needed", "status": "SUCCEEDED"},
        {"outcome": "sending", "status": "RUNNING", "agreed": "by policy"},
        {"outcome": "failed"},
    ]


def sent(chat: Talk) -> list[str]:
    return [path for path in chat.paths() if "job-cancel" in path]


@pytest.mark.parametrize("path", ["allowed", "confirmed through the assistant", "agreed in the dialog"])
@pytest.mark.parametrize("where", [pytest.param("full", marks=HAS_NO_FULL_DEVICE), "missing"])
async def test_what_cannot_be_written_down_is_not_done(
    running: Emulator, era: Era, tmp_path: Path, path: str, where: str
) -> None:
    """A full disk, and a folder that is gone: the answer says why, and whom to tell."""
    policy, arguments, action, _ = PATHS[path]
    file = Path("/dev/full") if where == "full" else tmp_path / "gone" / "audit.jsonl"
    host = {"person": person(action)} if action else {}
    settings = Settings.model_validate({"cancel": policy, "audit_file": file})
    async with talk(running, era, settings=settings, fastest_answer=0, **host) as chat:
        refusal = await chat.refusal("cancel_job", job_id="job-1", **arguments)
        assert sent(chat) == []
    why = "no space left on device" if where == "full" else "no such file or directory"
    assert refusal == (
        f"Cannot cancel job-1: the audit log cannot be written ({why}), and without it nothing is done. "
        "Tell whoever runs this server; calling again helps only when that is mended."
    )
    assert running.job("job-1").status == "RUNNING"
