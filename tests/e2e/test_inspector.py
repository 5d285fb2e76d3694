"""MCP Inspector, as a judge: every method, tool, resource and prompt, in both eras, over both transports."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from sutro_mcp.emulator import DEMO_KEY, Emulator

from .http_process import http_process
from .process import COMMAND

pytestmark = [pytest.mark.anyio, pytest.mark.wire, pytest.mark.timeout(900)]

NODE_TOOLS = Path(__file__).parents[2] / "scripts" / "node_tools.py"


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Installs the Inspector once, before calls run side by side."""
    subprocess.run([sys.executable, str(NODE_TOOLS), "mcp-inspector", "--version"], check=True, timeout=240)


def inspect(target: list[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object on stdout, and stderr."""
    done = subprocess.run(
        [
            *(sys.executable, str(NODE_TOOLS), "mcp-inspector", "--cli", *target, *arguments),
            *("--format", "json", "--connect-timeout", "120000"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    )
    return done.returncode, json.loads(done.stdout or "{}").get("result", {}), done.stderr


@asynccontextmanager
async def target_over(
    transport: str, sutro: Emulator, sutro_env: dict[str, str]
) -> AsyncGenerator[list[str]]:
    """Something to inspect: a command that the Inspector starts, or the URL of a server that runs."""
    if transport == "http":
        async with http_process(env=sutro_env) as server:
            yield [server.url, "--transport", "http"]
    else:
        variables = {"SUTRO_API_KEY": DEMO_KEY, "SUTRO_API_URL": sutro.api_origin}
        yield [*(part for name, value in variables.items() for part in ("-e", f"{name}={value}")), *COMMAND]


GEMMA, QWEN = "model-comparison-gemma", "model-comparison-qwen"


@pytest.mark.parametrize(("transport", "era"), [("stdio", "legacy"), ("http", "modern")])
async def test_the_inspector_can_use_everything(
    sutro: Emulator, sutro_env: dict[str, str], transport: str, era: str
) -> None:
    """Exit 0 from each call, strict about schemas, and an answer with something in it."""
    done, running = sutro.find("support-ticket-triage"), sutro.find("nightly-email-classify")
    base = f"sutro://jobs/{done}"
    calls: dict[str, list[str]] = {
        "initialize": ["--method", "initialize"],
        "tools": ["--method", "tools/list", "--strict"],
        "resources": ["--method", "resources/list"],
        "resourceTemplates": ["--method", "resources/templates/list"],
        "prompts": ["--method", "prompts/list"],
    }
    tools = {
        "list_jobs": ["limit=3", 'status=["FAILED","CANCELLED"]'],
        "summarize_jobs": ["group_by=model"],
        "get_job": [f"job_id={done}"],
        "get_job_status": [f"job_id={done}"],
        "wait_for_job": [f"job_id={done}"],
        "get_job_results": [f"job_id={done}", "view=rows", "limit=2", "include_inputs=true"],
        "query_job_results": [f"job_id={done}", "sql=SELECT count(*) AS n FROM results"],
        "compare_job_results": [f"job_id={sutro.find(GEMMA)}", f"other_job_id={sutro.find(QWEN)}"],
        "export_job_results": [f"job_id={done}", "file_name=tickets.csv"],
        "cancel_job": [f"job_id={running}"],
    }
    if transport == "http":
        del tools["export_job_results"]
    for name, arguments in tools.items():
        calls[name] = ["--method", "tools/call", "--tool-name", name]
        calls[name] += [part for argument in arguments for part in ("--tool-arg", argument)]
    for uri in (
        "sutro://jobs?limit=2",
        base,
        f"{base}/status",
        f"{base}/results?limit=1",
        f"{base}/results/summary",
    ):
        calls[uri] = ["--method", "resources/read", "--uri", uri]
    prompts = {
        "triage_failed_jobs": [],
        "review_job_results": [f"job_id={done}"],
        "spend_report": ["period=30d"],
    }
    for name, arguments in prompts.items():
        calls[name] = ["--method", "prompts/get", "--prompt-name", name]
        calls[name] += [part for argument in arguments for part in ("--prompt-args", argument)]
    async with target_over(transport, sutro, sutro_env) as target:
        answers = await _inspect_all(
            target, {what: [*call, "--protocol-era", era] for what, call in calls.items()}
        )
    for what, (code, result, errors) in answers.items():
        assert code == 0, (what, errors)
        if what in tools:
            assert result["structuredContent"], what
            assert result["content"][0]["text"], what
        elif what in prompts:
            assert result["messages"][0]["content"]["text"], what
        elif what.startswith("sutro://"):
            assert json.loads(result["contents"][0]["text"]), what
    assert answers["initialize"][1]["serverInfo"]["name"] == "sutro-mcp"
    assert len(answers["tools"][1]["tools"]) == len(tools)
    assert len(answers["resources"][1]["resources"]) > 25
    assert len(answers["prompts"][1]["prompts"]) == len(prompts)
    assert len(answers["resourceTemplates"][1]["resourceTemplates"]) == 5


async def _inspect_all(
    target: list[str], calls: dict[str, list[str]]
) -> dict[str, tuple[int, dict[str, Any], str]]:
    answers: dict[str, tuple[int, dict[str, Any], str]] = {}
    limit = anyio.CapacityLimiter(4)

    async def ask(what: str, call: list[str]) -> None:
        answers[what] = await anyio.to_thread.run_sync(inspect, target, *call, limiter=limit)

    async with anyio.create_task_group() as tasks:
        for what, call in calls.items():
            tasks.start_soon(ask, what, call)
    return answers


async def test_a_failing_call_is_a_tool_error_to_it_and_the_skill_is_what_its_digest_says(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """It compares size, digest, and frontmatter as a YAML reader has it."""
    calls = {
        "call": ["--method", "tools/call", "--tool-name", "get_job", "--tool-arg", "job_id=job-nope"],
        "skill": ["--method", "skills/list", "--verify", "--require-digests"],
    }
    async with target_over("stdio", sutro, sutro_env) as target:
        answers = await _inspect_all(
            target, {what: [*call, "--protocol-era", "modern"] for what, call in calls.items()}
        )
    code, result, errors = answers["call"]
    assert code == 5
    assert "no such job" in json.dumps(result) + errors
    code, _, said = answers["skill"]
    assert (code, said.strip()) == (0, "Verified 1 skill and 1 file: no conformance errors.")
