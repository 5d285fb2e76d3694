"""The Python SDK 1.x, which is what most Python clients stand on."""

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import ElicitResult
from task import CALLS, COMMAND, IS_HTTP, URL, report


async def agree(context, params):
    return ElicitResult(action="accept", content=dict.fromkeys(params.requestedSchema["properties"], True))


async def main():
    local = stdio_client(StdioServerParameters(command=COMMAND[0], args=COMMAND[1:]))
    async with (
        streamablehttp_client(URL) if IS_HTTP else local as streams,
        ClientSession(streams[0], streams[1], elicitation_callback=agree) as session,
    ):
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        shown = [(await session.call_tool(*call)).model_dump_json() for call in CALLS]
        resources = (await session.list_resources()).resources
        await session.read_resource(resources[0].uri)
        prompts = (await session.list_prompts()).prompts
        await session.get_prompt(prompts[0].name)
    report(tools=tools, shown=shown, resources=len(resources), prompts=len(prompts))


anyio.run(main)
