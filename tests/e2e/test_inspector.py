"""MCP Inspector, as a judge of the protocol: every method, tool, resource and prompt, in both eras."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.emulator import DEMO_KEY, Emulator

from .process import COMMAND

pytestmark = pytest.mark.timeout(300)

NODE_TOOLS = Path(__file__).parents[2] / "scripts" / "node_tools.py"


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Installs the Inspector once, before calls run side by side."""
    subprocess.run([sys.executable, str(NODE_TOOLS), "mcp-inspector", "--version"], check=True, timeout=240)


def inspect(sutro: Emulator, era: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object on stdout, and stderr."""
    given = ["-e", f"SUTRO_API_KEY={DEMO_KEY}", "-e", f"SUTRO_API_URL={sutro.api_origin}"]
    inspector = [sys.executable, str(NODE_TOOLS), "mcp-inspector", "--cli"]
    done = subprocess.run(
        [*inspector, *given, *COMMAND, *arguments, "--protocol-era", era, "--format", "json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    )
    return done.returncode, json.loads(done.stdout or "{}").get("result", {}), done.stderr


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_can_use_everything(sutro: Emulator, era: str) -> None:
    """Exit 0 from each call, strict about schemas, and an answer with something in it."""
    done, running = sutro.find("support-ticket-triage"), sutro.find("nightly-email-classify")
    base = f"sutro://jobs/{done}"
    calls: dict[str, list[str]] = {
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
        "export_job_results": [f"job_id={done}", "file_name=tickets.csv"],
        "cancel_job": [f"job_id={running}"],
    }
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
    with ThreadPoolExecutor(4) as pool:
        pending = {what: pool.submit(inspect, sutro, era, *call) for what, call in calls.items()}
        answers = {what: future.result() for what, future in pending.items()}
    for what, (code, result, errors) in answers.items():
        assert code == 0, (what, errors)
        if what in tools:
            assert result["structuredContent"], what
            assert result["content"][0]["text"], what
        elif what in prompts:
            assert result["messages"][0]["content"]["text"], what
        elif what.startswith("sutro://"):
            assert json.loads(result["contents"][0]["text"]), what
    assert len(answers["tools"][1]["tools"]) == len(tools)
    assert len(answers["resources"][1]["resources"]) > 25
    assert len(answers["prompts"][1]["prompts"]) == len(prompts)
    assert len(answers["resourceTemplates"][1]["resourceTemplates"]) == 5


def test_a_failing_call_is_a_tool_error_to_it(sutro: Emulator) -> None:
    """Exit code 5, and our sentence."""
    code, result, errors = inspect(
        sutro, "modern", "--method", "tools/call", "--tool-name", "get_job", "--tool-arg", "job_id=job-nope"
    )
    assert code == 5
    assert "no such job" in json.dumps(result) + errors


def test_the_skill_is_what_its_digest_says(sutro: Emulator) -> None:
    """The Inspector reads the file and compares size, digest, and frontmatter as a YAML reader has it."""
    code, _, said = inspect(sutro, "modern", "--method", "skills/list", "--verify", "--require-digests")
    assert (code, said.strip()) == (0, "Verified 1 skill and 1 file: no conformance errors.")
