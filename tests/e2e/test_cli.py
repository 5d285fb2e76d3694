"""The command as people run it: in its own process, with what it prints and how it ends."""

import json
import os
import platform
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml
from inline_snapshot import snapshot

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.check import check
from sutro_mcp.cli.main import main
from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault
from sutro_mcp.hosts.config_snippets import HOSTS
from sutro_mcp.hosts.placeholders import KEY_PLACEHOLDER

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


def test_help_names_the_commands_and_an_unknown_one_is_refused() -> None:
    """Exit code 2, as argparse has it."""
    assert run("--version").stdout.startswith("sutro-mcp 0.")
    shown = run("--help").stdout
    assert all(command in shown for command in ("serve", "demo", "emulate", "check", "config"))
    refused = run("frobnicate")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        "usage: sutro-mcp [-h] [--version] command ...\nsutro-mcp: argument command"
    )


def _key(sutro: Emulator) -> dict[str, str]:
    return {"SUTRO_API_URL": sutro.api_origin, "SUTRO_API_KEY": DEMO_KEY}


def _checked(sutro: Emulator, done: subprocess.CompletedProcess[str]) -> str:
    """All that was printed, with words in place of what differs between machines."""
    # Only a container with a limit has this line.
    text = re.sub(r'(?m)^Memory: .*\n|"memory": \{[^}]*\}, ', "", done.stdout + done.stderr)
    for value, name in {
        sutro.api_origin: "https://sutro",
        os.environ["HOME"]: "~",
        platform.python_version(): "3.x",
        version("sutro-mcp"): "0.x",
    }.items():
        text = text.replace(value, name)
    return re.sub(r'(fingerprint"?:? "?)[0-9a-f]{8}', r"\1f", text)


def test_check_says_what_is_configured_and_that_it_works(sutro: Emulator) -> None:
    """The key by fingerprint only; folders with what they hold, the files in a folder inside as well."""
    inside = Path(os.environ["HOME"]) / "sutro-exports" / "more"
    inside.mkdir(parents=True)
    (inside / "a.csv").write_bytes(os.urandom(65536))
    (inside / "link").symlink_to("/nonexistent")
    done = run("check", **_key(sutro))
    assert (done.returncode, done.stderr) == (0, "")
    assert _checked(sutro, done) == snapshot("""\
sutro-mcp 0.x on Python 3.x
cancel_job acts once the user agrees, asked by the host or, where it cannot, by the assistant (confirm).
Cache: ~/.cache/sutro-mcp/sutro-mcp-results (4.1 kB), at most 5.37 GB
Exports: ~/sutro-exports (65.5 kB)
SQL over results runs in a process that can open nothing (wall).
URL: https://sutro (from SUTRO_API_URL)
Key: fingerprint f (from SUTRO_API_KEY)
Key accepted (auth/check).
Jobs can be listed.
All is well. `sutro-mcp config HOST` prints what to paste into your assistant.
""")


@pytest.mark.skipif(sys.platform == "win32", reason="modes and pipes are those of POSIX")
def test_check_warns_of_what_costs_time(sutro: Emulator, tmp_path: Path) -> None:
    """A cache that is not used; and a configuration that others can read, in the words of `serve`."""
    _log_in(sutro.api_origin)
    (Path(os.environ["HOME"]) / ".sutro" / "config.json").chmod(0o644)
    (tmp_path / "file").touch()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    for name, reason in {"file": "File exists", "shared": "other users may write there"}.items():
        done = run("check", SUTRO_MCP_CACHE_DIR=str(tmp_path / name))
        assert done.returncode == 0
        assert re.search(f"\nCache: nothing is kept. Warning: Cannot keep results in .*{reason}", done.stdout)
        assert "All is well" not in done.stdout
        assert "can be read or written by other users" in done.stderr


def test_check_counts_the_cache_alone(tmp_path: Path) -> None:
    """Not what a user keeps beside it."""
    (tmp_path / "mine").write_bytes(os.urandom(65536))
    facts = anyio.run(check, {"SUTRO_MCP_CACHE_DIR": str(tmp_path)}, None)
    assert facts["cache"]["bytes"] < 65536


