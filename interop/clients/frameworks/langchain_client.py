"""An agent of LangChain through langchain-mcp-adapters."""

import anyio
from langchain.agents import create_agent
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.prompts import load_mcp_prompt
from langchain_mcp_adapters.resources import load_mcp_resources
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from mcp.types import ElicitResult
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def agree(context, params, callback_context):
    return ElicitResult(action="accept", content=dict.fromkeys(params.requestedSchema["properties"], True))


async def main():
    remote = {"transport": "streamable_http", "url": URL}
    local = {"transport": "stdio", "command": COMMAND[0], "args": COMMAND[1:]}
    client = MultiServerMCPClient(
        {"sutro": remote if IS_HTTP else local}, callbacks=Callbacks(on_elicitation=agree)
    )
    model = ChatOpenAI(model="scripted", base_url=OPENAI_URL, api_key="none")
    async with client.session("sutro") as session:
        agent = create_agent(model, await load_mcp_tools(session))
        await agent.ainvoke({"messages": [("user", PROMPT)]}, {"recursion_limit": 60})
        resources = await load_mcp_resources(session)
        prompts = (await session.list_prompts()).prompts
        await load_mcp_prompt(session, prompts[0].name)
    report(resources=len(resources), prompts=len(prompts))


anyio.run(main)
