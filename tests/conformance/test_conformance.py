"""The official MCP conformance suite, as a judge. It gets no list of expected failures: none is expected."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.e2e.http_process import http_process

pytestmark = [pytest.mark.anyio, pytest.mark.wire, pytest.mark.timeout(900)]

NODE_TOOLS = Path(__file__).parents[2] / "scripts" / "node_tools.py"

REQUIRED = {"2025-11-25": 30, "2026-07-28": 37}
# What a server must do whatever its tools are; the other scenarios ask for some by name.
GENERIC = {
    "2025-11-25": [
        "server-initialize",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "server-session-lifecycle",
    ],
    "2026-07-28": [
        "server-stateless",
        "tools-list",
        "resources-list",
        "prompts-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "caching",
        "input-required-result-unsupported-methods",
        "http-header-validation",
    ],
}


class Verdict:
    """The suite's verdict on a server."""

    def __init__(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        self.exit_code = done.returncode
        self.output = done.stdout + done.stderr
        summary, _, unscored = self.output.partition("=== SUMMARY ===")[2].partition("\nNot scored")
        self._unscored = set(re.findall(r"^  [✓✗] (\S+) \(", unscored, re.MULTILINE))
        self._failed = {
            name: int(failed)
            for name, failed in re.findall(r"^[✓✗] (\S+): \d+ passed, (\d+) failed$", summary, re.MULTILINE)
        }
        self._folder = folder

    @property
    def required(self) -> dict[str, int]:
        """The scenarios that the revision requires, and how many checks of each failed."""
        return {name: failed for name, failed in self._failed.items() if name not in self._unscored}

    def checks(self, scenario: str) -> list[dict[str, Any]]:
        """Each check of one scenario."""
        (folder,) = (
            path for path in self._folder.iterdir() if re.match(rf"server-{scenario}-20\d\d-", path.name)
        )
        return json.loads((folder / "checks.json").read_text("utf-8"))


async def judge(url: str, revision: str, folder: Path) -> Verdict:
    """Run every server scenario of `revision`."""
    suite = [sys.executable, str(NODE_TOOLS), "conformance", "server", "--url", url, "-o", str(folder)]

    def run() -> Verdict:
        done = subprocess.run(
            [*suite, "--requirements", revision],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
        )
        return Verdict(done, folder)

    return await anyio.to_thread.run_sync(run)


@asynccontextmanager
async def with_fixtures() -> AsyncGenerator[str]:
    """The URL of the product's server object with what the suite wants to find on it."""
    async with http_process(command=(sys.executable, "-m", "tests.conformance.server")) as server:
        yield server.url


@pytest.mark.parametrize("revision", sorted(REQUIRED))
async def test_every_required_scenario_passes(revision: str, tmp_path: Path) -> None:
    """On the product's own server object, with the fixtures that the suite asks for by name."""
    async with with_fixtures() as url:
        verdict = await judge(url, revision, tmp_path / "out")
    assert {name: failed for name, failed in verdict.required.items() if failed} == {}, verdict.output
    assert len(verdict.required) == REQUIRED[revision]
    assert verdict.exit_code == 0


@pytest.mark.parametrize("revision", sorted(GENERIC))
async def test_the_command_passes_every_scenario_that_needs_no_fixture(revision: str, tmp_path: Path) -> None:
    """`sutro-mcp serve` as people run it."""
    async with http_process("--demo") as server:
        verdict = await judge(server.url, revision, tmp_path / "out")
    for scenario in GENERIC[revision]:
        checks = verdict.checks(scenario)
        assert any(check["status"] == "SUCCESS" for check in checks), scenario
        # Some checks of a scenario that is generic need a tool by name; they say so themselves.
        failed = [check for check in checks if check["status"] == "FAILURE"]
        assert [check for check in failed if not check["details"].get("untestable")] == [], scenario
