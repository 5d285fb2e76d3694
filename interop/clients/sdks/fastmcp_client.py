"""FastMCP's own client."""

import anyio
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from task import CALLS, COMMAND, IS_HTTP, URL, report


async def agree(message, response_type, params, context):
    return response_type(**dict.fromkeys(params.requested_schema["properties"], True))


async def main():
    local = StdioTransport(command=COMMAND[0], args=COMMAND[1:], keep_alive=False)
    async with Client(URL if IS_HTTP else local, elicitation_handler=agree) as client:
        tools = [tool.name for tool in await client.list_tools()]
        shown = [(await client.call_tool_mcp(*call)).model_dump_json() for call in CALLS]
        resources = await client.list_resources()
        await client.read_resource(resources[0].uri)
        prompts = await client.list_prompts()
        await client.get_prompt(prompts[0].name)
    report(tools=tools, shown=shown, resources=len(resources), prompts=len(prompts))


anyio.run(main)
