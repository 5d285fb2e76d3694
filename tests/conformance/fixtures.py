"""Tools, prompts and resources that the official conformance suite wants to find on a server.

Names, texts and values are those of the suite's scenario descriptions. Mounted on the product's own server
object, so that its refusals, schemas and transport are what is judged.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from mcp import MCPError, types
from mcp.server.mcpserver import Context, UserMessage

from sutro_mcp.errors import NoResultsError
from sutro_mcp.server.protocol.mcp_server import SutroServer

Ctx = Context[Any, Any]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    _chunk(kind, data)
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\xff\0\0")),
        (b"IEND", b""),
    )
)
WAV = b"RIFF" + struct.pack("<I4s4sIHHIIHH4sI", 36, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", 0)


def said(*blocks: types.ContentBlock | str) -> types.CallToolResult:
    """A result of these blocks."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=b) if isinstance(b, str) else b for b in blocks]
    )


def _image() -> types.ImageContent:
    return types.ImageContent(type="image", data=base64.b64encode(PNG).decode(), mime_type="image/png")


def _embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    )


async def test_simple_text() -> types.CallToolResult:
    """Simple text."""
    return said("This is a simple text response for testing.")


async def test_image_content() -> types.CallToolResult:
    """An image."""
    return said(_image())


async def test_audio_content() -> types.CallToolResult:
    """A sound."""
    return said(types.AudioContent(type="audio", data=base64.b64encode(WAV).decode(), mime_type="audio/wav"))


async def test_embedded_resource() -> types.CallToolResult:
    """A resource in the answer."""
    return said(_embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


async def test_multiple_content_types() -> types.CallToolResult:
    """Text, image and resource."""
    data = json.dumps({"test": "data", "value": 123})
    return said(
        "Multiple content types test:",
        _image(),
        _embedded("test://mixed-content-resource", "application/json", data),
    )


async def test_error_handling() -> types.CallToolResult:
    """Fails, the way tools of the product fail."""
    raise NoResultsError("run this tool", "it intentionally returns an error for testing", "Do not call it")


async def test_tool_with_progress(ctx: Ctx) -> types.CallToolResult:
    """Progress: nothing, half, all."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
    return said("Done.")


async def test_tool_with_logging(ctx: Ctx) -> types.CallToolResult:
    """Three log messages."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(words)  # pyright: ignore[reportDeprecated] - the suite asks for it
    return said("Done.")


async def test_logging_tool(ctx: Ctx) -> types.CallToolResult:
    """A log message, which only those get who asked for it."""
    return await test_tool_with_logging(ctx)


async def test_missing_capability(ctx: Ctx) -> types.CallToolResult:
    """Needs a client that can sample."""
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs sampling",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return said("Done.")


async def test_trigger_tool_change(ctx: Ctx) -> types.CallToolResult:
    """Announces that the tools changed."""
    await ctx.notify_tools_changed()
    return said("Done.")


async def test_trigger_prompt_change(ctx: Ctx) -> types.CallToolResult:
    """Announces that the prompts changed."""
    await ctx.notify_prompts_changed()
    return said("Done.")


TOOLS: tuple[Callable[..., Any], ...] = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_progress,
    test_tool_with_logging,
    test_logging_tool,
    test_missing_capability,
    test_trigger_tool_change,
    test_trigger_prompt_change,
)


def add_resources(server: SutroServer) -> None:
    """The suite's resources."""

    @server.resource("test://static-text", mime_type="text/plain", description="Text")
    async def _text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="An image")
    async def _binary() -> bytes:
        return PNG

    @server.resource("test://watched-resource", mime_type="text/plain", description="Never changes")
    async def _watched() -> str:
        return "Watched."

    @server.resource("test://template/{id}/data", mime_type="application/json", description="By id")
    async def _template(id: str) -> str:  # noqa: A002 - the suite's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    _ = (_text, _binary, _watched, _template)


def add_prompts(server: SutroServer) -> None:
    """The suite's prompts."""

    @server.prompt(name="test_simple_prompt", description="Without arguments")
    async def _simple() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(name="test_prompt_with_arguments", description="With two arguments")
    async def _arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(name="test_prompt_with_embedded_resource", description="With a resource")
    async def _resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's name
        text = "Embedded resource content for testing."
        return [
            UserMessage(_embedded(resourceUri, "text/plain", text)),
            UserMessage("Please process the embedded resource above."),
        ]

    @server.prompt(name="test_prompt_with_image", description="With an image")
    async def _picture() -> list[UserMessage]:
        return [UserMessage(_image()), UserMessage("Please analyze the image above.")]

    _ = (_simple, _arguments, _resource, _picture)


def add_handlers(server: SutroServer) -> None:
    """Methods that the suite asks of every server and that ours has no use for."""
    low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage] - the SDK has no public way

    async def accept(_: Any, __: types.RequestParams) -> types.EmptyResult:
        return types.EmptyResult()

    wanted: dict[str, type[types.RequestParams]] = {
        "logging/setLevel": types.SetLevelRequestParams,
        "resources/subscribe": types.SubscribeRequestParams,
        "resources/unsubscribe": types.UnsubscribeRequestParams,
    }
    for method, params in wanted.items():
        if low.get_request_handler(method) is None:
            low.add_request_handler(method, params, accept)
    if low.get_request_handler("completion/complete") is None:

        @server.completion()
        async def _complete(*_: Any) -> types.Completion:
            return types.Completion(values=["paris", "park", "party"], total=3, has_more=False)

        _ = _complete
