"""The audit log: a line before anything is cancelled, or nothing is; every way to a cancellation has one."""

import json
import os
import resource
import stat
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.errors import AuditError
from sutro_mcp.server.operations import audit as audit_log
from sutro_mcp.server.operations.audit import Audit
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


def text(file: Path) -> str:
    return file.read_text()


async def test_a_line_that_does_not_fit_leaves_nothing_of_itself(file: Path) -> None:
    """The next one would be read as its end."""
    audit = Audit(file)
    await audit.record("start", "start", "started")
    whole = text(file)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, hard))
    try:
        with pytest.raises(AuditError, match="Cannot cancel job-1: the audit log cannot be written"):
            await audit.record("cancel job-1", "cancel_job", "sending")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert text(file) == whole


async def test_a_line_that_was_torn_swallows_none_after_it(file: Path) -> None:
    """The machine may have gone down within it."""
    await anyio.Path(file).write_text('{"ts": "20')
    audit = Audit(file)
    for outcome in ("asked", "sending"):
        await audit.record("cancel job-1", "cancel_job", outcome)
    torn, *rest = text(file).splitlines()
    assert torn == '{"ts": "20'
    assert [json.loads(line)["outcome"] for line in rest] == ["asked", "sending"]


async def test_one_stalled_line_is_waited_for_and_no_more(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody reads the pipe: all lines after the first are refused at once, and no thread stays behind."""
    os.mkfifo(file, 0o600)
    reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while os.write(filler, bytes(4096)):
            pass
    except BlockingIOError:
        os.close(filler)
    audit = Audit(file)
    stalled = r"cannot be written \(nothing takes it\)"
    monkeypatch.setattr(audit_log, "_PATIENCE_SECONDS", 0.05)
    with pytest.raises(AuditError, match=stalled):
        await audit.record("cancel job-1", "cancel_job", "sending")
    monkeypatch.setattr(audit_log, "_PATIENCE_SECONDS", 600)
    threads = threading.active_count()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(audit.record_if_possible, "caller_refused", "missing")
    assert len(caplog.messages) == 50
    assert threading.active_count() <= threads + 1
    os.set_blocking(reader, True)
    while b"\n" not in os.read(reader, 65536):
        pass
    with anyio.fail_after(30):
        while not audit.counts:
            await audit.record_if_possible("cancel_job", "sending")
    os.close(reader)
