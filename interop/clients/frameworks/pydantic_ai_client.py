"""An agent of Pydantic AI."""

import anyio
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def agree(message, response_type, params, context):
    return response_type(**dict.fromkeys(params.requested_schema["properties"], True))


async def main():
    local = StdioTransport(command=COMMAND[0], args=COMMAND[1:], keep_alive=False)
    server = MCPToolset(URL if IS_HTTP else local, elicitation_handler=agree)
    model = OpenAIChatModel("scripted", provider=OpenAIProvider(base_url=OPENAI_URL, api_key="none"))
    async with server:
        await Agent(model, toolsets=[server]).run(PROMPT, usage_limits=UsageLimits(request_limit=30))
        resources = await server.list_resources()
        await server.read_resource(resources[0].uri)
        prompts = await server.list_prompts()
        await server.get_prompt(prompts[0].name)
    report(resources=len(resources), prompts=len(prompts))


anyio.run(main)
