"""What a release publishes says the same everywhere, and is made by actions that cannot change."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .test_metadata import ROOT, manifest, project, read

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_the_registry_is_told_of_this_package() -> None:
    """server.json names this release, and the README proves that the package is ours."""
    server: dict[str, Any] = json.loads(read("server.json"))
    (package,) = server["packages"]
    assert (package["identifier"], package["version"]) == (project()["name"], project()["version"])
    assert server["version"] == project()["version"]
    assert server["repository"]["url"] == project()["urls"]["Repository"] == manifest()["repository"]["url"]
    assert f"<!-- mcp-name: {server['name']} -->" in read("README.md")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_by_its_commit(workflow: Path) -> None:
    """A tag can be moved to other code; the comment says which version the commit is."""
    text = workflow.read_text("utf-8")
    used = re.findall(r"^\s*-? *uses: (.*)$", text, re.MULTILINE)
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)


def test_an_index_shows_links_that_lead_somewhere() -> None:
    """Relative links of the README would be dead there."""
    command = [sys.executable, "-m", "hatchling", "metadata"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
    metadata: dict[str, Any] = json.loads(said)
    assert set(metadata["urls"]) == {"Homepage", "Documentation", "Repository", "Issues", "Changelog"}
    text: str = metadata["readme"]["text"]
    assert re.findall(r"\]\((?!https?:|#)[^)]+\)", text) == []
    version, repository = metadata["version"], metadata["urls"]["Repository"]
    for target in re.findall(rf"{re.escape(repository)}/(?:blob|raw)/v{re.escape(version)}/([^)#\s]+)", text):
        assert (ROOT / target).exists(), target


def test_the_bundle_starts_with_uv_alone() -> None:
    """Its one script installs what its lock says; `scripts/build-check` starts it from the packed file."""
    server = manifest()["server"]
    assert server["mcp_config"]["command"] == "uv"
    assert (ROOT / "bundle" / server["entry_point"]).is_file()
    assert [*server["mcp_config"]["args"][-2:]] == [server["entry_point"], "serve"]
