"""The client without `async`: the same methods, in a loop of its own."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sutro_mcp import SutroClient, errors
from sutro_mcp.emulator import DEMO_KEY, Emulator, serve_in_thread
from sutro_mcp.library.blocking_client import BlockingSutroClient


@pytest.fixture
def served() -> Iterator[Emulator]:
    """The demo's jobs on loopback."""
    with serve_in_thread() as emulator:
        yield emulator


@pytest.mark.anyio
async def test_the_blocking_client_works_where_a_loop_runs(served: Emulator) -> None:
    """As in a notebook: the same answers and errors, and lists that may be left before their end."""
    with SutroClient.sync(DEMO_KEY, served.api_origin) as sutro:
        names = [job.name for job, _ in zip(sutro.iter_jobs(page_size=2), range(3), strict=False)]
        assert names == ["legal-clause-tagging", "quarterly-nps-coding", "catalogue-copy-refresh"]
        triage = served.find("support-ticket-triage")
        assert sutro.summarize(triage).row_count == 1000
        assert sutro.get_job_results(triage).shape[0] == 1000
        with pytest.raises(errors.JobNotFoundError):
            sutro.get_job("job-00000000-0000-0000-0000-000000000000")
    with pytest.raises(errors.ConfigurationError, match="with SutroClient"):
        sutro.summarize(triage)


def test_a_program_ends_although_it_has_not_left_its_client(served: Emulator, tmp_path: Path) -> None:
    """As a cell of a notebook that enters one and goes on; nothing is printed about it or left on disk."""
    code = f"""
from sutro_mcp import SutroClient
sutro = SutroClient.sync({DEMO_KEY!r}, {served.api_origin!r}).__enter__()
print(sutro.summarize({served.find("support-ticket-triage")!r}).row_count)
"""
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1000\n", "")
    assert list(folder.iterdir()) == []


def test_the_blocking_client_has_every_method() -> None:
    """Of `SutroClient` that waits for something, with the same parameters and words."""
    methods = {
        name: method
        for name, method in inspect.getmembers(SutroClient, inspect.isfunction)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        if not name.startswith("_")
    }
    engine_side = {"aclose", "open_results", "fetch_results"}
    assert methods.keys() - engine_side == {name for name in vars(BlockingSutroClient) if name in methods}
    for name in methods.keys() - engine_side:
        blocking = getattr(BlockingSutroClient, name)
        assert inspect.signature(blocking) == inspect.signature(methods[name])
        assert blocking.__doc__ == methods[name].__doc__