@pytest.mark.skipif(sys.platform == "win32", reason="modes and pipes are those of POSIX")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("file", "it is not a folder"),
        ("pipe", "it is not a folder"),
        ("file/new", "it is not a folder"),
        ("shared", "other users may write there"),
    ],
)
def test_check_fails_where_nothing_can_be_exported(tmp_path: Path, kind: str, reason: str) -> None:
    """With the reason that the tool would give."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    facts = anyio.run(check, {"SUTRO_MCP_DEMO": "1", "SUTRO_MCP_EXPORT_DIR": str(tmp_path / kind)}, None)
    assert not facts["ok"]
    assert f'Cannot use the export folder "{tmp_path / kind}": {reason}' in facts["error"]


def test_check_can_answer_as_json(sutro: Emulator) -> None:
    """For a program: every finding, and whether all is well."""
    done = run("check", "--json", SUTRO_MCP_READ_ONLY="1", SUTRO_MCP_CACHE_MAX_BYTES="0", **_key(sutro))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(_checked(sutro, done)) == snapshot(
        {
            "version": "0.x",
            "python": "3.x",
            "cancel": "off",
            "read_only": True,
            "cache": {"folder": None, "bytes": 0, "max_bytes": 0},
            "exports": {"folder": "~/sutro-exports", "bytes": 0},
            "sql": "wall",
            "url": "https://sutro",
            "url_source": "SUTRO_API_URL",
            "key_fingerprint": "f",
            "key_source": "SUTRO_API_KEY",
            "key_accepted": True,
            "has_jobs": True,
            "ok": True,
        }
    )
    done = run("check", "--json", SUTRO_MCP_PORTS="1")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(_checked(sutro, done)) == snapshot(
        {
            "version": "0.x",
            "python": "3.x",
            "ok": False,
            "error": "Cannot start with these settings: SUTRO_MCP_PORTS is no setting: the nearest is "
            "SUTRO_MCP_PORT. Correct or unset it.",
        }
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"SUTRO_MCP_CANCEL": "off"}, "cancel_job is not offered (off)."),
        ({"SUTRO_MCP_CANCEL": "allow", "SUTRO_MCP_READ_ONLY": "yes"}, "cancel_job is not offered (off)."),
        (
            {"SUTRO_MCP_CANCEL": "elicit"},
            "cancel_job acts once the user agrees, asked by the host and nobody else",
        ),
        ({"SUTRO_MCP_CANCEL": "allow"}, "cancel_job acts at once, without asking (allow)."),
    ],
    ids=["off", "read-only", "elicit", "allow"],
)
def test_check_says_the_policy_in_words_and_needs_no_key_in_demo_mode(
    policy: dict[str, str], words: str
) -> None:
    """Nor does the server then."""
    lines: list[str] = []
    assert anyio.run(check, {"SUTRO_MCP_DEMO": "true", **policy}, lines.append)["ok"]
    assert lines[1].startswith(words)
    assert "needs no key" in lines[-1]


def test_check_finds_the_configuration_of_the_official_sdk(sutro: Emulator) -> None:
    """Someone who did `sutro login` needs no settings here. An account without jobs is well, too."""
    sutro.faults.add(Fault.raw(b'{"jobs": [], "next_cursor": null}'), path="/list-jobs", times=None)
    _log_in(sutro.api_origin + "/v1")
    done = run("check")
    assert done.returncode == 0, done.stderr
    assert "config.json" in done.stdout
    assert "there are none yet" in done.stdout


def _log_in(url: str) -> None:
    folder = Path(os.environ["HOME"]) / ".sutro"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"api_key": DEMO_KEY, "api_url": url}))


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "SUTRO_API_KEY"),
        ({"SUTRO_API_KEY": "sk_other_key", "SUTRO_API_URL": "{url}"}, "SUTRO_API_KEY"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_API_URL": "http://127.0.0.1:9"}, "SUTRO_API_URL"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_API_URL": "ftp://x"}, "SUTRO_API_URL"),
        ({"SUTRO_API_URL": "{url}"}, "SUTRO_API_KEY"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_MCP_CANCEL": "foo"}, "SUTRO_MCP_CANCEL"),
        ({"SUTRO_API_KEY": DEMO_KEY, "SUTRO_MCP_READONLY": "true"}, "SUTRO_MCP_READ_ONLY"),
    ],
    ids=[
        "nothing",
        "wrong-key",
        "nobody-there",
        "not-a-url",
        "half-a-pair",
        "wrong-setting",
        "misspelt-setting",
    ],
)
def test_check_exits_1_and_says_what_to_do(sutro: Emulator, env: dict[str, str], words: str) -> None:
    """One sentence, no traceback, no key, and no advice to run what is running."""
    filled = {name: value.format(url=sutro.api_origin) for name, value in env.items()}
    done = run("check", **filled)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "sutro-mcp check" not in done.stderr
    assert "sk_other_key" not in done.stdout + done.stderr


def test_check_does_not_believe_an_answer_that_does_not_accept_the_key(sutro: Emulator) -> None:
    """200 is not enough."""
    sutro.faults.add(Fault.raw(b'{"authenticated": false}'), path="/auth/check", times=None)
    done = run("check", **_key(sutro))
    assert done.returncode == 1
    assert "did not accept it. Set SUTRO_API_KEY to a current key." in done.stderr


# The command with what the shell does to its streams; the exit code and how stderr begins. `left` is a pipe
# whose reader has left.
STREAMS = {
    "--version > /dev/full": (1, "Cannot write the output: No space left on device."),
    "--help > /dev/full": (1, "Cannot write the output: No space left on device."),
    "config codex > /dev/full": (
        1,
        "~/.codex/config.toml:\nCannot write the output: No space left on device.",
    ),
    "config codex > /dev/full 2> /dev/full": (1, ""),
    "config codex >&-": (1, "~/.codex/config.toml:\nCannot write the output: stdout is closed."),
    "config codex 2>&- | grep -q SUTRO_API_URL=; test $? = 1": (0, ""),
    "config codex >&{left}": (141, "~/.codex/config.toml:"),
    "check >&{left}": (141, ""),
    "demo | head -3 > /dev/null": (141, ""),
    "emulate --port 0 > /dev/full": (1, "Cannot write the output: No space left on device."),
    "serve <&-": (
        1,
        "Cannot serve MCP over stdio: stdin is closed. Let an MCP host start the server, or serve HTTP",
    ),
    "serve >&- < /dev/null": (1, "Cannot serve MCP over stdio: stdout is closed."),
    "serve > /dev/full <<< '{\"id\": 1}'": (1, "stdin or stdout failed: No space left on device."),
    "frobnicate 2> /dev/full": (2, ""),
}


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize(("line", "expected"), STREAMS.items(), ids=STREAMS)
def test_streams_that_are_closed_or_full_end_a_command_in_order(line: str, expected: tuple[int, str]) -> None:
    """One sentence where there is anything to say, and the exit code that a shell expects."""
    reader, left = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [
            "bash",
            "-o",
            "pipefail",
            "-c",
            f'"$0" -m sutro_mcp {line}'.replace("{left}", str(left)),
            sys.executable,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        pass_fds=[left],
        env={**os.environ, "SUTRO_API_URL": "https://a.example.com"},
    )
    os.close(left)
    code, words = expected
    assert (done.returncode, done.stderr[: len(words) or None].strip()) == (code, words)


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
def test_a_server_in_a_terminal_says_what_it_waits_for() -> None:
    """In one line, on stderr; a host's pipe is told nothing."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        COMMAND, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == snapshot(
        "Waiting for an MCP client on stdin; hosts start this themselves (see `sutro-mcp config`).\n"
    )
    os.close(theirs)
    os.close(ours)
    assert process.communicate(timeout=20) == ("", "")


