"""The worker's side of the pipe, in this process: one reply for each request, whatever happens to it."""

import io
import json
import os
import runpy
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sutro_mcp.results import Page
from sutro_mcp.results.child import main, serve
from sutro_mcp.results.request_models import PageRequest, SummaryRequest
from sutro_mcp.results.tasks import TASKS
from sutro_mcp.results.worker.protocol import Channel, Pipe
from tests.results.support import outputs


def framed(task: str, request: BaseModel | None = None) -> bytes:
    """A request as the supervisor writes it."""
    raw = json.dumps({"task": task, "request": request.model_dump() if request else ""}).encode()
    return struct.pack(">I", len(raw)) + raw


def unframed(raw: bytes) -> list[Any]:
    """All replies in `raw`, which must be nothing but frames."""
    replies: list[Any] = []
    while raw:
        (size,) = struct.unpack(">I", raw[:4])
        replies.append(json.loads(raw[4 : 4 + size]))
        raw = raw[4 + size :]
    return replies


def ask(*requests: bytes) -> list[Any]:
    """What `serve` answers before its source ends."""
    sink = io.BytesIO()
    serve(Pipe(io.BytesIO(b"".join(requests)), sink))
    return unframed(sink.getvalue())


def test_requests_are_answered_one_after_another(tmp_path: Path) -> None:
    """With the answer as JSON."""
    artifact = outputs(tmp_path, "a", "b")

    page, rows, summary = ask(
        framed("page", PageRequest(artifact=artifact, limit=1)),
        framed("summary", SummaryRequest(artifact=artifact)),
    )

    assert Page.model_validate(page["answer"]).rows == [["a"]]
    assert rows == {"rows": [2, 2]}
    assert summary["answer"]["row_count"] == 2


def test_an_error_of_ours_is_sent_in_its_parts(tmp_path: Path) -> None:
    """The supervisor raises it again."""
    (reply,) = ask(framed("page", PageRequest(artifact=outputs(tmp_path, "a"), offset=1)))

    assert reply["error"]["type"] == "InvalidArgumentError"
    assert reply["error"]["parts"][1:] == ["it has 1 row, numbered from 0", "Use an offset below 1"]


def test_any_other_failure_is_a_crash_and_the_next_request_is_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The supervisor learns the class; the traceback goes to stderr."""
    crash, answer = ask(framed("no such task"), framed("page", PageRequest(artifact=outputs(tmp_path, "a"))))

    assert crash == {"crash": "KeyError"}
    assert answer["answer"]["rows"] == [["a"]]
    assert "Traceback" in capfd.readouterr().err


def test_half_a_request_ends_the_process_like_no_request() -> None:
    """Whoever wrote it is gone."""
    assert ask(b"\x00\x00") == []


def test_an_interrupt_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process."""

    def interrupted(_raw: Any, _channel: Channel) -> BaseModel:
        raise KeyboardInterrupt

    monkeypatch.setitem(TASKS, "wait", interrupted)

    with pytest.raises(KeyboardInterrupt):
        ask(framed("wait"))


@pytest.mark.parametrize("started", [main, None], ids=["called", "as a module"])
def test_what_a_library_prints_does_not_reach_the_pipe(
    started: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """stdout belongs to the frames; everything else goes to stderr."""

    class Nothing(BaseModel):
        pass

    def noisy(_raw: Any, _channel: Channel) -> BaseModel:
        os.write(1, b"a panic in Rust\n")
        return Nothing()

    monkeypatch.setitem(TASKS, "noisy", noisy)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(framed("noisy"))))
    monkeypatch.delitem(sys.modules, "sutro_mcp.results.child")
    stdout = os.dup(1)
    try:
        if started is None:
            runpy.run_module("sutro_mcp.results.child", run_name="__main__")
        else:
            started()
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)

    seen = capfd.readouterr()
    assert unframed(seen.out.encode("latin-1")) == [{"answer": {}}]
    assert seen.err == "a panic in Rust\n"


def test_a_task_asks_for_its_bytes_and_ends_when_they_cannot_be_had(tmp_path: Path) -> None:
    """The server answers true or false; it knows why."""
    artifact = outputs(tmp_path, "a", "b").model_copy(update={"is_whole": False})
    answers = {word: struct.pack(">I", len(word)) + word for word in (b"true", b"false")}
    request = PageRequest(artifact=artifact, limit=1)

    asked, page = ask(framed("page", request), answers[b"true"])
    _, refused = ask(framed("page", request), answers[b"false"])

    assert asked == {"want": [[0, Path(artifact.path).stat().st_size]]}
    assert page["answer"]["rows"] == [["a"]]
    assert refused == {"stopped": True}
