"""The wall around SQL: attacks are refused in words, and harmless where nobody looks at the words.

With `checked=False` the SQL goes to polars as it is, and only the process without rights stands between it
and the machine. Nothing it can say may reach a file, an address or the server.
"""

import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import polars as pl
import pytest

from sutro_mcp.errors import (
    ArtifactChangedError,
    ConfigurationError,
    InvalidArgumentError,
    SutroError,
    WorkerError,
)
from sutro_mcp.results import LocalArtifact, Page
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.sql.polars_engine import run_query
from sutro_mcp.results.sql.table import load_table
from sutro_mcp.results.worker.sandbox import check_platform
from sutro_mcp.results.worker.supervisor import QueryRunner
from tests.results.support import aborting, children, file, objects, outputs, reads_proc

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="SQL runs on Linux only"),
]

CANARY = "canary_4f1b"
GOOD = "SELECT label, count(*) AS n FROM results GROUP BY label ORDER BY label"
FOREVER = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t"

# {csv} {parquet} {ndjson} {ipc} are files with the canary in them, {folder} is theirs, {host} a listener.
ATTACKS = [
    "SELECT * FROM read_csv('{csv}')",
    "SELECT * FROM READ_CSV('{csv}')",
    "SELECT * FROM ReAd_CsV('{csv}')",
    "SELECT * FROM \"read_csv\"('{csv}')",
    "SELECT * FROM `read_csv`('{csv}')",
    "SELECT * FROM 'read_csv'('{csv}')",
    "SELECT * FROM read_csv ('{csv}')",
    "SELECT * FROM read_csv/**/('{csv}')",
    "SELECT * FROM read_csv --\n('{csv}')",
    "SELECT * FROM/* /* */ */read_csv('{csv}')",
    "SELECT * FROM read_csv('{csv}', separator => '|')",
    "SELECT * FROM read_csv('{folder}/*.csv')",
    "SELECT * FROM read_csv('file://{csv}')",
    "SELECT * FROM read_csv('{missing}')",
    "SELECT * FROM read_csv('/proc/self/environ')",
    "SELECT * FROM read_csv('/proc/self/fd/0')",
    "SELECT * FROM read_csv('/dev/stdin')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('{parquet}')",
    "SELECT * FROM read_parquet('{folder}')",
    "SELECT * FROM read_json('{ndjson}')",
    "SELECT * FROM read_ndjson('{ndjson}')",
    "SELECT * FROM read_ipc('{ipc}')",
    "SELECT * FROM scan_parquet('{parquet}')",
    "SELECT * FROM read_parquet('http://{host}/x.parquet')",
    "SELECT * FROM read_csv('http://{host}/x.csv')",
    "SELECT * FROM read_csv('https://{host}/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM read_parquet('gs://bucket/x.parquet')",
    "SELECT * FROM read_parquet('hf://datasets/a/b/x.parquet')",
    "FROM read_csv('{csv}')",
    "TABLE read_csv('{csv}')",
    "SELECT row FROM results UNION ALL SELECT * FROM read_csv('{csv}')",
    "SELECT row FROM results EXCEPT SELECT * FROM read_csv('{csv}')",
    "SELECT * FROM results, read_csv('{csv}')",
    "SELECT * FROM results JOIN read_csv('{csv}') c ON true",
    "SELECT * FROM results WHERE label IN (SELECT {name} FROM read_csv('{csv}'))",
    "SELECT (SELECT {name} FROM read_csv('{csv}') LIMIT 1) AS x FROM results",
    "WITH c AS (SELECT * FROM read_csv('{csv}')) SELECT * FROM c",
    "WITH results AS (SELECT * FROM `read_csv`('{csv}')) SELECT * FROM results",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM read_csv('{csv}')))",
    "SELECT * FROM '{csv}'",
    "SELECT * FROM \"{csv}\"",
    "EXPLAIN SELECT * FROM read_csv('{csv}')",
    "EXPLAIN SELECT * FROM results",
    "SHOW TABLES",
    "CREATE TABLE t AS SELECT * FROM read_csv('{csv}')",
    "CREATE TABLE t AS SELECT * FROM results",
    "DROP TABLE results",
    "TRUNCATE TABLE results",
    "DELETE FROM results",
    "DELETE FROM results WHERE label = 'a'",
    "INSERT INTO results VALUES (1)",
    "UPDATE results SET label = 'x'",
    "COPY results TO '{folder}/out.csv'",
    "COPY (SELECT * FROM results) TO '{folder}/out.csv'",
    "SELECT * INTO '{folder}/out.csv' FROM results",
    "SELECT 1; SELECT * FROM read_csv('{csv}')",
    "SELECT 1 /* ; */ ; DROP TABLE results",
    "ATTACH '{folder}/x.db' AS x",
    "PRAGMA table_info(results)",
    "SET x = 1",
    "CALL system('touch {folder}/out.csv')",
    "LOAD '{folder}/x.so'",
]  # fmt: skip

