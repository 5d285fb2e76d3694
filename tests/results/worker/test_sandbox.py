"""The wall around SQL: attacks are harmless where nobody looks at the words, and are answered in words.

In the process without rights the attacks go to DuckDB as they are, and nothing else stands between them and
the machine. Nothing they can say may reach a file, an address or the server.
"""

import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import duckdb
import pytest

from sutro_mcp import errors
from sutro_mcp.results import Page, QueryRows
from sutro_mcp.results.request_models import LoadRequest, QueryRequest, SqlTable
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.sandbox import check_platform
from sutro_mcp.results.worker.supervisor import QueryRunner
from tests.results.support import children, file, objects, outputs, reads_proc
from tests.results.worker.attacks import ATTACKS, BOMBS
from tests.results.worker.test_supervisor import HARMLESS

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="SQL runs on Linux only")]

CANARY = "canary_4f1b"
GOOD = "SELECT label, count(*) AS n FROM results GROUP BY label ORDER BY label"
FOREVER = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"


@dataclass(frozen=True)
class Target:
    """Targets of an attack: files with a canary, and a listener that hears no one."""

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
        """The files in the folder."""
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, table: SqlTable) -> Iterator[Target]:
    """Readable by anyone, so that only the wall keeps them."""
    folder = tmp_path_factory.mktemp("target")
    names = {kind: str(folder / f"x.{kind}") for kind in ("csv", "json", "parquet", "duckdb")}
    with duckdb.connect(names["duckdb"]) as database:
        database.execute(f"CREATE TABLE t AS SELECT '{CANARY}' AS {CANARY}")
        for kind in ("csv", "json", "parquet"):
            database.execute(f"COPY t TO '{names[kind]}'")
    artifact = table.artifact.path
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        more = {
            "missing": str(folder / "none.csv"), "folder": str(folder), "host": host, "canary": CANARY,
            "artifact": artifact, "artifact_folder": str(Path(artifact).parent),
        }  # fmt: skip
        yield Target({**names, **more}, folder, listener)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> SqlTable:
    """A thousand rows."""
    folder = tmp_path_factory.mktemp("artifact")
    return prepare(objects(folder, *({"label": "ab"[n % 2], "score": n} for n in range(1_000))))


@pytest.fixture
def runner() -> QueryRunner:
    """As the server has it."""
    return QueryRunner()


def sizes(folder: Path) -> dict[str, int]:
    """Its files."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


async def run(runner: QueryRunner, table: SqlTable, sql: str) -> QueryRows:
    """One query, in its process."""
    with anyio.fail_after(60):
        return await runner.run({"results": table}, QueryRequest(sql=sql), QueryRows)


async def said_by(code: str, *arguments: str, given: bytes = b"") -> str:
    """The output of a Python process. One without rights could not write what coverage measured."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    with anyio.fail_after(100):
        done = await anyio.run_process(
            [sys.executable, "-c", code, *arguments], input=given, stderr=subprocess.STDOUT, env=environment
        )
    return done.stdout.decode()


async def sandboxed(ticks: int = 0) -> Path:
    """The query process, once it has no rights and has worked on the SQL for so many ticks."""
    begun: int | None = None
    with anyio.fail_after(60):
        while True:
            for process in children("query"):
                with suppress(OSError):
                    limits = (process / "limits").read_text()
                    if limits.partition("Max open files")[2].split()[:1] == ["0"]:
                        used = int((process / "stat").read_text().rpartition(")")[2].split()[11])
                        begun = used if begun is None else begun
                        if used >= begun + ticks:
                            return process
            await anyio.sleep(0.02)


def test_the_canary_can_be_read_without_the_wall(target: Target) -> None:
    """Or the attacks below would prove nothing."""
    for kind, reader in (("csv", "read_csv"), ("parquet", "read_parquet"), ("json", "read_json")):
        rows = duckdb.connect().execute(f"SELECT * FROM {reader}('{target.names[kind]}')").fetchall()  # noqa: S608
        assert rows == [(CANARY,)]


