"""What deploy/ sets, the server knows and takes. Neither an engine nor a cluster is needed to see that."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from sutro_mcp.cli.arguments import build_parser
from sutro_mcp.settings import PREFIX, Settings, load_settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "helm/sutro-mcp"
EXAMPLES = sorted((CHART / "ci").iterdir())
TEMPLATE = (CHART / "templates/deployment.yaml").read_text("utf-8")
# The chart sets these, to what its volumes, ports and probes need.
ADDRESSES = dict(re.findall(rf'{PREFIX}(\w+), value: "?([^"{{}}]+)"?}}', TEMPLATE))
FILES = dict(re.findall(r'"(\w+)" "([A-Z_]+)"', TEMPLATE))
# From other values; over HTTP nothing is exported.
ELSEWHERE = {"CACHE_MAX_BYTES", "REPLICAS", "EXPORT_DIR"}


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def _values(path: Path) -> dict[str, Any]:
    """What an operator with these values installs."""
    values, top = _yaml(CHART / "values.yaml"), _yaml(path)
    values["secrets"].update(top.pop("secrets"))
    for name, value in top.items():
        values[name] = values[name] | value if isinstance(value, dict) else value
    return values


def _faults(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Where `values` do not fit the chart's schema, and by which of its words."""
    schema = _yaml(CHART / "values.schema.json")
    Draft7Validator.check_schema(schema)
    errors: Any = Draft7Validator(schema).iter_errors(values)  # pyright: ignore[reportUnknownMemberType]
    return sorted((error.json_path, str(error.validator)) for error in errors)


def _names() -> Iterator[str]:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield from re.findall(rf"{PREFIX}([A-Z][A-Z_]*[A-Z])\b", path.read_text("utf-8"))


def test_every_setting_that_is_named_exists() -> None:
    """The server does not start with one that does not."""
    assert set(_names()) <= {name.upper() for name in Settings.model_fields}


def test_the_chart_takes_every_setting_once() -> None:
    """A new setting is one more name in its schema, or one more thing that the chart sets itself."""
    open_to_all = _yaml(CHART / "values.schema.json")["properties"]["settings"]["propertyNames"]["enum"]
    named = [*open_to_all, *ADDRESSES, *FILES.values(), *ELSEWHERE]
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_values_that_fit_the_schema_make_a_server_that_starts(path: Path) -> None:
    """Values like these are tried by everyone who reads the chart."""
    values = _values(path)
    assert _faults(values) == []
    given = {name: yaml.safe_dump(value).split("\n")[0] for name, value in values["settings"].items()}
    files = {
        FILES[which]: f"/access/{which}"
        for which, secret in values["secrets"].items()
        if which in FILES and secret["name"]
    }
    settings = load_settings({PREFIX + name: value for name, value in (ADDRESSES | given | files).items()})
    assert settings.for_a_team


def test_a_misspelt_value_is_refused() -> None:
    """Before anything is installed, with what is wrong."""
    values = _values(EXAMPLES[0])
    values["settings"] |= {"TOKEN_FILE": "tokens", "PUBLIC_URL": "http://mcp.example.com"}
    values["secrets"]["token"] = {"name": "x"}
    assert _faults(values) == [
        ("$.secrets", "additionalProperties"),
        ("$.settings", "enum"),
        ("$.settings.PUBLIC_URL", "pattern"),
    ]


def test_what_compose_sets_makes_a_server_that_starts() -> None:
    """With nothing in `.env` but the key."""
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    assert services["replica-1"] == services["replica-2"]
    environment = {
        name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
        for name, value in services["replica-1"]["environment"].items()
    }
    settings = load_settings(environment)
    assert (settings.auth, settings.host, settings.shared_key) == ("bearer", "0.0.0.0", True)  # noqa: S104


def test_the_commands_of_the_page_are_taken() -> None:
    """Those about tokens as they stand there; a newcomer needs at most twelve of all."""
    page = (DEPLOY.parent / "docs/operating.md").read_text("utf-8")
    begin = page.split("```sh\n")[1].split("```")[0].splitlines()
    assert len(begin) <= 12
    commands = re.findall(r"^(?:docker compose run --rm admin|sutro-mcp) (token [^#\n]*)", page, re.MULTILINE)
    assert len(commands) > 4
    for command in commands:
        assert build_parser().parse_args(shlex.split(command)).action in command
