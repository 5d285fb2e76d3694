"""Breaks the modules that guard something, one small change at a time, and counts what their tests notice.

`mutate.py [--most N] [--seed N] [MODULE…]`, a module as in `GUARDS`. Cosmic Ray makes the changes, in this
checkout: run it through `scripts/mutate`, which works on a copy.
"""

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

# Each guard, and the tests that are to notice when it is broken.
GUARDS = {
    "server/transports/jsonrpc_lines": (
        "server/transports/test_jsonrpc_lines.py",
        "e2e/test_stdio_limits.py",
    ),
    "server/protocol/middleware": (
        "server/protocol/test_middleware.py",
        "server/transports/test_stdio_backpressure.py",
    ),
    "server/protocol/concurrency_limit": ("server/protocol/test_middleware.py",),
    "server/transports/http_shutdown": ("server/transports/test_streamable_http.py", "e2e/test_http.py"),
    "api/guard": ("api/test_transport.py",),
    "api/addresses": ("api/test_transport.py",),
    "api/urls": ("api/test_addresses.py", "api/test_job_ids.py"),
    "api/routes": ("api/test_routes.py", "api/test_job_ids.py"),
    "api/bodies": ("api/test_status_errors.py", "faults/test_replies.py"),
    "api/artifact/presigned_url": (
        "api/artifact/test_ranges.py",
        "api/artifact/test_presigned_url.py",
        "api/artifact/test_download.py",
    ),
    "api/retries": ("api/test_retries.py", "api/artifact/test_presigned_url.py"),
    "api/credentials": ("api/test_credentials.py", "api/test_http_secrets.py"),
    "redaction": ("test_redaction.py",),
    "untrusted": ("test_untrusted.py", "server/tools/test_untrusted_text.py"),
    "results/worker/supervisor": ("results/worker/test_supervisor.py", "results/worker/test_sandbox.py"),
    "results/worker/sandbox": ("results/worker/test_limits.py", "results/worker/test_sandbox.py"),
    "results/sql/held_files": ("results/sql/test_held_files.py", "results/sql/test_duckdb_engine.py"),
    "results/export/file_names": ("results/export/test_export.py", "results/export/test_folder.py"),
    "results/export/folder": ("results/export/test_folder.py", "results/export/test_export.py"),
}
# Seconds for the tests of one change, several times what the slowest take: one that hangs is noticed, too.
_TIMEOUT = 400


def _sample(session: Path, most: int, seed: int) -> int:
    """Keeps `most` of the changes. Those of `|` are dropped: between types, none survives the import."""
    with sqlite3.connect(session) as database:
        found = database.execute(
            "select job_id from mutation_specs where operator_name not like '%BinaryOperator_BitOr_%'"
            " order by operator_name, occurrence"
        ).fetchall()
        kept = random.Random(seed).sample(found, min(most, len(found)))
        database.execute("create temp table kept (job_id)")
        database.executemany("insert into kept values (?)", kept)
        for table in ("mutation_specs", "work_items"):
            database.execute(f"delete from {table} where job_id not in (select job_id from kept)")  # noqa: S608
    return len(found)


def _try(module: str, folder: Path, tool: str, most: int, seed: int) -> tuple[int, int]:
    """Prints what one module's tests noticed; the changes tried and those that survived."""
    config, session = folder / "config.toml", folder / f"{module.replace('/', '.')}.sqlite"
    tests = " ".join(f"tests/{test}" for test in GUARDS[module])
    config.write_text(f"""[cosmic-ray]
module-path = "sutro_mcp/{module}.py"
timeout = {_TIMEOUT}
excluded-modules = []
test-command = "{sys.executable} -m pytest -x -q -p no:cacheprovider {tests}"
[cosmic-ray.distributor]
name = "local"
""")
    run = [tool, "--verbosity", "ERROR"]
    subprocess.run([*run, "baseline", str(config)], check=True)
    subprocess.run([*run, "init", str(config), str(session)], check=True)
    found = _sample(session, most, seed)
    subprocess.run([*run, "exec", str(config), str(session)], check=True)
    with sqlite3.connect(session) as database:
        tried = database.execute("select count(*) from work_results").fetchone()[0]
        survived = database.execute(
            "select operator_name, start_pos_row, definition_name from work_results"
            " join mutation_specs using (job_id) where test_outcome = 'SURVIVED' order by 2"
        ).fetchall()
    print(f"{module}: {tried} of {found} changes tried, {tried - len(survived)} noticed", flush=True)
    for operator, row, name in survived:
        print(f"  line {row}, {name}: {operator.removeprefix('core/')}", flush=True)
    return tried, len(survived)


def main() -> None:
    """Exits with 1 when fewer than nine of ten changes are noticed."""
    parser = argparse.ArgumentParser(description="break the guards and count what their tests notice")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(GUARDS))
    parser.add_argument("--most", type=int, default=40, help="changes to each module, drawn at random (40)")
    parser.add_argument("--seed", type=int, default=1, help="which are drawn (1)")
    parser.add_argument("--tool", required=True, help="the cosmic-ray command")
    given = parser.parse_args()
    if unknown := set(given.modules) - set(GUARDS):
        parser.error(f"no guard: {', '.join(sorted(unknown))}")
    tried = survived = 0
    with tempfile.TemporaryDirectory() as folder:
        for module in given.modules or GUARDS:
            more, left = _try(module, Path(folder), given.tool, given.most, given.seed)
            tried, survived = tried + more, survived + left
    share = (tried - survived) / tried if tried else 1.0
    print(f"in all: {tried} changes, {tried - survived} noticed ({share:.1%})")
    sys.exit(share < 0.9)


if __name__ == "__main__":
    main()
