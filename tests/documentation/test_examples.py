"""What the documentation shows is run: its commands, its Python, its conversation and its links."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sutro_mcp.emulator import DEMO_KEY, Pace, serve_in_thread
from sutro_mcp.hosts.config_snippets import HOSTS, Launch
from sutro_mcp.hosts.placeholders import KEY_PLACEHOLDER

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVERS = (" emulate", " serve", " --view")  # go on until they are stopped
# Programs of others, whose machines and services no test has.
NOT_RUN = re.compile(r"(?:cd|chmod|claude|curl|docker|echo|export|helm|kubectl|printf|python3) |\w+=|#|$")


def blocks(language: str) -> list[tuple[str, str]]:
    """Every block in that language, with the name of its page."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(page.name, block) for page in PAGES for block in fence.findall(page.read_text("utf-8"))]


@pytest.fixture(scope="module")
def environment() -> Generator[dict[str, str]]:
    """Variables with which examples find the emulator as their deployment."""
    with serve_in_thread(pace=Pace.at_once()) as emulator:
        yield {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "SUTRO_API_KEY": DEMO_KEY,
            "SUTRO_API_URL": emulator.api_origin,
        }


@pytest.mark.smoke
@pytest.mark.parametrize(("page", "block"), blocks("sh"))
def test_each_command_does_its_work(
    page: str, block: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """A command that is shown and fails costs a newcomer. Those of a block are run one after the other."""
    for line in block.replace("\\\n", " ").splitlines():
        if NOT_RUN.match(line):
            continue
        if line.startswith("scripts/"):  # the gate runs them whole
            line = f"{ROOT / line.split()[0]} --help"
        command = ["bash", "-c", "exec " + line.removeprefix("uvx ").replace("--port 8787", "--port 0")]
        if any(word in line for word in SERVERS):
            with subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
            ) as process:
                assert process.stdout is not None
                assert process.stdout.readline(), line
                process.terminate()
            continue
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=200, check=False
        )
        assert done.returncode == 0, f"{page}: {line}: {done.stderr}"
        assert done.stdout or done.stderr, line
        if line == "uvx sutro-mcp demo":
            assert "Traceback" not in done.stderr
            assert_said(done.stdout)


def assert_said(output: str) -> None:
    """The conversation in the README is made of what the demo says, up to "…", and the rest is there."""
    ((_, conversation),) = [block for block in blocks("text") if block[0] == "README.md"]
    for line in conversation.splitlines():
        for part in filter(None, (part.strip(" ") for part in line.split("…"))):
            assert part in output


@pytest.mark.smoke
@pytest.mark.parametrize(("page", "example"), blocks("python"))
def test_each_python_example_runs(page: str, example: str, environment: dict[str, str]) -> None:
    """As a file of its own, against the emulator; where it says what is printed, that is."""
    done = subprocess.run(
        [sys.executable, "-c", example],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"
    assert done.stdout
    for printed in re.findall(r"print\(.*\)  # (.+)$", example, re.MULTILINE):
        assert printed in done.stdout


def test_the_readme_is_short() -> None:
    """It is read in a minute."""
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_no_link_to_a_file_is_dead(page: str) -> None:
    """The site's own builder looks at the others."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text("utf-8")):
        assert (ROOT / target).exists(), target


def test_the_badges_add_what_config_prints() -> None:
    """Decoded, each is the entry of its host."""
    launch = Launch(("uvx", "sutro-mcp"), {"SUTRO_API_KEY": KEY_PLACEHOLDER})
    badge = re.compile(r"\[!\[Add to ([\w ]+)\]\(assets/badge-\w+\.svg\)\]\((\S+)\)")
    links = {match[1]: urlsplit(match[2]) for match in badge.finditer(README)}
    assert {name: link._replace(query="").geturl() for name, link in links.items()} == {
        "Cursor": "https://cursor.com/en/install-mcp",
        "VS Code": "https://insiders.vscode.dev/redirect/mcp/install",
    }
    queries = {name: parse_qs(link.query, strict_parsing=True) for name, link in links.items()}

    cursor, vscode = HOSTS["cursor"].start, HOSTS["vscode"].start
    assert cursor
    assert vscode
    assert queries["Cursor"]["name"] == queries["VS Code"]["name"] == ["sutro"]
    assert (
        json.loads(base64.b64decode(queries["Cursor"]["config"][0], validate=True))
        == json.loads(cursor(launch))["mcpServers"]["sutro"]
    )
    wanted = json.loads(vscode(launch))
    assert json.loads(queries["VS Code"]["config"][0]) == wanted["servers"]["sutro"]
    assert json.loads(queries["VS Code"]["inputs"][0]) == wanted["inputs"]
