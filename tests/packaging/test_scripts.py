"""The commands of the repository: they start, and the check finds what it is there to find."""

import os
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from scripts import bootstrap
from scripts.suites import files, mutations, suites, unseen

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix)
LOCKS = ["requirements/build.txt", "requirements/dev.txt", "requirements/runtime.txt"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.name)
def test_a_command_can_be_started_as_it_is(command: Path) -> None:
    """The README shows them without `python` in front; types and lint see what pyproject.toml lists."""
    assert os.access(command, os.X_OK)
    text = command.read_text("utf-8")
    assert text.startswith('#!/usr/bin/env python3\n"""')
    compile(text, command, "exec")
    assert (ROOT / "pyproject.toml").read_text("utf-8").count(f'"scripts/{command.name}"') == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="the gate is a bash script")
def test_the_gate_parses() -> None:
    """bash reads a script as it goes: a slip would show only where it is."""
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT, check=True, timeout=20)


def test_the_paths_of_the_long_suites_and_of_the_mutations_exist() -> None:
    """A file that is renamed takes its line in tests/suites.toml along."""
    for suite in suites():
        assert list(files(suite.tests)), suite.name
        assert list(files(suite.guards)), suite.name
    assert all(mutations().values())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_place(lock: str) -> None:
    """Where packages come from is each machine's own setting; what they are is ours."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9._-]+==.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE))
    assert "://" not in text


def test_the_node_lock_pins_by_hash_and_names_no_place() -> None:
    """Made with npm's own switch for leaving addresses out."""
    text = (ROOT / "requirements/node/package-lock.json").read_text(encoding="utf-8")
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')
    assert "://" not in text


PYPROJECT = """\
[build-system]
requires = ["builder>=1"]

[project]
dependencies = ["some-library>=2,<3"]

[dependency-groups]
dev = ["tester>=9"]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small work tree that the check is content with."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "requirements").mkdir()
    lock = "\nsome-library==2.1\n"
    (tmp_path / "requirements/dev.txt").write_text(f"# {bootstrap.seal(lock, tmp_path)}{lock}", "utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True, timeout=20)
    return tmp_path


CHECK: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "check"))


def faults(tree: Path) -> list[str]:
    """The output of `scripts/check` there."""
    find: Callable[[Path], Iterable[str]] = CHECK["tree_faults"]
    return list(find(tree))


def append(path: Path, text: str) -> None:
    """Write at the end of a file, making it if there is none."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_tree_in_order_has_no_faults(tree: Path) -> None:
    """Nor has one with a setting changed that no lock depends on."""
    append(tree / "pyproject.toml", "[tool.x]\ny = 1\n")
    assert faults(tree) == []


@pytest.mark.parametrize(
    ("file", "text"), [("pyproject.toml", "more = []\n"), ("requirements/dev.txt", "x==1")]
)
def test_a_lock_that_was_edited_or_made_for_other_requirements_is_found(
    tree: Path, file: str, text: str
) -> None:
    """The next to clone would get something else than was tested."""
    append(tree / file, text)
    fault = "requirements/dev.txt:1: edited, or not made for this pyproject.toml; run scripts/lock"
    assert faults(tree) == [fault]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("see https://py" + "pi.org/project/x", "names a package index", id="index"),
        pytest.param(
            "https://files.python" + "hosted.org/x.whl", "names a package index", id="files of the index"
        ),
        pytest.param('"https://registry.npm' + 'js.org/x"', "names a package index", id="npm"),
        pytest.param("--index" + "-url x", "sets a package index", id="option of a requirements file"),
        pytest.param("cd /root" + "/.cache/x", "names a path of one machine", id="path of one machine"),
    ],
)
def test_a_line_that_ties_the_tree_to_one_place_is_found(tree: Path, line: str, fault: str) -> None:
    """Not yet known to git is soon enough to say so."""
    append(tree / "notes.md", f"fine\n{line}\n")
    assert faults(tree) == [f"notes.md:2: {fault}"]


def test_a_lock_of_another_tool_is_found(tree: Path) -> None:
    """`uv run` leaves one behind."""
    append(tree / "uv.lock", "version = 1\n")
    (fault,) = faults(tree)
    assert fault.startswith("uv.lock:1: this kind of lock records download addresses")


def test_a_module_that_outgrew_its_limit_is_found(tree: Path) -> None:
    """400 lines are the ceiling, and the line after it is named."""
    append(tree / "sutro_mcp/long.py", "x = 1\n" * 400)
    assert faults(tree) == []
    append(tree / "sutro_mcp/long.py", "x = 1\n")
    assert faults(tree) == ["sutro_mcp/long.py:401: 401 lines, more than 400; split it"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("import time\ntime.sleep(0.01)", "2: time.sleep blocks", id="blocking"),
        pytest.param("import time as t\nt.sleep(0.01)", "2: t.sleep blocks", id="under another name"),
        pytest.param("from time import sleep as nap\nnap(x)", "2: nap blocks", id="imported"),
        pytest.param("await anyio.sleep(0.051)", "1: sleeps 0.051 seconds", id="long"),
        pytest.param("PAUSE = 1\nawait asyncio.sleep(PAUSE)", "2: sleeps 1 seconds", id="a constant"),
        pytest.param("PAUSE: float = 1.5\nawait asyncio.sleep(PAUSE)", "2: sleeps 1.5 s", id="annotated"),
        pytest.param("await anyio.sleep(delay=2)", "1: sleeps 2 seconds", id="by keyword"),
        pytest.param("await anyio.sleep(0.05)", "", id="short"),
        pytest.param("await wait(0.02 if fast else pause)", "", id="no sleep"),
    ],
)
def test_a_test_that_waits_is_found(tree: Path, text: str, found: str) -> None:
    """The event it waits for would come sooner on most machines, and later on some."""
    append(tree / "tests/test_x.py", text)
    assert [fault.startswith(f"tests/test_x.py:{found}") for fault in faults(tree)] == [True] * bool(found)


def test_the_product_may_poll_but_not_block(tree: Path) -> None:
    """A poll once a second is no test that waits."""
    append(tree / "sutro_mcp/poll.py", "import time\nPOLL = 1.0\nawait anyio.sleep(POLL)\ntime.sleep(POLL)")
    assert faults(tree) == [
        "sutro_mcp/poll.py:4: time.sleep blocks a thread; wait for an event, with a limit"
    ]


def test_only_a_release_waits_for_the_long_suites() -> None:
    """A commit is warned of guarded files that a long suite has not seen; a release is refused."""
    may_go: Callable[[bool], bool] = CHECK["check_suites"]
    assert may_go(False)
    assert may_go(True) == (not unseen())


def test_files_that_are_no_text_are_left_alone(tree: Path) -> None:
    """Data for tests may be binary."""
    (tree / "data.bin").write_bytes(b"\xff\xfe\x00")
    assert faults(tree) == []
