"""The files around the package agree on what they say about it, with each other and with `pyproject.toml`."""

import json
import re
import struct
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    """A file of the repository, as text."""
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    """`[project]` of pyproject.toml."""
    return tomllib.loads(read("pyproject.toml"))["project"]


def manifest() -> dict[str, Any]:
    """The desktop bundle's manifest."""
    return json.loads(read("bundle/manifest.json"))


def test_the_bundle_and_the_package_are_the_same_release() -> None:
    """A bundle that names another version would never be offered as an update."""
    package, bundle = project(), manifest()
    assert (bundle["name"], bundle["version"]) == (package["name"], package["version"])
    assert bundle["license"] == package["license"]


def test_the_image_and_the_changelog_name_this_version() -> None:
    """The version is written in five places; a release changes all of them."""
    version = project()["version"]
    assert f'org.opencontainers.image.version="{version}"' in read("Dockerfile")
    assert re.search(rf"^## {re.escape(version)}\b", read("CHANGELOG.md"), re.MULTILINE)


def test_every_setting_of_the_bundle_reaches_the_server_and_may_stay_blank() -> None:
    """Somebody who ran `sutro login` has nothing to fill in."""
    bundle = manifest()
    used = set(bundle["server"]["mcp_config"]["env"].values())
    assert used == {f"${{user_config.{name}}}" for name in bundle["user_config"]}
    assert not any(setting["required"] for setting in bundle["user_config"].values())


def test_the_bundle_has_an_icon_for_each_theme() -> None:
    """A picture of the size that it says, in the bundle."""
    bundle = manifest()
    assert {icon["theme"]: icon["src"] for icon in bundle["icons"]} == {
        "light": bundle["icon"],
        "dark": "icon-dark.png",
    }
    for icon in bundle["icons"]:
        head = (ROOT / "bundle" / icon["src"]).read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        assert icon["size"] == "x".join(str(side) for side in struct.unpack(">II", head[16:]))


def test_the_bundle_says_which_sutro_it_is_for() -> None:
    """Another product has the same name."""
    assert "Sutro batch inference (sutro.sh)" in manifest()["description"]


def test_every_dependency_says_why_it_is_there() -> None:
    """One line each, so that the reason is read by whoever would add or drop one."""
    lines = read("pyproject.toml").splitlines()
    for dependency in project()["dependencies"]:
        (line,) = [line for line in lines if line.strip().startswith(f'"{dependency}"')]
        assert re.search(r'",\s+# \S+ \S+', line), f"{dependency}: no reason behind it"
