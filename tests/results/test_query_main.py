"""The inside of a query's process, in this one: its answers, and that it runs nothing with rights left."""

import io
import json
import os
import runpy
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from pydantic import BaseModel

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.query_main import answer_one, main
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.worker.sandbox import apply_limits, cap_memory
from tests.results.support import objects

resource = pytest.importorskip("resource")

GIB = 1024**3
LIMITS = ["CORE", "FSIZE", "NPROC", "CPU", "AS", "NOFILE"]


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What would have been lowered: limits by name, and users. Nothing of it happens, but no pipe opens."""
    seen: dict[str, int] = {}
    names = {getattr(resource, f"RLIMIT_{name}"): f"RLIMIT_{name}" for name in LIMITS}

    def setrlimit(limit: int, values: tuple[int, int]) -> None:
        assert values[0] == values[1]
        seen[names[limit]] = values[0]

    def become(name: str) -> Callable[[Any], None]:
        return lambda value: seen.update({name: value})

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, become(name))
    monkeypatch.setattr(os, "pipe", _no_more)
    return seen


def _no_more(*_arguments: Any) -> Any:
    raise OSError(24, "Too many open files")


def framed(*requests: BaseModel) -> BinaryIO:
    """Requests as the supervisor writes them."""
    raws = [request.model_dump_json().encode() for request in requests]
    return io.BytesIO(b"".join(struct.pack(">I", len(raw)) + raw for raw in raws))


def answers(source: BinaryIO) -> list[dict[str, Any]]:
    """Every reply."""
    sink = io.BytesIO()
    answer_one(source, sink)
    return unframed(sink.getvalue())


def unframed(raw: bytes) -> list[dict[str, Any]]:
    """Replies in `raw`, which must be nothing but frames."""
    replies: list[dict[str, Any]] = []
    while raw:
        (size,) = struct.unpack(">I", raw[:4])
        replies.append(json.loads(raw[4 : 4 + size]))
        raw = raw[4 + size :]
    return replies


def test_a_query_is_answered_after_the_rights_are_gone(tmp_path: Path, lowered: dict[str, int]) -> None:
    """First that the results are loaded, then the page."""
    ready, page = answers(framed(objects(tmp_path, {"a": 1}), QueryRequest(sql="SELECT a FROM results")))
    assert ready == {"answer": None}
    assert (page["answer"]["columns"], page["answer"]["rows"]) == (["a"], [[1]])
    assert {"RLIMIT_NOFILE", "setuid"} <= set(lowered)


def test_what_the_process_may_use_is_counted_from_what_it_has_used(lowered: dict[str, int]) -> None:
    """Forty seconds and four gigabytes more; nothing else."""
    apply_limits()
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = lowered.pop("RLIMIT_CPU") - (used.ru_utime + used.ru_stime)
    assert 38 < seconds <= 40
    assert abs(lowered.pop("RLIMIT_AS") - address_space() - 4 * GIB) < GIB / 2
    assert {lowered[f"RLIMIT_{name}"] for name in ("CORE", "FSIZE", "NPROC", "NOFILE")} == {0}


@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, 3 * GIB], ids=["no limit", "a limit"])
def test_memory_is_capped_by_what_is_less(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four gigabytes more than now, or what the system allows, which stays as it is."""
    seen: dict[int, tuple[int, int]] = {}

    def getrlimit(_: int) -> tuple[int, int]:
        return resource.RLIM_INFINITY, hard

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(resource, "setrlimit", seen.__setitem__)
    cap_memory()
    soft, still_hard = seen.pop(resource.RLIMIT_AS)
    assert (seen, still_hard) == ({}, hard)
    if hard == resource.RLIM_INFINITY:
        assert abs(soft - address_space() - 4 * GIB) < GIB / 2
    else:
        assert soft == hard


def address_space() -> int:
    """Of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def test_wrong_sql_is_sent_in_its_parts(tmp_path: Path, lowered: dict[str, int]) -> None:
    """The supervisor raises it again."""
    _, reply = answers(framed(objects(tmp_path, {"a": 1}), QueryRequest(sql="SELECT b FROM results")))
    assert reply["error"]["type"] == "InvalidArgumentError"
    assert reply["error"]["parts"][1] == "\"unable to find column 'b'\""


def test_sql_is_not_run_where_something_can_be_opened(
    tmp_path: Path, lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may accept a limit and not keep it."""
    ends = iter([os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)])
    monkeypatch.setattr(os, "pipe", lambda: (next(ends), next(ends)))
    (reply,) = answers(framed(objects(tmp_path, {"a": 1}), QueryRequest(sql="SELECT a FROM results")))
    assert reply["error"]["type"] == "ConfigurationError"


def test_any_other_failure_is_a_crash() -> None:
    """By its class, and no more."""
    assert answers(io.BytesIO(b"")) == [{"crash": "error"}]


def test_an_interrupt_is_no_crash() -> None:
    """It ends the process."""

    class Interrupted:
        def read(self, _size: int) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers(cast("BinaryIO", Interrupted()))


@pytest.mark.parametrize("as_module", [False, True])
def test_what_a_library_prints_does_not_reach_the_pipe(
    as_module: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """stdout belongs to the frames."""

    class Noisy(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            os.write(1, b"a panic in Rust\n")
            return b""

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Noisy()))
    monkeypatch.delitem(sys.modules, "sutro_mcp.results.query_main")
    stdout = os.dup(1)
    try:
        if as_module:
            runpy.run_module("sutro_mcp.results.query_main", run_name="__main__")
        else:
            main()
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    seen = capfd.readouterr()
    assert unframed(seen.out.encode("latin-1")) == [{"crash": "error"}]
    assert seen.err == "a panic in Rust\n"


def test_every_limit_is_lowered_for_good(lowered: dict[str, int]) -> None:
    """Files last; and root becomes nobody, as no limit on processes binds it."""
    apply_limits()
    assert (lowered["setgid"], lowered["setuid"]) == (65534, 65534)
    assert list(lowered)[-1] == "RLIMIT_NOFILE"
    zero = ["RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE"]
    assert [lowered[name] for name in zero] == [0, 0, 0, 0]
    assert lowered["RLIMIT_CPU"] >= 40
    assert lowered["RLIMIT_AS"] > 4 * 1024**3


def test_a_limit_that_is_lower_already_is_kept(
    lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody but root may raise one."""

    def getrlimit(_limit: int) -> tuple[int, int]:
        return 7, 7

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    apply_limits()
    assert lowered["RLIMIT_AS"] == 7


def test_who_is_not_root_stays_who_they_are(lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """And a root that cannot become nobody is bound by the limits all the same."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    apply_limits()
    assert "setuid" not in lowered

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "setgroups", _no_more)
    apply_limits()
    assert "setuid" not in lowered


def test_a_system_that_refuses_a_limit_is_refused(
    lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS does for memory, and Windows for everything."""

    def refuse(*_arguments: Any) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(ConfigurationError, match="Use get_job_results instead"):
        apply_limits()
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(ConfigurationError):
        apply_limits()
