"""A key and a signature, followed through every failure into every place that shows something."""

import io
import json
import logging
import os
import random
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import MCPError

from sutro_mcp.redaction import RedactingFormatter
from tests import tries
from tests.e2e.process import Server, server_process
from tests.support import Talk

from .cases import CASES
from .upstream import API, STORE, Fault, Upstream, body, conversation, faulty_upstream, status

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

KEY = "sk_canary_0123456789abcdef"
SIGNATURE = "c0ffee" * 11
SIGNED = f"https://bucket.example.com/a.parquet?X-Amz-Date=1&X-Amz-Signature={SIGNATURE}"
ECHO = f"you sent Authorization: Key {KEY} and asked for {SIGNED}"
ID = "job-11111111-2222-4333-8444-555555555555"

ECHOES: dict[str, Fault] = {
    **{
        f"{code} {kind}": status(code, raw, media)
        for code in (200, 202, 302, 400, 401, 403, 404, 405, 409, 410, 418, 422, 429, 500, 503, 524)
        for kind, raw, media in (
            ("detail", json.dumps({"detail": ECHO}).encode(), "application/json"),
            ("list", json.dumps({"detail": [{"loc": [ECHO], "msg": ECHO}]}).encode(), "application/json"),
            ("text", ECHO.encode(), "text/plain"),
            ("page", f"<html>{ECHO}</html>".encode(), "text/html"),
        )
    },
    "redirect": status(302, location=SIGNED),
    "redirect to a user": status(302, location=f"https://{KEY}@example.com/"),
    "Retry-After": status(429, retry_after=ECHO),
    "Content-Type": status(500, content_type=ECHO),
    "Content-Encoding": status(200, content_encoding=KEY),
    "ETag": status(200, etag=ECHO),
    "a job": body({"job": {"job_id": ID, "name": ECHO, "status": ECHO, "failure_reason": {"message": ECHO}}}),
    "a job id": body({"job": {"job_id": KEY}, "jobs": [{"job_id": KEY}], "job_status": {KEY: "FAILED"}}),
    "a status": body({"job_status": ECHO, "message": ECHO, "metadata": {"failure_reason": ECHO}}),
    "jobs": body({"jobs": [{"job_id": ID, "name": ECHO, "model": ECHO}], "next_cursor": ECHO}),
    "a link": body({"urls": {"get": SIGNED}, "artifact": {"size_bytes": ECHO}}),
    "a link to a user": body({"urls": {"get": f"https://{KEY}:x@bucket.example.com/?{SIGNED}"}}),
    "a broken link": body({"urls": {"get": f"http://[::{SIGNED}"}}),
}


@dataclass
class Sinks:
    """All that somebody could see."""

    log: io.StringIO
    answers: list[str] = field(default_factory=list[str])

    def leaks(self, *more: str) -> list[str]:
        """The text around each secret."""
        shown = "\n".join([self.log.getvalue(), *self.answers])
        secrets = (KEY, SIGNATURE, *more)
        return [shown[max(at.start() - 200, 0) : at.end()] for at in re.finditer("|".join(secrets), shown)]


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    """The log as stderr would get it, at the noisiest level, and the answers."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(RedactingFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield Sinks(log)
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A deployment that accepts the canary."""
    async with faulty_upstream(api_key=KEY, seed_jobs=False) as upstream:
        yield upstream


async def _everything(chat: Talk, job_id: str, sinks: Sinks) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_jobs", {}),
        ("summarize_jobs", {}),
        ("get_job", {"job_id": job_id}),
        ("get_job_status", {"job_id": job_id}),
        ("get_job_results", {"job_id": job_id, "view": "rows", "disable_cache": True}),
        ("cancel_job", {"job_id": job_id, "confirm": True}),
    ]
    for tool, arguments in calls:
        result = await chat.result(tool, **arguments)
        sinks.answers += [result.model_dump_json(), repr(result)]
    try:
        sinks.answers.append(await chat.read(f"sutro://jobs/{job_id}"))
    except MCPError as error:
        sinks.answers += [repr(error), repr(error.error)]


def _signatures(upstream: Upstream) -> list[str]:
    """Every signature that this upstream has handed out."""
    return [
        query["X-Amz-Signature"]
        for query in (dict(r.query) for r in upstream.emulator.requests)
        if query.get("X-Amz-Signature")
    ]