# t1 is the results twice, t2 four times, and so on.
DOUBLED = ", ".join(f"t{n} AS (FROM t{n - 1} UNION ALL FROM t{n - 1})" for n in range(1, 31))
BOMBS = {
    "cross join": ("SELECT a.row FROM results a, results b, results c, results d", "stopped|it took more"),
    "range": ("SELECT * FROM range(1000000000000)", "stopped"),
    "padding": ("SELECT LPAD(label, 2000000000, 'x') AS x FROM results", "stopped|it took more"),
    "doubling": ("WITH t0 AS (FROM results), " + DOUBLED + " FROM t30", "stopped|it took more"),
    "10,000 ORs": ("SELECT row FROM results WHERE row=1" + " OR row=1" * 10_000, "more than 10,000 char"),
    "1,200 ORs": ("SELECT row FROM results WHERE 1=1" + " OR 1=1" * 1_200, ""),
    "3,000 signs": ("SELECT " + "- " * 3_000 + "1 AS x", "recursion|stopped|failed"),
    "2,000 brackets": ("SELECT " + "(" * 2_000 + "1" + ")" * 2_000, "recursion|stopped|failed"),
    "recursion": (FOREVER, "it took more than 3 seconds"),
}


@dataclass(frozen=True)
class Target:
    """What an attack is after: files with a canary, and a listener that hears no one."""

    names: dict[str, str]
    folder: Path
    listener: socket.socket

    def heard(self) -> bool:
        """Whether anything connected."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def files(self) -> set[str]:
        """What lies in the folder."""
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Readable by anyone, so that only the wall keeps them."""
    folder = tmp_path_factory.mktemp("target")
    frame = pl.DataFrame({CANARY: [CANARY]})
    frame.write_csv(folder / "x.csv")
    frame.write_parquet(folder / "x.parquet")
    frame.write_ndjson(folder / "x.ndjson")
    frame.write_ipc(folder / "x.ipc")
    names = {kind: str(folder / f"x.{kind}") for kind in ("csv", "parquet", "ndjson", "ipc")}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        more = {"missing": str(folder / "none.csv"), "folder": str(folder), "host": host, "name": CANARY}
        yield Target({**names, **more}, folder, listener)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> LocalArtifact:
    """A thousand rows."""
    folder = tmp_path_factory.mktemp("artifact")
    return objects(folder, *({"label": "ab"[n % 2], "n": n} for n in range(1_000)))


@pytest.fixture
def runner() -> QueryRunner:
    """As the server has it."""
    return QueryRunner()


async def run(runner: QueryRunner, artifact: LocalArtifact, sql: str, *, checked: bool = True) -> Page:
    """One query, in its process."""
    with anyio.fail_after(25):
        return await runner.run(artifact, QueryRequest(sql=sql, checked=checked))


async def sandboxed() -> Path:
    """The query process, once it has given up its rights."""
    with anyio.fail_after(10):
        while True:
            for process in children("query"):
                with suppress(OSError):
                    limits = (process / "limits").read_text()
                    if limits.partition("Max open files")[2].split()[:1] == ["0"]:
                        return process
            await anyio.sleep(0.02)


