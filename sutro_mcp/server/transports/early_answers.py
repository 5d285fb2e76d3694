"""Answers to a host's first questions over stdio, given before anything heavy is imported: hosts do not wait.

They are what the server said to the same questions in an earlier process with the same code, libraries,
settings and Python. That one left them beside the compiled code (`answer_recording`): where others may write
there, they may write code. Only what is asked in the plainest form is answered here, and once. The server
reads all that was asked, in its order, and answers the rest; its replies to what was answered here are
compared, and dropped (`stdio`).

Nothing but the standard library is imported here.
"""

import json
import os
import re
import signal
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, NoReturn, TypeGuard, cast

Answers = dict[str, dict[str, str]]
"""By `kind_of_client`, or "" before there is one, and by method: the result as JSON."""

_STDIN, _STDOUT = 0, 1
_CHUNK = 64 * 1024
# Longer or deeper than an opening is, and far below the limits of the server's own parser.
_LINE_CHARS = 16 * 1024
_LEVELS = 50
# A host that says nothing must not keep the server from watching over its parent.
_FIRST_LINE_SECONDS = 1.0
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_CLIENT_INFO = ("name", "version", "title", "description", "websiteUrl")


def kind_of_client(version: str, capabilities: Mapping[str, Any]) -> str:
    """What answers depend on: the protocol version, and whether the host shows pages (MCP Apps)."""
    pages = capabilities.get("extensions", {}).get("io.modelcontextprotocol/ui", {}).get("mimeTypes")
    shows_pages = isinstance(pages, list) and "text/html;profile=mcp-app" in pages
    return f"{version} with pages" if shows_pages else version


def recording_path(settings: Mapping[str, object], env: Mapping[str, str]) -> Path | None:
    """The file of the answers for these flags and this environment; None where compiled code has no folder.

    Its name stands for all that decides about the answers, so that it need not be looked for in the file.
    """
    compiled = __spec__.cached if __spec__ else None
    if compiled is None:
        return None
    known = sorted(f"{name}={value}" for name, value in env.items() if name.upper().startswith("SUTRO_MCP_"))
    asked = [*sorted(map(str, settings.items())), *known, f"HOME={env.get('HOME')}"]
    key = sha256("\0".join([sys.version, *asked]).encode("utf-8", "surrogateescape"))
    for file in _code():
        key.update(f"\0{file}\0".encode("utf-8", "surrogateescape"))
        with suppress(OSError):
            key.update(Path(file).read_bytes())
    return Path(compiled).with_suffix(f".{key.hexdigest()[:32]}.answers")


def _code() -> Iterator[str]:
    """Our files, and of each distribution at hand the one that has the hashes of all its files."""
    for folder, folders, files in os.walk(Path(__file__).parents[2]):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (f"{folder}/{file}" for file in sorted(files))
    for folder in sys.path:
        with suppress(OSError):
            names = sorted(name for name in os.listdir(folder or ".") if name.endswith(".dist-info"))  # noqa: PTH208
            yield from (f"{folder}/{name}/RECORD" for name in names)


def _read(path: Path | None) -> Answers:
    """The answers in a recording; none where there is none, or a damaged one."""
    try:
        # Compression has a checksum.
        found: object = json.loads(zlib.decompress(path.read_bytes())) if path else {}
    except (OSError, ValueError, zlib.error):
        return {}
    return cast("Answers", found) if _is_answers(found) else {}


def _is_answers(value: object) -> bool:
    return _is_object(value) and all(
        _is_object(of_kind) and all(isinstance(result, str) for result in of_kind.values())
        for of_kind in value.values()
    )


class EarlyAnswers:
    """Reads stdin, and answers what it can from `recording` until the server takes over."""

    def __init__(self, recording: Path | None) -> None:
        answers = _read(recording)
        self.recording = recording
        """The file to keep answers in for the next time."""
        self.given: dict[int | str, str] = {}
        """The replies to answered requests, by id, until the server has come to the same."""
        self._opening = Opening(answers)
        self._seen = b""
        self._lock = Lock()
        self.has_answers = bool(answers)
        self._is_over = False
        self._has_read = Event()
        # One read of the thread may still be under way when the server takes over; it ends here.
        self._is_reading = False
        self._last = SimpleQueue[bytes]()

    def start(self) -> None:
        """Answer in a thread, and wait until something was read: imports would slow the first answer down."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)
        self._is_reading = True
        Thread(target=self._run, daemon=True).start()
        self._has_read.wait(_FIRST_LINE_SECONDS)

    def end(self) -> None:
        """Answer nothing more: from now on `read` has it all."""
        with self._lock:
            self._is_over = True

    def forget(self) -> None:
        """Keep no answers: they are not those of the server."""
        if self.recording is not None:
            self.recording.unlink(missing_ok=True)

    def read(self) -> bytes:
        """The next bytes of stdin from its very beginning, none at its end."""
        if self._seen:
            seen, self._seen = self._seen, b""
            return seen
        if self._is_reading:
            self._is_reading = False
            return self._last.get()
        return os.read(_STDIN, _CHUNK)

    def _run(self) -> None:
        try:
            self._answer()
        except OSError:
            # The server meets it as well, if it is not waiting for this already.
            with self._lock:
                self._is_over, self._is_reading = True, False
            self._last.put(b"")
        self._has_read.set()

    def _answer(self) -> None:
        unread: bytes | None = b""
        while unread is not None:
            data = os.read(_STDIN, _CHUNK)
            with self._lock:
                if self._is_over:
                    self._last.put(data)
                    return
                if not data:
                    os._exit(0)  # nothing is said once stdin has ended
                self._seen += data
                unread = self._take(unread + data) if len(self._seen) <= _CHUNK else None
                if unread is None:
                    self._is_over, self._is_reading = True, False
            self._has_read.set()

    def _take(self, data: bytes) -> bytes | None:
        """Answer the lines in `data`; what is left of it, or None where the server has to go on."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            reply = self._opening.reply(line)
            if reply is None:
                return None
            if reply:
                self._write(*reply)
        return rest

    def _write(self, request_id: int | str, result: str) -> None:
        reply = f'{{"jsonrpc":"2.0","id":{json.dumps(request_id)},"result":{result}}}'
        data = f"{reply}\n".encode()
        while data:
            data = data[os.write(_STDOUT, data) :]
        self.given[request_id] = reply


