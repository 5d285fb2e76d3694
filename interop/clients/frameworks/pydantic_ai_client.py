"""An agent of Pydantic AI."""

import anyio
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPServerStdio, MCPServerStreamableHTTP
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def main():
    server = MCPServerStreamableHTTP(URL) if IS_HTTP else MCPServerStdio(COMMAND[0], args=COMMAND[1:])
    model = OpenAIChatModel("scripted", provider=OpenAIProvider(base_url=OPENAI_URL, api_key="none"))
    async with server:
        await Agent(model, toolsets=[server]).run(PROMPT, usage_limits=UsageLimits(request_limit=30))
        resources = await server.list_resources()
        await server.read_resource(resources[0].uri)
    report(resources=len(resources))


anyio.run(main)