def test_the_canary_can_be_read_without_the_wall(target: Target) -> None:
    """Or the attacks below would prove nothing."""
    sql = ATTACKS[0].format(**target.names)
    assert pl.SQLContext().execute(sql, eager=True).rows() == [(CANARY,)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_in_words(artifact: LocalArtifact, target: Target, attack: str) -> None:
    """By the look at the SQL or by polars, before anything is read: this is no process without rights."""
    with pytest.raises(InvalidArgumentError) as refused:
        run_query(load_table(artifact), QueryRequest(sql=attack.format(**target.names)))
    assert str(target.folder) not in str(refused.value)
    assert not target.heard()


@pytest.mark.hostile
@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_harmless_when_nobody_looks(
    runner: QueryRunner, artifact: LocalArtifact, target: Target, attack: str
) -> None:
    """Nothing is read, written, connected to or told; the SQL's own words may come back."""
    before = target.files()
    try:
        page = await run(runner, artifact, attack.format(**target.names), checked=False)
    except SutroError as refused:
        said = str(refused)
        assert str(target.folder) not in said
    else:
        # A table of its own may be emptied, listed or explained; there is no other.
        said = json.dumps([page.columns, page.rows, page.shortened])
        assert attack.split()[0] in {"EXPLAIN", "SHOW", "CREATE", "DROP", "TRUNCATE", "DELETE"}, said
    assert CANARY not in said
    assert not target.heard()
    assert target.files() == before


async def test_whether_a_file_exists_is_not_told(
    runner: QueryRunner, artifact: LocalArtifact, target: Target
) -> None:
    """The same words for one that does and one that does not."""
    for reader in ("read_csv", "read_parquet", "read_ndjson", "read_ipc"):
        said: set[str] = set()
        for name in ("csv", "missing"):
            attack = f"FROM {reader}('{target.names[name]}')"
            with pytest.raises(InvalidArgumentError) as refused:
                await run(runner, artifact, attack, checked=False)
            said.add(str(refused.value))
        assert len(said) == 1, said


@pytest.mark.hostile
@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_ends_in_an_error_and_the_next_query_works(artifact: LocalArtifact, bomb: str) -> None:
    """Within the limits, at no cost to the memory of this process."""
    import resource

    runner = QueryRunner(query_seconds=3)
    sql, said = BOMBS[bomb]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    if said:
        with pytest.raises((WorkerError, InvalidArgumentError), match=said):
            await run(runner, artifact, sql, checked=False)
    else:
        await run(runner, artifact, sql, checked=False)
    assert time.monotonic() - started < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert children("query") == []
    assert (await run(runner, artifact, GOOD)).rows == [["a", 500], ["b", 500]]


@reads_proc
async def test_the_process_has_no_secret_and_no_rights(
    artifact: LocalArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from outside while SQL runs in it."""
    monkeypatch.setenv("SUTRO_API_KEY", "sk-secret")
    monkeypatch.setenv("OTHER_SECRET", "sk-secret")

    seen: dict[str, str] = {}
    opened: set[str] = set()

    async def look() -> None:
        process = await sandboxed()
        seen.update({name: (process / name).read_bytes().decode() for name in ("limits", "environ")})
        opened.update(str(entry.readlink()).partition(":")[0] for entry in (process / "fd").iterdir())

    async with anyio.create_task_group() as calls:
        calls.start_soon(look)
        with pytest.raises(WorkerError, match="it took more than 2 seconds"):
            await run(QueryRunner(query_seconds=2), artifact, FOREVER, checked=False)

    assert children("query") == []
    names = {entry.partition("=")[0] for entry in seen["environ"].split("\0") if entry}
    assert names <= {"PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "POLARS_MAX_THREADS", "LC_CTYPE"}
    assert "secret" not in seen["environ"]
    limits = {line[:26].strip(): line[26:].split()[:2] for line in seen["limits"].splitlines()}
    for name in ("Max open files", "Max file size", "Max processes", "Max core file size"):
        assert limits[name] == ["0", "0"], name
    assert int(limits["Max cpu time"][1]) < 60
    assert int(limits["Max address space"][1]) < 16 * 1024**3
    # The ends of its two pipes, and what threads of polars wait on.
    assert opened == {"/dev/null", "pipe", "anon_inode"}


DENIED = """
import os, socket, subprocess, sys, threading
from sutro_mcp.results.worker.sandbox import apply_limits
def run(): subprocess.run([sys.executable, "-c", ""])
def child():
    if not os.fork(): os._exit(0)
def thread(): threading.Thread(target=int).start()
def raised():
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))
acts = {
    "open": lambda: open(sys.argv[1]), "write": lambda: open(sys.argv[1], "a"), "socket": socket.socket,
    "listdir": lambda: os.listdir("/"), "exec": run, "fork": child, "thread": thread,
    "memory": lambda: bytearray(5 * 1024**3), "raise": raised,
}
apply_limits()
for name, act in acts.items():
    try:
        act()
    except (OSError, RuntimeError, MemoryError, ValueError):
        continue
    print(name)
