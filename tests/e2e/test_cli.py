"""The command as people run it: in its own process, with what it prints and how it ends."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import anyio
import pytest

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.cli import main
from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault
from sutro_mcp.host_configs import HOSTS, KEY_PLACEHOLDER

from .process import COMMAND

pytestmark = [pytest.mark.smoke]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`sutro-mcp …` with these variables."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )


def test_the_demo_shows_the_main_job_and_exits_0() -> None:
    """A real server, a real client: list, cancel with consent, follow, summary, page, and how to go on."""
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for words in (
        "→ summarize_jobs(",
        "→ list_jobs(",
        "This is a preview, nothing was sent",
        "requested. The job is being cancelled",
        "is CANCELLED (final)",
        "→ wait_for_job(",
        "… RUNNING: ",
        "is SUCCEEDED (final). Call get_job_results.",
        "12,000 rows (the job says the same)",
        "rows 100 to 104 of 12,000",
        "sutro-mcp config claude-desktop",
    ):
        assert words in done.stdout, done.stdout
    assert "Traceback" not in done.stderr


def test_the_version_is_printed() -> None:
    """The one of the distribution."""
    assert run("--version").stdout.startswith("sutro-mcp 0.")


def test_help_names_the_commands_and_an_unknown_one_is_refused() -> None:
    """Exit code 2, as argparse has it."""
    shown = run("--help").stdout
    assert all(command in shown for command in ("serve", "demo", "emulate", "check", "config"))
    assert run("frobnicate").returncode == 2


def test_check_says_what_is_configured_and_that_it_works(sutro: Emulator) -> None:
    """The key by fingerprint only."""
    done = run("check", SUTRO_API_URL=sutro.api_origin, SUTRO_API_KEY=DEMO_KEY)
    assert done.returncode == 0
    assert f"URL: {sutro.api_origin} (from SUTRO_API_URL)" in done.stdout
    assert "fingerprint" in done.stdout
    assert "Key accepted" in done.stdout
    assert "Jobs can be listed" in done.stdout
    assert DEMO_KEY not in done.stdout + done.stderr


def test_check_finds_the_configuration_of_the_official_sdk(sutro: Emulator) -> None:
    """Someone who did `sutro login` needs no settings here."""
    folder = Path(os.environ["HOME"]) / ".sutro"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"api_key": DEMO_KEY, "api_url": sutro.api_origin + "/v1"})
    )
    done = run("check")
    assert done.returncode == 0, done.stderr
    assert "config.json" in done.stdout


def test_check_in_demo_mode_needs_no_key() -> None:
    """Nor does the server then."""
    done = run("check", SUTRO_MCP_DEMO="true")
    assert done.returncode == 0
    assert "needs no key" in done.stdout


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "SUTRO_API_KEY"),
        ({"SUTRO_API_KEY": "sk_other_key", "SUTRO_API_URL": "{url}"}, "SUTRO_API_KEY"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_API_URL": "http://127.0.0.1:9"}, "SUTRO_API_URL"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_API_URL": "ftp://x"}, "SUTRO_API_URL"),
        ({"SUTRO_API_URL": "{url}"}, "SUTRO_API_KEY"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_MCP_CANCEL": "foo"}, "SUTRO_MCP_CANCEL"),
    ],
    ids=["nothing", "wrong-key", "nobody-there", "not-a-url", "half-a-pair", "wrong-setting"],
)
def test_check_exits_1_and_says_what_to_do(sutro: Emulator, env: dict[str, str], words: str) -> None:
    """One sentence, no traceback, no key."""
    filled = {name: value.format(url=sutro.api_origin) for name, value in env.items()}
    done = run("check", **filled)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "sk_other_key" not in done.stdout + done.stderr


def test_check_does_not_believe_an_answer_that_does_not_accept_the_key(sutro: Emulator) -> None:
    """200 is not enough."""
    sutro.faults.add(Fault.raw(b'{"authenticated": false}'), path="/auth/check", times=None)
    done = run("check", SUTRO_API_URL=sutro.api_origin, SUTRO_API_KEY=DEMO_KEY)
    assert done.returncode == 1
    assert "did not accept the key" in done.stdout


def test_check_of_an_account_without_jobs_is_well_too(sutro: Emulator) -> None:
    """There is nothing to list yet."""
    sutro.faults.add(Fault.raw(b'{"jobs": [], "next_cursor": null}'), path="/list-jobs", times=None)
    done = run("check", SUTRO_API_URL=sutro.api_origin, SUTRO_API_KEY=DEMO_KEY)
    assert "there are none yet" in done.stdout


def servers_in(host: str, printed: str) -> dict[str, Any]:
    """The entry that a host would read from what is printed."""
    where, _, body = printed.partition("\n\n")
    assert where.endswith(":")
    if host == "codex":
        return tomllib.loads(body)["mcp_servers"]["sutro"]
    if host == "claude-code":
        words = shlex.split(body)
        assert words[:4] == ["claude", "mcp", "add", "sutro"]
        command = words[words.index("--") + 1 :]
        variables = dict(word.split("=", 1) for word in words if word.startswith("SUTRO_"))
        return {"command": command[0], "args": command[1:], "env": variables}
    return json.loads(body)["servers" if host == "vscode" else "mcpServers"]["sutro"]


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_the_configuration_for_a_host_can_be_pasted(host: str) -> None:
    """It parses in that host's own format, and starts this installation; the key is never printed."""
    done = run("config", host, SUTRO_API_KEY="sk_real_key", SUTRO_API_URL="https://a.example.com")
    assert done.returncode == 0
    assert "sk_real_key" not in done.stdout
    entry = servers_in(host, done.stdout)
    assert entry["env"]["SUTRO_API_URL"] == "https://a.example.com"
    assert entry["env"]["SUTRO_API_KEY"] == ("${input:sutro-key}" if host == "vscode" else KEY_PLACEHOLDER)
    started = subprocess.run([entry["command"], "--version"], capture_output=True, text=True, check=True)
    assert started.stdout.startswith("sutro-mcp 0.")


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_whoever_has_the_sdks_file_needs_no_environment(host: str) -> None:
    """A placeholder would hide the file's key."""
    folder = Path(os.environ["HOME"]) / ".sutro"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"api_key": DEMO_KEY, "api_url": "https://a.example.com"}))
    done = run("config", host)
    assert not servers_in(host, done.stdout).get("env")
    assert DEMO_KEY not in done.stdout


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_an_installation_for_one_run_is_started_by_uvx(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own path is gone tomorrow. Without a URL none is named."""
    monkeypatch.setattr(sys, "executable", "/home/x/.cache/uv/archive-v0/abc/bin/python")
    assert main(["config", host]) == 0
    printed = capsys.readouterr()
    assert "SUTRO_API_URL" in printed.err
    entry = servers_in(host, printed.out)
    assert [entry["command"], *entry["args"]] == ["uvx", "sutro-mcp"]
    assert "SUTRO_API_URL" not in entry["env"]


def test_the_emulator_can_be_served_alone() -> None:
    """It prints what any client needs, and Ctrl-C ends it."""
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--port", "0"], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        printed = [process.stdout.readline() for _ in range(4)]
        url = next(line for line in printed if "SUTRO_API_URL" in line).strip().partition("=")[2]
        key = next(line for line in printed if "SUTRO_API_KEY" in line).strip().partition("=")[2]

        async def count() -> int:
            async with ApiClient(resolve_connection(url, key, env={})) as client:
                return len(await client.list_jobs())

        assert anyio.run(count) > 40
    finally:
        process.send_signal(2)
        _, noise = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in noise


def test_a_demo_whose_server_does_not_start_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and a sentence."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert main(["demo"]) == 1
    assert "The demo failed: " in capsys.readouterr().err
