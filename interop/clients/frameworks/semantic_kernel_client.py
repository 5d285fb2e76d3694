"""An agent of Semantic Kernel with its MCP plugin."""

import asyncio

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.connectors.mcp import MCPStdioPlugin, MCPStreamableHttpPlugin
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def main():
    local = MCPStdioPlugin(name="sutro", command=COMMAND[0], args=COMMAND[1:])
    service = OpenAIChatCompletion("scripted", async_client=AsyncOpenAI(base_url=OPENAI_URL, api_key="none"))
    async with MCPStreamableHttpPlugin(name="sutro", url=URL) if IS_HTTP else local as plugin:
        agent = ChatCompletionAgent(
            service=service,
            name="interop",
            plugins=[plugin],
            function_choice_behavior=FunctionChoiceBehavior.Auto(maximum_auto_invoke_attempts=30),
        )
        await agent.get_response(PROMPT)
        prompts = (await plugin.session.list_prompts()).prompts
        await plugin.session.get_prompt(prompts[0].name)
    report(prompts=len(prompts))


asyncio.run(main())
