"""The environments of the clients, made on first use in .cache/interop, one for each set of packages."""

import hashlib
import json
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import bootstrap

HERE = Path(__file__).parent
CACHE = bootstrap.CACHE / "interop"


@dataclass(frozen=True)
class Client:
    """A line of clients.toml: what is installed, and the script that drives it."""

    id: str
    name: str
    script: str
    pypi: Sequence[str] = ()
    npm: Sequence[str] = ()

    @property
    def version(self) -> str:
        """The version of the package that the client is."""
        return (self.pypi or self.npm)[0].rpartition("@" if self.npm else "=")[2]

    @property
    def folder(self) -> Path:
        packages = json.dumps([self.pypi, self.npm])
        return CACHE / f"{self.id}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}"


def clients() -> list[Client]:
    """All that are listed, in their order."""
    listed: list[dict[str, Any]] = tomllib.loads((HERE / "clients.toml").read_text("utf-8"))["client"]
    return [Client(**one) for one in listed]


def prepare(client: Client) -> list[str]:
    """Install a client; the command that starts its script. Raises CalledProcessError."""
    if not (client.folder / ".made").exists():
        shutil.rmtree(client.folder, ignore_errors=True)
        client.folder.mkdir(parents=True)
        _install(client)
        (client.folder / ".made").touch()
    script = HERE / "clients" / client.script
    if client.pypi:
        return [str(client.folder / "bin" / "python"), str(script)]
    if script.suffix == ".py":
        return [str(bootstrap.VENV / "bin" / "python"), str(script)]
    # Node looks for packages from where a module lies.
    for module in (script, script.with_name("task.mjs")):
        shutil.copy(module, client.folder)
    return ["node", str(client.folder / script.name)]


def _install(client: Client) -> None:
    if client.pypi:
        python = str(client.folder / "bin" / "python")
        bootstrap.uv(
            "venv", "--quiet", "--python", str(bootstrap.VENV / "bin" / "python"), str(client.folder)
        )
        bootstrap.uv("pip", "install", "--quiet", "--python", python, *client.pypi)
    else:
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        npm = shutil.which("npm") or bootstrap.fail("npm is not on this machine.")
        subprocess.run(
            [npm, "install", "--prefix", str(client.folder), *quiet, *client.npm],
            check=True,
            capture_output=True,
            text=True,
        )