STARTED = sorted(name for name, host in HOSTS.items() if host.start)
REACHED = sorted(name for name, host in HOSTS.items() if host.reach)


def entry_in(host: str, printed: str) -> dict[str, Any]:
    """The entry that a host would read from what is printed."""
    if host in ("chatgpt", "claude-remote"):
        return dict(line.split(": ", 1) for line in printed.splitlines())
    if host == "claude-code":
        words = shlex.split(printed)
        assert words[:3] == ["claude", "mcp", "add"]
        if words[3:6] == ["--transport", "http", "sutro"]:
            return {"url": words[6]}
        command = words[words.index("--") + 1 :]
        variables = dict(word.split("=", 1) for word in words if word.startswith("SUTRO_"))
        return {"command": command[0], "args": command[1:], "env": variables}
    if host == "codex":
        return tomllib.loads(printed)["mcp_servers"]["sutro"]
    if host == "goose":
        entry = yaml.safe_load(printed)["extensions"]["sutro"]
        names: dict[str, str] = {"cmd": "command", "envs": "env", "uri": "url"}
        return {names.get(name, str(name)): value for name, value in entry.items()}
    places = {"vscode": "servers", "zed": "context_servers", "opencode": "mcp", "amp": "amp.mcpServers"}
    found = json.loads(printed)
    entry = (found if host == "warp" else found[places.get(host, "mcpServers")])["sutro"]
    if host == "opencode" and entry["type"] == "local":
        command, *args = entry["command"]
        return {"command": command, "args": args, "env": entry.get("environment")}
    return entry