# All in one process, each undone before the next, as if nobody had looked at any.
UNSEEN = """
import json, sys
from sutro_mcp.results.request_models import LoadRequest
from sutro_mcp.results.sql.duckdb_engine import load
from sutro_mcp.results.sql.select_to_parquet import new_output
from sutro_mcp.results.worker.sandbox import apply_limits
asked = json.load(sys.stdin)
request = LoadRequest.model_validate(asked["load"])
output = request.output and new_output(request.output)
connection = load(request.tables, output or None).connection
results = canary = asked["canary"]
if not request.lock_alone:
    apply_limits(request.cpu_seconds, 10_000 if output else 0)
for sql in asked["attacks"]:
    connection.execute("BEGIN")
    try:
        said = "OK " + str(connection.execute(sql).fetchmany(20))
    except Exception as error:
        said = type(error).__name__ + " " + str(error)
    print(json.dumps(said), flush=True)
    try:
        connection.execute("ROLLBACK")
    except Exception:
        pass
"""


OVERWRITE = "COPY (SELECT * FROM range(1000000)) TO 'held://output' (FORMAT csv, USE_TMP_FILE false)"


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("has_output", "lock_alone"),
    [(False, False), (True, False), (False, True)],
    ids=["reading", "writing", "lock alone"],
)
async def test_attacks_are_harmless_when_nobody_looks(
    table: SqlTable, target: Target, tmp_path: Path, *, has_output: bool, lock_alone: bool
) -> None:
    """Nothing is read, written, connected to or told; the SQL's own words may come back.

    The one file that a process may have to write into can be filled up to its limit.
    """
    output = tmp_path / "output" if has_output else None
    load = LoadRequest(
        tables={"results": table},
        cpu_seconds=60,
        output=output and str(output),
        lock_alone=lock_alone,
    )
    attacks = [*(attack.format(**target.names) for attack in ATTACKS), OVERWRITE]
    before = target.files()
    asked = {
        "load": load.model_dump(),
        "attacks": attacks,
        "canary": CANARY,
    }
    done = await said_by(UNSEEN, given=json.dumps(asked).encode())
    answers = [json.loads(line) for line in done.splitlines()]
    assert len(answers) == len(attacks)
    for template, attack, said in zip([*ATTACKS, OVERWRITE], attacks, answers, strict=True):
        told = said.replace(attack, "")
        if "{canary}" not in template:
            assert CANARY not in told, attack
        if "{artifact" not in template:
            assert target.names["artifact_folder"] not in told, attack
        assert "root:" not in told, attack
    assert not target.heard()
    assert target.files() == before
    assert sizes(tmp_path).keys() == ({"output"} if has_output else set())
    assert max(sizes(tmp_path).values(), default=0) <= 10_000


def test_attacks_are_answered_in_words(table: SqlTable, target: Target) -> None:
    """Without a path; what is no SELECT is refused, and what is one sees the tables alone."""
    tables = lazy_engine.load({"results": table})
    try:
        for attack in ATTACKS:
            try:
                page = lazy_engine.run(tables, QueryRequest(sql=attack.format(**target.names)))
                said = json.dumps([page.columns, page.rows, page.shortened])
            except errors.InvalidArgumentError as refused:
                said = refused.happened
            if "{canary}" not in attack:
                assert CANARY not in said, attack
            assert "Traceback" not in said, attack
            assert str(Path(lazy_engine.__file__).parent) not in said, attack
            assert target.names["artifact_folder"] not in said or "{artifact" in attack, attack
        assert lazy_engine.run(tables, QueryRequest(sql=GOOD)).rows == [["a", 500], ["b", 500]]
    finally:
        tables.close()
    assert not target.heard()


async def test_whether_a_file_exists_is_not_told(
    runner: QueryRunner, table: SqlTable, target: Target
) -> None:
    """The same words for one that does and one that does not."""
    for reader in ("read_csv", "read_parquet", "read_json", "read_text", "glob"):
        said: set[str] = set()
        for name in ("csv", "missing"):
            with pytest.raises(errors.InvalidArgumentError) as refused:
                await run(runner, table, f"FROM {reader}('{target.names[name]}')")
            said.add(str(refused.value))
        assert len(said) == 1, said


