"""Answers given before the server is imported are those that it would have said, in every setting."""

import json
import os
import random
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.shared.message import SessionMessage
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.server.build import build_server
from sutro_mcp.server.transports.answer_recording import record_answers, written
from sutro_mcp.server.transports.early_answers import EarlyAnswers, Opening
from sutro_mcp.server.transports.stdio import converse
from sutro_mcp.settings import Settings
from tests import tries

pytestmark = pytest.mark.anyio

SETTINGS = [
    Settings(),
    Settings(read_only=True),
    Settings(output="text"),
    Settings(output="structured"),
    *(Settings(cancel=policy) for policy in ("off", "elicit", "allow")),
]
VERSIONS = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
LISTS = ("tools/list", "resources/templates/list", "prompts/list")
CLIENT = {"name": "host", "title": "Höst", "version": "1", "websiteUrl": "https://host.example"}
CAPABILITIES: dict[str, Any] = {
    "roots": {"listChanged": True},
    "sampling": {"tools": {}},
    "elicitation": {"form": {"applyDefaults": True}, "url": {}},
    "tasks": {"list": {}, "requests": {"sampling": {"createMessage": {}}}},
    "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}},
    "experimental": {"x": {"y": [1, None]}},
}
Line = dict[str, Any]


def handshake(version: object, **changed: object) -> dict[str, Any]:
    """Parameters of `initialize`."""
    return {"protocolVersion": version, "capabilities": CAPABILITIES, "clientInfo": CLIENT, **changed}


def envelope(version: str, **changed: object) -> dict[str, Any]:
    """Parameters of a request of 2026."""
    meta = {"protocolVersion": version, "clientCapabilities": CAPABILITIES, "clientInfo": CLIENT, **changed}
    known = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items() if value is not None}
    return {"_meta": known}


def request(number: object, method: str, params: object = None) -> Line:
    """One message."""
    return {"jsonrpc": "2.0", "id": number, "method": method} | ({} if params is None else {"params": params})


def conversation(version: str) -> list[Line]:
    """The first questions of hosts, with all that they may say of themselves."""
    if version in MODERN_PROTOCOL_VERSIONS:
        methods = ("server/discover", *LISTS)
        return [request(n, method, envelope(version)) for n, method in enumerate(methods)]
    token = {"_meta": {"progressToken": 7}}
    forms = zip(LISTS, (None, {}, token), strict=True)
    asked = [request(f"r-{n}", method, params) for n, (method, params) in enumerate(forms)]
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return [request(0, "ping"), request(1, "initialize", handshake(version)), initialized, *asked]


class Host:
    """A server, and a folder for what it answers."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        server = build_server(settings, lambda: ApiClient(resolve_connection(env={})))
        self.low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
        self.path = folder / "x.answers"

    async def early(self, lines: list[Line]) -> dict[object, str]:
        """The replies that come early, by id."""
        await record_answers(self.low, None, self.path)
        opening = Opening(json.loads(zlib.decompress(self.path.read_bytes())))
        given: dict[object, str] = {}
        for line in lines:
            reply = opening.reply(json.dumps(line, ensure_ascii=False).encode())
            if reply is None:
                break
            if reply:
                given[reply[0]] = f'{{"jsonrpc":"2.0","id":{json.dumps(reply[0])},"result":{reply[1]}}}'
        return given

    async def real(self, lines: list[Line]) -> list[tuple[object, str]]:
        """Every message that the server writes."""
        stdin = Stdin("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode())
        wire, heard = anyio.create_memory_object_stream[SessionMessage](1_000)
        async with heard:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(converse, self.low, None, stdin, wire)
                await anyio.to_thread.run_sync(stdin.is_read.wait)
                await anyio.wait_all_tasks_blocked()
                stdin.may_end.set()
            said = [item.message async for item in heard]
        return [(getattr(message, "id", None), written(message)) for message in said]


class Stdin(EarlyAnswers):
    """Given bytes, and no end before the test allows it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(None)
        self._data = data
        self.is_read = Event()
        self.may_end = Event()

    def read(self) -> bytes:
        """All of it, then nothing."""
        data, self._data = self._data, b""
        if not data:
            self.is_read.set()
            self.may_end.wait()
        return data


@pytest.mark.hostile
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: each.model_dump_json(exclude_unset=True))
async def test_all_that_a_host_asks_at_first_is_answered_in_the_words_of_the_server(
    tmp_path: Path, settings: Settings, version: str
) -> None:
    """Byte for byte, whatever the client says that it can do."""
    host, lines = Host(settings, tmp_path), conversation(version)
    early = await host.early(lines)
    assert list(early) == [line["id"] for line in lines if "id" in line]
    assert sorted(early.items(), key=str) == sorted(await host.real(lines), key=str)