@pytest.mark.parametrize("host", STARTED)
def test_the_configuration_for_a_host_can_be_piped_into_its_file(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It parses in that host's own format, and never holds the key; stderr says where it goes."""
    monkeypatch.setenv("SUTRO_API_KEY", "sk_real_key")
    monkeypatch.setenv("SUTRO_API_URL", "https://a.example.com")
    assert main(["config", host]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{HOSTS[host].place}:\n")
    assert HOSTS[host].documentation in printed.err
    assert ("Not tried" in printed.err) is not HOSTS[host].is_tried
    assert "sk_real_key" not in printed.out
    entry = entry_in(host, printed.out)
    assert Path(entry["command"]).name == "sutro-mcp"
    assert entry["env"] == {
        "SUTRO_API_KEY": "${input:sutro-key}" if host == "vscode" else KEY_PLACEHOLDER,
        "SUTRO_API_URL": "https://a.example.com",
    }
    assert main(["config", host, "--demo"]) == 0
    entry = entry_in(host, capsys.readouterr().out)
    assert (entry["args"], entry.get("env") or {}) == (["--demo"], {})


@pytest.mark.parametrize("host", REACHED)
def test_the_configuration_for_a_running_server_holds_its_url(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the name that the host has for it."""
    url = "https://mcp.example.com/mcp"
    assert main(["config", host, "--http", url]) == 0
    entry = entry_in(host, capsys.readouterr().out)
    assert url in entry.values()
    assert "command" not in entry


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chatgpt"], "chatgpt takes only a URL: add --http URL."),
        (["claude-desktop", "--http", "http://127.0.0.1:8000/mcp"], "sutro-mcp config claude-remote"),
    ],
)
def test_a_host_that_cannot_take_it_is_told_so(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do instead."""
    assert main(["config", *arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("host", STARTED)
def test_the_sdks_file_needs_no_environment_and_an_installation_for_one_run_is_started_by_uvx(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A placeholder would hide the file's key; the path of one run is gone tomorrow."""
    monkeypatch.setattr(sys, "executable", "/home/x/.cache/uv/archive-v0/abc/bin/python")
    assert main(["config", host]) == 0
    printed = capsys.readouterr()
    assert "SUTRO_API_URL" in printed.err
    entry = entry_in(host, printed.out)
    assert [entry["command"], *entry["args"]] == ["uvx", "sutro-mcp"]
    assert "SUTRO_API_URL" not in entry["env"]
    _log_in("https://a.example.com")
    assert main(["config", host]) == 0
    printed = capsys.readouterr()
    assert not entry_in(host, printed.out).get("env")
    assert DEMO_KEY not in printed.out


def test_the_configuration_starts_this_installation() -> None:
    """By its own command."""
    entry = json.loads(run("config", "cursor").stdout)["mcpServers"]["sutro"]
    started = subprocess.run([entry["command"], "--version"], capture_output=True, text=True, check=True)
    assert started.stdout.startswith("sutro-mcp 0.")


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


def test_an_emulator_without_a_port_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One that is taken, or is none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["emulate", "--port", port]) == 1
    assert capsys.readouterr().err.startswith(
        f"Cannot serve the emulator on port {port}: Address already in use"
    )
    assert main(["emulate", "--port", "99999"]) == 2
    assert "invalid port value: '99999'" in capsys.readouterr().err


def test_a_demo_whose_server_does_not_start_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and a sentence."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert main(["demo"]) == 1
    assert "The demo failed: " in capsys.readouterr().err


def test_the_view_is_served_to_browsers_of_this_computer() -> None:
    """A page, the view in it, and the tools that it may call; not under the name of another site."""
    command = [*COMMAND, "demo", "--view", "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        httpx.Client(trust_env=False, timeout=60) as browser,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        try:
            assert "<title>sutro-mcp" in browser.get(address).text
            assert "<title>Sutro jobs" in browser.get(f"{address}view").json()["html"]
            for ask in ({"name": "show_jobs"}, {"name": "show_jobs", "arguments": {"job_id": "job-1"}}):
                assert "content" in browser.post(f"{address}call", json=ask).json()["result"]
            assert browser.get(address, headers={"host": "evil.example"}).status_code == 400
        finally:
            process.send_signal(signal.SIGINT)
        _, noise = process.communicate(timeout=60)
    assert (process.returncode, noise) == (130, "")