print("done")
"""


async def test_nothing_can_be_opened_or_started_after_the_rights_are_gone(tmp_path: Path) -> None:
    """Not by Python either, which can try more than SQL. As root, it has become nobody."""
    readable = tmp_path / "readable"
    readable.write_text("x")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    with anyio.fail_after(20):
        done = await anyio.run_process(
            [sys.executable, "-c", DENIED, str(readable)], stderr=subprocess.STDOUT, env=environment
        )
    assert done.stdout.decode() == "done\n"
    assert readable.read_text() == "x"


@reads_proc
async def test_cancelling_a_query_ends_its_process_at_once(artifact: LocalArtifact) -> None:
    """Within a second, and the runner is free for the next."""
    runner = QueryRunner(query_seconds=60)
    cancelled: list[float] = []
    async with anyio.create_task_group() as calls:
        calls.start_soon(runner.run, artifact, QueryRequest(sql=FOREVER, checked=False))
        await sandboxed()
        cancelled.append(time.monotonic())
        calls.cancel_scope.cancel()
    assert time.monotonic() - cancelled[0] < 1
    assert children("query") == []
    assert (await run(runner, artifact, GOOD)).row_count == 2


def test_the_times_are_those_of_the_readme() -> None:
    """Two minutes to load, eight seconds to run."""
    limits = inspect.signature(QueryRunner).parameters.values()
    assert [(limit.name, limit.kind, limit.default) for limit in limits] == [
        ("load_seconds", inspect.Parameter.KEYWORD_ONLY, 120),
        ("query_seconds", inspect.Parameter.KEYWORD_ONLY, 8),
    ]


async def test_a_process_that_is_killed_is_an_error(runner: QueryRunner, artifact: LocalArtifact) -> None:
    """For its query, and for no other."""
    async with anyio.create_task_group() as calls:

        async def killed() -> None:
            with pytest.raises(WorkerError, match=r"its process stopped \(signal 9\)"):
                await run(runner, artifact, FOREVER, checked=False)

        calls.start_soon(killed)
        process = int((await sandboxed()).name)
        # What it might have started would end with it.
        assert os.getpgid(process) == process
        os.kill(process, signal.SIGKILL)
    assert (await run(runner, artifact, GOOD)).row_count == 2


async def test_results_that_have_gone_from_the_disk_are_no_damage(
    runner: QueryRunner, artifact: LocalArtifact
) -> None:
    """Another server may have made room: they are fetched anew."""
    with pytest.raises(ArtifactChangedError):
        await run(runner, artifact.model_copy(update={"path": f"{artifact.path}x", "inode": 1}), GOOD)


async def test_queries_wait_for_each_other(runner: QueryRunner, artifact: LocalArtifact) -> None:
    """Each may take gigabytes; all are answered."""
    answers: list[Page] = []

    async def ask() -> None:
        answers.append(await run(runner, artifact, GOOD))
        assert len(children("query")) <= 1

    async with anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(ask)
    assert [answer.row_count for answer in answers] == [2, 2, 2]


SEVERAL = [
    "SELECT label, avg(n), median(n), stddev(n) FROM results GROUP BY label",
    "SELECT a.label, count(*) AS c FROM results a JOIN results b ON a.n = b.n GROUP BY a.label",
    "SELECT n, row_number() OVER (PARTITION BY label ORDER BY n DESC) AS k FROM results ORDER BY k, label",
    "SELECT DISTINCT upper(label) || '!' AS u FROM results WHERE label ~ '^[ab]$' ORDER BY u",
    "SELECT label FROM results UNION SELECT CAST(n AS TEXT) AS label FROM results",
    "SELECT DATE '2026-01-02' AS d, TIMESTAMP '2026-01-02 03:04:05' AS t, TIME '03:04:05' AS c",
    "SELECT TIMESTAMP '2026-01-02 03:04:05' AT TIME ZONE 'UTC' AS t, INTERVAL '1 day' AS i",
    "SELECT CAST(n AS DECIMAL(10, 2)) AS m, [1, 2] AS l FROM results",
]


@pytest.mark.parametrize("form", ["parquet", "json"])
async def test_all_kinds_of_queries_and_values_work_without_rights(
    runner: QueryRunner, tmp_path: Path, form: str
) -> None:
    """No thread that they need is missing, and no module that their values need."""
    rows = 40_000
    texts = [json.dumps({"label": "ab"[n % 2], "n": n % 1_000}) for n in range(rows)]
    artifact = outputs(tmp_path, *texts) if form == "parquet" else file(tmp_path, json.dumps(texts), "json")
    table = load_table(artifact)
    for sql in SEVERAL:
        here = run_query(table, QueryRequest(sql=sql))
        there = await run(runner, artifact, sql)
        assert (there.columns, there.row_count) == (here.columns, here.row_count)
        assert "ORDER" not in sql or there == here


async def test_results_that_cannot_be_loaded_are_an_error(runner: QueryRunner, tmp_path: Path) -> None:
    """Whether polars says so or dies of them."""
    with pytest.raises(SutroError, match="damaged or not Parquet"):
        await run(runner, file(tmp_path, "<html>"), GOOD)
    with pytest.raises(WorkerError, match=r"stopped \(signal 6\)\. Use get_job_results"):
        await run(runner, file(tmp_path, aborting()), GOOD)
    with pytest.raises(WorkerError, match=r"it took more than 0\.05 seconds\. Use get_job_results"):
        await run(QueryRunner(load_seconds=0.05), file(tmp_path, aborting()), GOOD)


async def test_a_system_that_cannot_confine_gets_no_sql(
    runner: QueryRunner, artifact: LocalArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has no limits to lower: refused before anything is started."""
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(ConfigurationError, match="Linux only"):
        check_platform()
    with pytest.raises(ConfigurationError, match="Linux only"):
        await run(runner, artifact, GOOD)
