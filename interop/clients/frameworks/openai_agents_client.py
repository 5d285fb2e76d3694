"""An agent of OpenAI's Agents SDK, with its default time-out of 5 seconds a request."""

import anyio
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp
from openai import AsyncOpenAI
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def main():
    set_tracing_disabled(True)
    model = OpenAIChatCompletionsModel("scripted", AsyncOpenAI(base_url=OPENAI_URL, api_key="none"))
    local = MCPServerStdio({"command": COMMAND[0], "args": COMMAND[1:]})
    async with MCPServerStreamableHttp({"url": URL}) if IS_HTTP else local as server:
        agent = Agent("interop", model=model, mcp_servers=[server])
        await Runner.run(agent, PROMPT, max_turns=30)
        prompts = (await server.list_prompts()).prompts
        await server.get_prompt(prompts[0].name)
    report(prompts=len(prompts))


anyio.run(main)
