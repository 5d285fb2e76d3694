"""The Python SDK 2.x, which speaks both protocol eras."""

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import ElicitResult
from task import CALLS, COMMAND, IS_HTTP, URL, report


async def agree(context, params):
    return ElicitResult(action="accept", content=dict.fromkeys(params.requested_schema["properties"], True))


async def main():
    local = stdio_client(StdioServerParameters(command=COMMAND[0], args=COMMAND[1:]))
    async with Client(URL if IS_HTTP else local, elicitation_callback=agree) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        shown = [(await client.call_tool(*call)).model_dump_json() for call in CALLS]
        resources = (await client.list_resources()).resources
        await client.read_resource(resources[0].uri)
        prompts = (await client.list_prompts()).prompts
        await client.get_prompt(prompts[0].name)
    report(tools=tools, shown=shown, resources=len(resources), prompts=len(prompts))


anyio.run(main)