@pytest.mark.parametrize("path", [API, STORE, "results-url"])
async def test_no_failure_shows_key_or_signature_anywhere(
    upstream: Upstream, sinks: Sinks, path: str, record_property: Callable[[str, object], None]
) -> None:
    """Answers, structured content, errors, their repr, and the log."""
    faults = [*(case.fault for case in CASES.values()), *ECHOES.values()]
    faults = random.Random(tries.seed).sample(faults, tries.some_of(len(faults), least=20))
    record_property("tries", len(faults))
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a", ECHO], name="quiet")
    async with conversation(upstream) as chat:
        # A deployment that answers wrong for long is asked in another way, without a signature.
        await _everything(chat, job_id, sinks)
        with anyio.fail_after(500):
            for fault in faults:
                upstream.add(fault, path=path)
                upstream.add(fault, path=path)
                if path == API:
                    await _everything(chat, job_id, sinks)
                else:
                    arguments = {"job_id": job_id, "view": "rows", "disable_cache": True}
                    sinks.answers.append(repr(await chat.result("get_job_results", **arguments)))
                upstream.faults.clear()
    given = _signatures(upstream)
    assert given
    assert len(sinks.answers) > len(faults)
    assert "[redacted]" in "".join(sinks.answers)
    assert sinks.leaks(*set(given)) == []


async def test_the_store_never_sees_the_key(upstream: Upstream) -> None:
    """Nor any header of ours beside those of a download."""
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a"])
    async with conversation(upstream) as chat:
        await chat.call("get_job_results", job_id=job_id)
    seen = [request.headers for request in upstream.emulator.requests if request.origin == "store"]
    assert seen
    for headers in seen:
        assert KEY not in json.dumps(dict(headers))
        assert not {"authorization", "cookie"} & set(headers)


async def _call(server: Server, tool: str, **arguments: Any) -> str:
    return json.dumps(await server.ask("tools/call", {"name": tool, "arguments": arguments}))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
async def test_a_process_shows_neither_on_stdout_nor_stderr_nor_to_its_children(upstream: Upstream) -> None:
    """The whole of it, at the noisiest level; the worker's environment does not hold the key."""
    job_id = upstream.emulator.add_job(status="SUCCEEDED", outputs=["a", ECHO], name=ECHO)
    env = {**os.environ, "SUTRO_API_URL": upstream.emulator.api_origin, "SUTRO_API_KEY": KEY}
    shown: list[str] = []
    async with (
        server_process("serve", "--log-level", "DEBUG", env=env) as server,
        anyio.create_task_group() as tasks,
    ):

        async def read_log() -> None:
            assert server.process.stderr is not None
            async for chunk in server.process.stderr:
                shown.append(chunk.decode())

        tasks.start_soon(read_log)
        await server.handshake()
        for name in ("401 detail", "422 list", "a job", "jobs", "a status", "redirect", "ETag", "a link"):
            upstream.add(ECHOES[name], path=API)
            shown += [
                await _call(server, tool, job_id=job_id)
                for tool in ("get_job", "get_job_status", "get_job_results")
            ]
            upstream.faults.clear()
        for name in ("403 page", "500 detail"):
            upstream.add(ECHOES[name], path=STORE, times=2)
            shown.append(await _call(server, "get_job_results", job_id=job_id))
            upstream.faults.clear()
        shown += [
            await _call(server, "get_job_results", job_id=job_id, view="rows"),
            await _call(server, "query_job_results", job_id=job_id, sql="SELECT * FROM results"),
        ]
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()  # noqa: ASYNC240
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
        assert not any(KEY in environment for environment in _environments_of_children(server.process.pid))
        await server.close_stdin()
        assert await server.exit_code() == 0
    everything = "".join(shown)
    assert "you sent Authorization: Key [redacted]" in everything
    assert " sutro_mcp.server.protocol.middleware: tools/call get_job done in" in everything
    for secret in {KEY, SIGNATURE, *_signatures(upstream)}:
        assert secret not in everything


def _environments_of_children(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    return [Path(f"/proc/{child}/environ").read_text() for child in children]
