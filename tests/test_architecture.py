"""Who may import whom. One owner per dependency, and an emulator that shares no belief with the client."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sutro_mcp"

# Package or module -> (imports of ours, third party). Anything from the standard library is free.
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "untrusted": (set(), set()),
    "redaction": (set(), set()),
    "errors": (set(), set()),
    "file_access": (set(), set()),
    "concurrency": (set(), {"anyio"}),
    # A record that both `api` and `results` need, which know nothing of each other.
    "results_spec": (set(), set()),
    "settings": ({"errors", "untrusted"}, {"pydantic"}),
    "host_configs": (set(), set()),
    "asgi_serving": (set(), {"uvicorn"}),
    "console": ({"redaction"}, set()),
    "check": ({"api", "settings", "errors"}, set()),
    "api": (
        {"errors", "file_access", "untrusted", "redaction", "results_spec"},
        {"httpx", "pydantic", "anyio", "stamina"},
    ),
    "results": (
        {"errors", "file_access", "untrusted", "concurrency", "results_spec"},
        {"polars", "pydantic", "pydantic_core", "anyio", "pandas"},
    ),
    "sutro_client": ({"api", "results", "results_spec"}, {"anyio", "polars", "pandas"}),
    "server": (
        {
            "api",
            "results",
            "results_spec",
            "settings",
            "errors",
            "untrusted",
            "redaction",
            "concurrency",
            "asgi_serving",
        },
        {"mcp", "pydantic", "pydantic_core", "anyio", "starlette"},
    ),
    "emulator": ({"asgi_serving"}, {"starlette", "polars"}),
    "demo": (set(), {"mcp", "anyio"}),
    "cli": (
        {
            "api",
            "server",
            "settings",
            "errors",
            "emulator",
            "demo",
            "check",
            "console",
            "host_configs",
            "redaction",
        },
        {"anyio"},
    ),
    "__main__": ({"cli"}, set()),
    "__init__": ({"sutro_client"}, set()),
}
OWNERS = {"mcp": {"server", "demo"}, "httpx": {"api"}, "polars": {"results", "emulator", "sutro_client"}}


def _modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _unit(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[tuple[str, str]]:
    """("ours" or "other", first component) of every import in the file, wherever it stands."""
    found: set[tuple[str, str]] = set()
    package = ("sutro_mcp", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "sutro_mcp" else [module]
        for name in names:
            first, _, rest = name.partition(".")
            found.add(("ours", rest.partition(".")[0]) if first == "sutro_mcp" else ("other", first))
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    """The table above; a new line in it needs a reason."""
    unit = _unit(path)
    ours, third_party = TABLE[unit]
    free = set(sys.stdlib_module_names)
    for kind, name in _imports(path):
        if kind == "ours":
            assert name in ours | {unit, ""}, f"{unit} imports sutro_mcp.{name}"
        else:
            assert name in third_party | free, f"{unit} imports {name}"


def test_every_entry_of_the_table_exists() -> None:
    """So that the table cannot rot."""
    assert {_unit(path) for path in _modules()} == set(TABLE)


def test_heavy_libraries_have_their_owners() -> None:
    """mcp, httpx and polars are each confined."""
    for library, owners in OWNERS.items():
        users = {_unit(path) for path in _modules() if ("other", library) in _imports(path)}
        assert users == owners, library


def test_packages_are_two_levels_deep_and_files_short() -> None:
    """The folder tree explains the design."""
    for path in _modules():
        assert len(path.relative_to(ROOT).parts) <= 4, path
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import sutro_mcp, sutro_mcp.cli", ["mcp", "httpx", "pydantic", "polars", "anyio", "starlette"]),
        (
            "import sutro_mcp.server.build, sutro_mcp.server.transports.stdio",
            ["polars", "pandas", "pyarrow", "httpx", "stamina", "sutro_mcp.results.parquet"],
        ),
        ("import sutro_mcp.results, sutro_mcp.sutro_client", ["polars", "pandas", "mcp"]),
        ("from sutro_mcp.emulator import Emulator; Emulator()", ["polars", "httpx", "mcp", "uvicorn"]),
        ("import sutro_mcp.api", ["polars", "mcp"]),
    ],
)
def test_importing_loads_nothing_it_does_not_need(statement: str, absent: list[str]) -> None:
    """In a fresh interpreter."""
    code = f"import sys; {statement}; print(*[m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_package_has_the_names_it_says_and_no_other() -> None:
    """`SutroClient` comes when asked for."""
    import sutro_mcp
    from sutro_mcp.sutro_client import SutroClient

    assert sutro_mcp.__all__ == ["SutroClient"]
    assert sutro_mcp.SutroClient is SutroClient
    with pytest.raises(AttributeError):
        _ = sutro_mcp.SutroServer  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
