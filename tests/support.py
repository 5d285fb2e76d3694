"""A conversation with the product's server: the SDK's client in memory, the emulator at the wire."""

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import anyio
import httpx
from mcp import Client
from mcp.client.extension import ClientExtension
from mcp.client.session import ElicitationFnT
from mcp.types import CallToolResult, TextContent, TextResourceContents

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.api.status_poller import PollSchedule
from sutro_mcp.emulator import DEMO_KEY, Emulator
from sutro_mcp.server.build import build_server
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.settings import Settings
from sutro_mcp.untrusted_text import NOTICE

from .updates import Updates

Era = Literal["auto", "legacy"]


@dataclass
class Talk:
    """One connected client and the emulator behind the server."""

    client: Client
    emulator: Emulator
    errors: list[str] = field(default_factory=list[str])

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer; the test fails when the tool does."""
        result = await self.result(tool, **arguments)
        assert not result.is_error, text_of(result)
        assert result.structured_content is not None
        return result.structured_content

    async def text(self, tool: str, **arguments: Any) -> str:
        """The text of a successful answer, which says all that the structured part does."""
        result = await self.result(tool, **arguments)
        assert not result.is_error, text_of(result)
        return complete_text_of(result)

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """The text of a tool error, which must not carry anything else."""
        result = await self.result(tool, **arguments)
        assert result.is_error, text_of(result)
        assert result.structured_content is None
        return text_of(result)

    async def result(self, tool: str, **arguments: Any) -> CallToolResult:
        """Whatever comes back."""
        with anyio.fail_after(60):
            return await self.client.call_tool(tool, arguments)

    async def read(self, uri: str) -> str:
        """The text of a resource."""
        with anyio.fail_after(60):
            (content,) = (await self.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        assert content.mime_type == "application/json"
        return content.text

    def paths(self) -> list[str]:
        """Paths that reached the API since the last look, without `/v1`."""
        seen = [
            f"{r.method} {r.path.removeprefix('/v1')}" for r in self.emulator.requests if r.origin == "api"
        ]
        self.emulator.requests.clear()
        return seen


def records(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table of an answer, by the names of its columns."""
    return [dict(zip(table["columns"], row, strict=False)) for row in table["rows"]]


def text_of(result: CallToolResult) -> str:
    """The one block of a result: some hosts turn an answer that has any but text into an error."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def complete_text_of(result: CallToolResult) -> str:
    """The text of a result, which has every value of the structured part, without the nonce of its fence."""
    text = text_of(result)
    shown = _one_line(text)
    for value in _values(result.structured_content):
        forms = [str(value)]
        if not isinstance(value, str):
            forms += [f"{value:,}", f"{value:.6f}".rstrip("0").rstrip("."), f"{value:.1%}"]
        assert any(_one_line(form) in shown for form in forms), f"{value!r} is not in the text: {text}"
    return re.sub(rf"<data \w+> {NOTICE}(.*)</data \w+>", r"<data>\1</data>", text, flags=re.DOTALL)


# These are told in other words.
_IN_WORDS = ("notice", "view", "estimates", "no_cost", "at", "cancel")
# Columns of tables that the text lays out in another way.
_LAID_OUT = ("columns", "suspicious", "samples", "moves")


def _values(value: Any, key: str = "") -> Iterator[str | int | float]:
    """Texts and numbers at any depth; truth values and the like become words, which snapshots show."""
    if isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            if not (name == "columns" and key in _LAID_OUT):
                yield from _values(item, name)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _values(item, key)
    elif value is not None and not isinstance(value, bool) and key not in _IN_WORDS:
        yield value


def _one_line(text: str) -> str:
    """As CSV and indentation leave it."""
    return " ".join(text.replace('""', '"').split())


def server_for(
    emulator: Emulator,
    *,
    settings: Settings = Settings(),  # noqa: B008 - frozen
    key: str = DEMO_KEY,
    transport: httpx.AsyncBaseTransport | None = None,
    fastest_answer: float = 0.0,
    **options: Any,
) -> SutroServer:
    """The product's server with a client of the emulator; it reads watched jobs without much of a pause.

    A person may answer at once, unless `fastest_answer` is that of the product.
    """
    transport = transport or httpx.ASGITransport(app=emulator.app)

    def connect() -> ApiClient:
        return ApiClient(resolve_connection(emulator.api_origin, key, env={}), transport=transport, **options)

    return build_server(settings, connect, watching=PollSchedule(0.01, 0.02), fastest_answer=fastest_answer)


@asynccontextmanager
async def talk(
    emulator: Emulator,
    era: Era = "auto",
    *,
    settings: Settings = Settings(),  # noqa: B008 - frozen
    key: str = DEMO_KEY,
    transport: httpx.AsyncBaseTransport | None = None,
    person: ElicitationFnT | None = None,
    extensions: Sequence[ClientExtension] = (),
    updates: Updates | None = None,
    **options: Any,
) -> AsyncGenerator[Talk]:
    """A conversation in `era` with a host that has `extensions` and a `person` to ask.

    `transport` stands between the server's client and the emulator.
    """
    server = server_for(emulator, settings=settings, key=key, transport=transport, **options)
    async with Client(
        server, mode=era, elicitation_callback=person, extensions=extensions, message_handler=updates
    ) as client:
        yield Talk(client, emulator)
