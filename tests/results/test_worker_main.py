"""The child's side of the pipe, in this process: one reply for each request, whatever happens to it."""

import gc
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

from sutro_mcp.results import LocalArtifact, Page, worker_main
from sutro_mcp.results.request_models import LoadRequest, PageRequest, QueryRequest, Request, SummaryRequest
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.protocol import Pipe, framed, request_for
from sutro_mcp.results.worker_main import Tasks, query_tasks, reader_tasks, serve
from tests.results.support import objects, outputs


def ask(tasks: Tasks, *messages: bytes) -> list[Any]:
    """The messages of a child with these tasks before its source ends."""
    sink = io.BytesIO()
    serve(Pipe(io.BytesIO(b"".join(map(framed, messages))), sink), tasks)
    return unframed(sink.getvalue())


def unframed(raw: bytes) -> list[Any]:
    """All messages in `raw`, which must be nothing but frames."""
    messages: list[Any] = []
    while raw:
        (size,) = struct.unpack(">I", raw[:4])
        messages.append(json.loads(raw[4 : 4 + size]))
        raw = raw[4 + size :]
    return messages


def test_requests_are_answered_one_after_another(tmp_path: Path) -> None:
    """With the answer as JSON."""
    artifact = outputs(tmp_path, "a", "b")
    page, rows, summary = ask(
        reader_tasks(), request_for(artifact, PageRequest(limit=1)), request_for(artifact, SummaryRequest())
    )
    assert Page.model_validate(page["answer"]).rows == [["a"]]
    assert rows == {"rows": [2, 2]}
    assert summary["answer"]["row_count"] == 2


def test_an_error_of_ours_is_sent_in_its_parts(tmp_path: Path) -> None:
    """The supervisor raises it again."""
    (reply,) = ask(reader_tasks(), request_for(outputs(tmp_path, "a"), PageRequest(offset=1)))
    assert reply["error"]["type"] == "InvalidArgumentError"
    assert reply["error"]["parts"][1:] == ["it has 1 row, numbered from 0", "Use an offset below 1"]


def test_any_other_failure_is_a_crash_and_the_next_request_is_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The supervisor learns the class; the traceback goes to stderr."""
    artifact = outputs(tmp_path, "a")
    crash, answer = ask(
        reader_tasks(), request_for(artifact, Request()), request_for(artifact, PageRequest())
    )
    assert crash == {"crash": "KeyError"}
    assert answer["answer"]["rows"] == [["a"]]
    assert "Traceback" in capfd.readouterr().err


def test_half_a_request_ends_the_process_like_no_request() -> None:
    """Its writer is gone."""
    sink = io.BytesIO()
    serve(Pipe(io.BytesIO(b"\x00\x00"), sink), {})
    assert sink.getvalue() == b""


def test_an_interrupt_is_no_crash(tmp_path: Path) -> None:
    """It ends the process."""

    def interrupted(*_: Any) -> BaseModel:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask({PageRequest: interrupted}, request_for(outputs(tmp_path, "a"), PageRequest()))


@pytest.mark.parametrize("kind", ["reader", "query"])
def test_what_a_library_prints_does_not_reach_the_pipe(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """stdout belongs to the frames; everything else goes to stderr."""

    class Noisy(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            os.write(1, b"a panic in Rust\n")
            return super().read(size)

    request = request_for(outputs(tmp_path, "a"), Request())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Noisy(framed(request))))
    monkeypatch.setattr(sys, "argv", ["child", kind])
    monkeypatch.delitem(sys.modules, worker_main.__name__)
    stdout = os.dup(1)
    try:
        runpy.run_module(worker_main.__name__, run_name="__main__")
    finally:
        gc.enable()
        os.dup2(stdout, 1)
        os.close(stdout)

    seen = capfd.readouterr()
    assert unframed(seen.out.encode("latin-1")) == [{"crash": "KeyError"}]
    assert seen.err.startswith("a panic in Rust\n")


def test_a_task_asks_for_its_bytes_and_ends_when_they_cannot_be_had(tmp_path: Path) -> None:
    """The server answers true or false; it knows why."""
    artifact = outputs(tmp_path, "a", "b").model_copy(update={"is_whole": False})
    request = request_for(artifact, PageRequest(limit=1))
    asked, page = ask(reader_tasks(), request, b"true")
    _, refused = ask(reader_tasks(), request, b"false")
    assert asked == {"fetch": [[0, Path(artifact.path).stat().st_size]]}
    assert page["answer"]["rows"] == [["a"]]
    assert refused == {"stopped": True}


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows when the limits would have been applied to this process."""
    calls: list[str] = []

    def apply_limits(*_limits: int) -> None:
        calls.append("limited")

    monkeypatch.setattr(worker_main, "apply_limits", apply_limits)
    return calls


def query(artifact: LocalArtifact, sql: str) -> list[Any]:
    """The messages of the process of one query."""
    load = LoadRequest(tables={"results": prepare(artifact)}, cpu_seconds=60)
    return ask(query_tasks(), request_for(artifact, load), request_for(artifact, QueryRequest(sql=sql)))


def test_a_query_is_answered_after_the_rights_are_gone(tmp_path: Path, limited: list[str]) -> None:
    """Never before: a process that did not load and limit itself has no table, and blames no SQL."""
    artifact = objects(tmp_path, {"a": 1})
    (early,) = ask(query_tasks(), request_for(artifact, QueryRequest(sql="SELECT a FROM results")))
    assert early["error"]["parts"][1:] == ["its process ended early", "Call again"]
    assert limited == []

    ready, page = query(artifact, "SELECT a FROM results")
    assert (ready, limited) == ({"answer": {}}, ["limited"])
    assert (page["answer"]["columns"], page["answer"]["rows"]) == (["a"], [[1]])


def test_wrong_sql_is_sent_in_its_parts(tmp_path: Path, limited: list[str]) -> None:
    """The supervisor raises it again."""
    _, reply = query(objects(tmp_path, {"a": 1}), "SELECT b FROM results")
    assert reply["error"]["type"] == "InvalidArgumentError"
    assert reply["error"]["parts"][1] == 'there is no column "b"'