class Opening:
    """The start of a conversation, as far as the answers depend on it."""

    def __init__(self, answers: Answers) -> None:
        self._answers = {kind: dict(methods) for kind, methods in answers.items()}
        self._modern = {kind for kind, methods in answers.items() if "server/discover" in methods}
        self._ids = set[str]()
        # None before a request has settled anything, "" when one has settled the era of 2025 alone.
        self._kind: str | None = None

    def reply(self, line: bytes) -> tuple[int | str, str] | tuple[()] | None:
        """Id and result; nothing where the server has to answer this line; None where it has to go on."""
        message = _plain(line)
        if message is None:
            return None
        method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
        if not isinstance(method, str) or not _is_object(params):
            return None
        if "id" not in message:
            opens = method == "notifications/initialized" and not params and self._kind
            return () if opens and self._kind not in self._modern else None
        if not _is_id(request_id) or str(request_id) in self._ids:
            return None
        self._ids.add(str(request_id))
        result = self._result(method, params)
        return (request_id, result) if result else () if result is not None else None

    def _result(self, method: str, params: dict[str, Any]) -> str | None:
        """The recorded result; "" where another request may overtake this one; None where none may."""
        enveloped = _kind_by_envelope(params)
        if self._kind is None and enveloped in self._modern:
            if method != "server/discover":  # a probe settles nothing
                self._kind = enveloped
            return self._answers[enveloped].pop(method, None)
        if method == "initialize":
            self._kind = "" if self._kind else _kind_by_handshake(params)
            return self._answers.get(self._kind or "", {}).pop(method, None)
        if method == "ping" and self._kind is None and _is_bare(params):
            self._kind = ""
        if self._kind is None or (self._kind == "" and method != "ping"):
            return None
        is_plain = enveloped == self._kind if self._kind in self._modern else _is_bare(params)
        return self._answers[self._kind].pop(method, "") if is_plain else ""


def _plain(line: bytes) -> dict[str, Any] | None:
    """The message in a line that any parser reads in the same way."""
    if len(line) > _LINE_CHARS or line.count(b"{") + line.count(b"[") > _LEVELS or b"\\u" in line:
        return None
    try:
        message: object = json.loads(line.decode(), parse_float=_refuse, parse_constant=_refuse)
    except ValueError:
        return None
    if not _is_object(message) or message.get("jsonrpc") != "2.0":
        return None
    return None if message.keys() - {"jsonrpc", "id", "method", "params"} else message


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_id(value: object) -> TypeGuard[int | str]:
    if isinstance(value, str):
        return _ID.fullmatch(value) is not None
    return type(value) is int and 0 <= value < 2**53


def _kind_by_handshake(params: dict[str, Any]) -> str | None:
    """The kind of client that sends valid parameters of `initialize`."""
    if params.keys() != {"protocolVersion", "capabilities", "clientInfo"}:
        return None
    version, capabilities, client = params["protocolVersion"], params["capabilities"], params["clientInfo"]
    if not isinstance(version, str) or not _are_valid(capabilities, client):
        return None
    return kind_of_client(version, capabilities)


def _kind_by_envelope(params: dict[str, Any]) -> str | None:
    """The kind of client that sends a request of 2026 with valid parameters and no others."""
    meta = params.get("_meta")
    if len(params) != 1 or not _is_object(meta):
        return None
    rest = dict(meta)
    names = ("protocolVersion", "clientCapabilities", "clientInfo")
    version, capabilities, client = (rest.pop(f"io.modelcontextprotocol/{name}", None) for name in names)
    if not isinstance(version, str) or not _is_bare({"_meta": rest}):
        return None
    return kind_of_client(version, capabilities) if _are_valid(capabilities, client) else None


def _is_bare(params: dict[str, Any]) -> bool:
    """Whether there is nothing but a token for progress, of which there is none."""
    meta = params.get("_meta", {})
    return (
        params.keys() <= {"_meta"}
        and _is_object(meta)
        and meta.keys() <= {"progressToken"}
        and all(map(_is_id, meta.values()))
    )


def _are_valid(capabilities: object, client: object) -> bool:
    """Whether no version of the protocol can object to what a client says of itself."""
    return (
        _is_object(client)
        and {"name", "version"} <= client.keys() <= {*_CLIENT_INFO}
        and all(isinstance(value, str) for value in client.values())
        and _is_object(capabilities)
        and all(_is_capability(name, value) for name, value in capabilities.items())
    )


def _is_capability(name: str, value: object) -> bool:
    if not _is_object(value):
        return False
    if name == "roots":
        return all(isinstance(flag, bool) for flag in value.values())
    return all(
        _is_object(part) and (name != "tasks" or _is_capability(name, part)) for part in value.values()
    )


def _leave(number: int, _: object) -> NoReturn:
    os._exit(128 + number)
