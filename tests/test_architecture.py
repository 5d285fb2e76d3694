"""Imports: their order, one owner per dependency, an emulator that shares no belief with the client."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sutro_mcp"

# Package or module -> (imports of ours, third party). Anything from the standard library is free.
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "untrusted_text": ({"redaction"}, set()),
    "redaction": (set(), set()),
    "errors": (set(), set()),
    "file_access": (set(), set()),
    "concurrency": (set(), {"anyio"}),
    # A record that both `api` and `results` need, which know nothing of each other.
    "results_spec": (set(), set()),
    "settings": ({"errors", "hosts", "untrusted_text"}, {"pydantic"}),
    "hosts": (set(), set()),
    "asgi_serving": (set(), {"uvicorn", "h11"}),
    "console": ({"redaction"}, set()),
    "check": ({"api", "results", "server", "settings", "errors"}, set()),
    "api": (
        {"errors", "file_access", "hosts", "untrusted_text", "redaction", "results_spec"},
        {"httpx", "httpcore", "pydantic", "anyio", "stamina"},
    ),
    "results": (
        {"errors", "file_access", "untrusted_text", "concurrency", "results_spec"},
        {"polars", "duckdb", "fsspec", "pydantic", "pydantic_core", "anyio", "pandas", "rich"},
    ),
    "expected_results": ({"api", "results"}, set()),
    # What the API's list of jobs lacks, for tools, programs and commands alike.
    # It quotes a word that it does not know.
    "job_list": ({"api", "results", "errors", "untrusted_text"}, set()),
    "library": (
        {"api", "results", "results_spec", "job_list", "expected_results", "concurrency", "errors"},
        {"anyio", "polars", "pandas"},
    ),
    "server": (
        {
            "api",
            "results",
            "results_spec",
            "expected_results",
            "job_list",
            "settings",
            "errors",
            "untrusted_text",
            "redaction",
            "concurrency",
            "asgi_serving",
            "file_access",
        },
        {
            *("mcp", "pydantic", "pydantic_core", "anyio", "starlette", "jwt"),
            *("prometheus_client", "opentelemetry", "redis"),
        },
    ),
    "emulator": ({"asgi_serving"}, {"starlette", "polars", "anyio"}),
    "demo": ({"asgi_serving"}, {"mcp", "starlette"}),
    "cli": (
        {
            "untrusted_text",
            "api",
            "server",
            "settings",
            "errors",
            "emulator",
            "demo",
            "check",
            "concurrency",
            "console",
            "hosts",
            "job_list",
            "library",
            "redaction",
            "results",
            "results_spec",
        },
        {"anyio", "rich", "argcomplete"},
    ),
    "__main__": ({"cli"}, set()),
    "__init__": ({"library"}, set()),
}
# Inside a package: a unit may import what stands on its left, and nothing beside it.
ORDER = {
    "results": (
        "byte_ranges name_matching table_names summary_rendering < distribution_bars < request_models cache "
        "single_flight < worker parquet < rows < sql < summary export comparison "
        "< worker_main results_engine"
    ),
    "server": (
        "answers context < text_answers uris tenants < protocol < operations < access < live "
        "< replicas transports < tools < resources extensions prompts < build operator_check"
    ),
}
OWNERS = {
    "mcp": {"server", "demo"},
    "httpx": {"api"},
    "httpcore": {"api"},
    "polars": {"results", "emulator", "library"},
    "duckdb": {"results"},
    "rich": {"cli", "results"},
    "argcomplete": {"cli"},
}


def _modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _unit(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path: Path, *, at_runtime: bool = False) -> set[tuple[str, ...]]:
    """Names of every import in the file, wherever it stands, in their parts: ("sutro_mcp", "api", "Job").

    `at_runtime` leaves out those that only type checkers see.
    """
    found: set[tuple[str, ...]] = set()
    package = ("sutro_mcp", *path.relative_to(ROOT).parts[:-1])
    for node in _nodes(ast.parse(path.read_text("utf-8")), at_runtime):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            found |= {(*module, alias.name) for alias in node.names}
    return found


def _nodes(tree: ast.AST, at_runtime: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (at_runtime and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from _nodes(node, at_runtime)


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    """The table above; a new line in it needs a reason."""
    unit = _unit(path)
    ours, third_party = TABLE[unit]
    allowed = third_party | set(sys.stdlib_module_names)
    for first, *rest in _imports(path):
        if first == "sutro_mcp":
            assert not rest or rest[0] in ours | {unit}, f"{unit} imports sutro_mcp.{rest[0]}"
        else:
            assert first in allowed, f"{unit} imports {first}"


@pytest.mark.parametrize("package", ORDER)
def test_units_of_a_package_import_in_one_direction(package: str) -> None:
    """The order above, which has every unit once."""
    levels = [level.split() for level in ORDER[package].split(" < ")]
    height = {unit: number for number, level in enumerate(levels) for unit in level}
    paths = [
        path
        for path in (ROOT / package).rglob("*.py")
        if path.parent.name + path.name != f"{package}__init__.py"
    ]
    units = {path: path.relative_to(ROOT / package).parts[0].removesuffix(".py") for path in paths}
    assert set(units.values()) == set(height)
    wrong = [
        f"{path.relative_to(ROOT)} imports {parts[2]}"
        for path, unit in units.items()
        for parts in _imports(path, at_runtime=True)
        if parts[:2] == ("sutro_mcp", package) and parts[2] != unit
        if height.get(parts[2], 0) >= height[unit]
    ]
    assert wrong == []


def test_transports_know_the_protocol_alone() -> None:
    """And who may call; neither tools nor jobs."""
    for path in (ROOT / "server" / "transports").glob("*.py"):
        ours = {parts[1:3] for parts in _imports(path) if parts[:2] == ("sutro_mcp", "server")}
        assert ours <= {("server", each) for each in ("protocol", "operations", "access", "transports")}, path


def test_every_entry_of_the_table_exists() -> None:
    """So that the table cannot rot."""
    assert {_unit(path) for path in _modules()} == set(TABLE)


def test_heavy_libraries_have_their_owners() -> None:
    """mcp, httpx and polars are each confined."""
    for library, owners in OWNERS.items():
        users = {_unit(path) for path in _modules() if library in {parts[0] for parts in _imports(path)}}
        assert users == owners, library


def test_the_tree_can_be_looked_through() -> None:
    """Two levels of folders, 14 files in each, 400 lines in a file, and no name twice."""
    for path in _modules():
        assert len(path.relative_to(ROOT).parts) <= 4, path
        assert len(path.read_text("utf-8").splitlines()) <= 400, path
    named = [path for path in _modules() if not path.name.startswith("__")]
    crowded = {folder.name for folder, n in Counter(path.parent for path in named).items() if n > 14}
    assert crowded == set()
    assert {name: n for name, n in Counter(path.name for path in named).items() if n > 1} == {}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import sutro_mcp, sutro_mcp.cli.main",
            ["mcp", "httpx", "pydantic", "polars", "anyio", "starlette", "rich"],
        ),
        (
            "import sutro_mcp.server.build, sutro_mcp.server.transports.stdio",
            [
                *("polars", "duckdb", "pandas", "pyarrow", "httpx", "stamina", "prometheus_client"),
                *("sutro_mcp.results.parquet", "sutro_mcp.server.operations", "redis", "rich"),
            ],
        ),
        ("import sutro_mcp.results, sutro_mcp.library.sutro_client", ["polars", "duckdb", "pandas", "mcp"]),
        ("from sutro_mcp.emulator import Emulator; Emulator()", ["polars", "httpx", "mcp", "uvicorn"]),
        ("import sutro_mcp.api", ["polars", "mcp"]),
        ("import sutro_mcp.api.client", ["rich", "pygments", "click"]),
        ("import sutro_mcp.check", ["polars", "duckdb", "mcp"]),
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
    from sutro_mcp.library.sutro_client import SutroClient

    assert sutro_mcp.__all__ == ["SutroClient"]
    assert sutro_mcp.SutroClient is SutroClient
    with pytest.raises(AttributeError):
        _ = sutro_mcp.SutroServer  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