@pytest.mark.hostile
@pytest.mark.parametrize("bomb", BOMBS, ids=[bomb[:40] for bomb in BOMBS])
async def test_a_bomb_ends_in_words(table: SqlTable, bomb: str) -> None:
    """Within the limits, at no cost to the memory of this process, and never with a crash of the engine."""
    import resource

    runner = QueryRunner(query_seconds=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        await run(runner, table, bomb)
        said = ""
    except (errors.WorkerError, errors.InvalidArgumentError) as ended:
        said = ended.happened
    assert not re.search("Traceback|stopped|failed", said), said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert children("query") == []


@reads_proc
async def test_the_process_has_no_secret_and_no_rights(
    table: SqlTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from outside while SQL runs in it, also where DuckDB's lock would suffice."""
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
        with pytest.raises(errors.WorkerError, match="it took more than 2 seconds"):
            await run(QueryRunner(query_seconds=2, lock_suffices=True), table, FOREVER)

    assert children("query") == []
    names = {entry.partition("=")[0] for entry in seen["environ"].split("\0") if entry}
    assert names <= HARMLESS
    assert "secret" not in seen["environ"]
    limits = {line[:26].strip(): line[26:].split()[:2] for line in seen["limits"].splitlines()}
    for name in ("Max open files", "Max file size", "Max processes", "Max core file size"):
        assert limits[name] == ["0", "0"], name
    assert int(limits["Max cpu time"][1]) < 80
    assert int(limits["Max address space"][1]) < 4 * 1024**3
    # The ends of its two pipes, and what it may read.
    assert opened == {"/dev/null", "pipe", table.parquet, table.profile_file}


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
apply_limits(60)
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
    assert await said_by(DENIED, str(readable)) == "done\n"
    assert readable.read_text() == "x"


@reads_proc
async def test_cancelling_a_query_ends_its_process_at_once(table: SqlTable) -> None:
    """Not when its time is up, and the runner is free for the next."""
    runner = QueryRunner(query_seconds=3_600)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as calls:
            calls.start_soon(runner.run, {"results": table}, QueryRequest(sql=FOREVER), QueryRows)
            await sandboxed()
            calls.cancel_scope.cancel()
    assert children("query") == []
    assert (await run(runner, table, GOOD)).row_count == 2


def test_the_times_are_those_of_the_readme() -> None:
    """Twenty seconds to get ready, thirty to run; DuckDB's lock alone suffices where that is asked for."""
    limits = list(inspect.signature(QueryRunner).parameters.values())[:3]
    assert [(limit.name, limit.kind, limit.default) for limit in limits] == [
        ("load_seconds", inspect.Parameter.KEYWORD_ONLY, 20),
        ("query_seconds", inspect.Parameter.KEYWORD_ONLY, 30),
        ("lock_suffices", inspect.Parameter.KEYWORD_ONLY, False),
    ]


async def test_a_process_that_is_killed_is_an_error(runner: QueryRunner, table: SqlTable) -> None:
    """For its query, and for no other."""
    async with anyio.create_task_group() as calls:

        async def killed() -> None:
            with pytest.raises(errors.WorkerError, match=r"its process stopped \(signal 9\)"):
                await run(runner, table, FOREVER)

        calls.start_soon(killed)
        process = int((await sandboxed(ticks=5)).name)
        # What it might have started would end with it.
        assert os.getpgid(process) == process
        os.kill(process, signal.SIGKILL)
    assert (await run(runner, table, GOOD)).row_count == 2


async def test_results_that_have_gone_from_the_disk_are_no_damage(
    runner: QueryRunner, table: SqlTable
) -> None:
    """Another server may have made room: they are fetched anew."""
    gone = table.artifact.model_copy(update={"path": f"{table.parquet}x", "inode": 1})
    with pytest.raises(errors.ArtifactChangedError):
        await run(runner, table.model_copy(update={"parquet": gone.path, "artifact": gone}), GOOD)


async def test_queries_wait_for_each_other(runner: QueryRunner, table: SqlTable) -> None:
    """Each may take gigabytes; all are answered."""
    answers: list[Page] = []

    async def ask() -> None:
        answers.append(await run(runner, table, GOOD))
        assert len(children("query")) <= 1

    async with anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(ask)
    assert [answer.row_count for answer in answers] == [2, 2, 2]


SEVERAL = [
    "SELECT label, avg(n), median(n), stddev(n) FROM results GROUP BY label",
    "SELECT a.label, count(*) AS c FROM results a JOIN results b ON a.n = b.n GROUP BY a.label",
    "SELECT n, row_number() OVER (PARTITION BY label ORDER BY n DESC) AS k FROM results ORDER BY k, label",
    "SELECT row, RANK() OVER (ORDER BY n DESC, row) AS r FROM results LIMIT 3",
    "SELECT row FROM results WHERE n > (SELECT AVG(n) FROM results) LIMIT 3",
    "SELECT DISTINCT upper(label) || '!' AS u FROM results WHERE label ~ '^[ab]$' ORDER BY u",
    "SELECT label FROM results UNION SELECT CAST(n AS TEXT) AS label FROM results",
    "SELECT DATE '2026-01-02' AS d, TIMESTAMP '2026-01-02 03:04:05' AS t, TIME '03:04:05' AS c",
    "SELECT TIMESTAMP '2026-01-02 03:04:05' AT TIME ZONE 'Europe/Berlin' AS t, INTERVAL '1 day' AS i",
    "SELECT CAST(n AS DECIMAL(10, 2)) AS m, [1, 2] AS l, uuid() IS NULL, MAP {'a': {'b': 1}} FROM results",
    "SELECT strftime(now(), '%Y') > '2000', random() < 1, '{\"a\": [1]}'::JSON->'a', 'x'::BLOB",
    "PIVOT results ON label USING count(*)",
    "SUMMARIZE results",
]


@pytest.mark.parametrize("form", ["parquet", "json"])
async def test_all_kinds_of_queries_and_values_work_without_rights(
    runner: QueryRunner, tmp_path: Path, form: str
) -> None:
    """No thread that they need is missing, and no module that their values need; the answer is the same."""
    texts = [json.dumps({"label": "ab"[n % 2], "n": n % 1_000}) for n in range(4_000)]
    artifact = outputs(tmp_path, *texts) if form == "parquet" else file(tmp_path, json.dumps(texts), "json")
    table = prepare(artifact)
    tables = lazy_engine.load({"results": table})
    for sql in SEVERAL if form == "parquet" else SEVERAL[:1]:
        assert await run(runner, table, sql) == lazy_engine.run(tables, QueryRequest(sql=sql))
    tables.close()


async def test_tables_that_cannot_be_loaded_are_an_error(
    runner: QueryRunner, table: SqlTable, tmp_path: Path
) -> None:
    """Whether a file is damaged or its process is too slow."""
    broken = tmp_path / "side"
    broken.write_text("no database")
    with pytest.raises(errors.SutroError, match="damaged or not Parquet"):
        await run(runner, table.model_copy(update={"profile_file": str(broken)}), GOOD)
    with pytest.raises(errors.WorkerError, match=r"it took more than 0\.05 seconds\. Use get_job_results"):
        await run(QueryRunner(load_seconds=0.05), table, GOOD)


async def test_a_system_that_cannot_confine_gets_no_sql(
    runner: QueryRunner, table: SqlTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has no limits to lower: refused before anything is started, unless DuckDB's lock suffices."""
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(errors.ConfigurationError, match="Linux only"):
        check_platform()
    with pytest.raises(errors.ConfigurationError, match="Linux only"):
        await run(runner, table, GOOD)
    locked = QueryRunner(lock_suffices=True)
    assert (await run(locked, table, GOOD)).rows == [["a", 500], ["b", 500]]
    with pytest.raises(
        errors.InvalidArgumentError, match="SQL can read the tables listed here and nothing else"
    ):
        await run(locked, table, "SELECT * FROM read_text('/etc/passwd')")