NOT_CAPABILITIES: list[Any] = [
    [],
    {"roots": []},
    {"roots": {"listChanged": "maybe"}},
    {"sampling": None},
    {"tasks": {"list": True}},
    {"tasks": {"requests": {"sampling": 1}}},
    {"extensions": {"x": 1}},
    {"experimental": {"x": {"y": 1.5}}},
]
NOT_PARAMS: list[Any] = [{"cursor": "x"}, {"cursor": None}, {"_meta": {"x": 1}}, []]
ODD: list[tuple[str, Any]] = [
    *(("initialize", handshake(version)) for version in (*VERSIONS, "1.0")),
    ("initialize", {**handshake("2025-06-18"), "_meta": {}}),
    ("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}}),
    ("initialize", handshake(20250618)),
    *(
        ("initialize", handshake("2025-03-26", clientInfo=info))
        for info in ({}, {**CLIENT, "title": 1}, "me")
    ),
    *(("initialize", handshake("2025-11-25", capabilities=odd)) for odd in NOT_CAPABILITIES),
    *((method, envelope("2026-07-28")) for method in ("server/discover", *LISTS, "ping", "initialize", "x")),
    *((method, envelope("2025-11-25")) for method in ("server/discover", *LISTS)),
    *(("tools/list", envelope("2026-07-28", clientInfo=info)) for info in (None, {"name": "x"}, 5)),
    ("tools/list", envelope("2026-07-28", clientCapabilities=None)),
    ("tools/list", envelope("2026-07-28", clientCapabilities={"elicitation": 1})),
    ("server/discover", {**envelope("2026-07-28"), "cursor": "x"}),
    *((method, None) for method in ("server/discover", *LISTS, "ping", "initialize", "logging/setLevel")),
    *(("tools/list", params) for params in NOT_PARAMS),
    ("ping", {"_meta": {"progressToken": 1.5}}),
    ("ping", {"x": 1}),
]
NOTES: list[Line] = [
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "method": "notifications/initialized", "params": {"_meta": 1}},
    {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
    {"jsonrpc": "2.0", "id": 1, "result": {}},
]


async def test_in_a_conversation_of_any_kind_nothing_is_answered_that_the_server_says_differently(
    tmp_path: Path,
) -> None:
    """Odd forms, unknown versions, mixed eras, ids that come twice: in doubt the server is waited for."""
    host, chance, answered = Host(Settings(), tmp_path), random.Random(tries.seed), 0
    for _ in range(tries.some_of(2_000, least=100)):
        lines = [request(0, *chance.choice(ODD))]
        if chance.random() < 0.5:
            lines = chance.choice([conversation(version) for version in VERSIONS])
        for number in range(10, 10 + chance.randrange(4)):
            said = [request(chance.choice([number, str(number), 0, -1, 0.5, None]), *chance.choice(ODD))]
            lines = [*lines, chance.choice([*said * 4, *NOTES])]
        early = await host.early(lines)
        answered += len(early)
        real = await host.real(lines)
        for request_id, reply in early.items():
            assert (request_id, reply) in real, lines
    assert answered > 100


@pytest.mark.parametrize(
    "line",
    [
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","x":1}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"\xff","method":"ping"}',
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"' + b"x" * 20_000 + b'","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 900 + b"]" * 900 + b"}",
        b"",
    ],
)
def test_a_line_in_a_form_that_parsers_may_read_differently_is_left_to_the_server(line: bytes) -> None:
    """It has rules and words of its own for them."""
    assert Opening({"": {"ping": "{}"}}).reply(line) is None


GOOD = zlib.compress(b'{"":{"ping":"{}"}}')


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        GOOD[:-1],
        GOOD[:8] + b"\x00" + GOOD[9:],
        zlib.compress(b"[]"),
        zlib.compress(b'{"":{"ping":1}}'),
    ],
)
def test_a_damaged_recording_is_none(tmp_path: Path, content: bytes) -> None:
    """The server then answers itself."""
    path = tmp_path / "x.answers"
    path.write_bytes(GOOD)
    assert EarlyAnswers(path).has_answers
    path.write_bytes(content)
    assert not EarlyAnswers(path).has_answers


async def test_a_folder_that_takes_no_recording_is_no_trouble(tmp_path: Path) -> None:
    """Of a read-only installation, for one."""
    (tmp_path / "file").write_bytes(b"")
    host, before = Host(Settings(), tmp_path), os.listdir(tmp_path)  # noqa: PTH208
    for name in ("file/x.answers", f"{'long' * 62}.answers"):
        await record_answers(host.low, None, tmp_path / name)
        assert os.listdir(tmp_path) == before  # noqa: PTH208


def test_a_recording_is_of_one_state_of_code_libraries_and_settings(tmp_path: Path) -> None:
    """After any change there is none yet, so that nothing old is said."""
    shutil.copytree(Path("sutro_mcp"), tmp_path / "sutro_mcp", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import os; from sutro_mcp.server.transports.early_answers import recording_path;"
        "print(recording_path({'demo': os.environ.get('DEMO')}, os.environ))"
    )

    def path(**env: str) -> str:
        variables = {"PYTHONPATH": f"{tmp_path}", "HOME": "/home/me", **env}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=variables,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        return done.stdout

    def changed(file: str, old: str, new: str) -> str:
        text = (tmp_path / file).read_text("utf-8")
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new), "utf-8")
        return path()

    first = path()
    assert path(SUTRO_API_KEY="sk_new") == first
    assert first.startswith(f"{tmp_path}/sutro_mcp/server/transports/__pycache__/")
    library = tmp_path / "mcp-9.dist-info"
    library.mkdir()
    states = [
        first,
        path(SUTRO_MCP_READ_ONLY="1"),
        path(SUTRO_MCP_READ_ONLY="0"),
        path(DEMO="1"),
        path(HOME="/"),
    ]
    (library / "RECORD").write_text("mcp/a.py,sha256=x,1\n")
    states.append(path())
    states.append(changed("mcp-9.dist-info/RECORD", "=x", "=y"))
    states.append(changed("sutro_mcp/server/instructions.md", "job", "Job"))
    states.append(changed("sutro_mcp/server/tools/list_jobs.py", "jobs", "jabs"))
    assert len(set(states)) == len(states)
