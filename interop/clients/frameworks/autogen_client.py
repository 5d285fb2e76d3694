"""An agent of AutoGen through autogen-ext."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelFamily
from autogen_ext.models.openai import OpenAIChatCompletionClient
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams, StreamableHttpServerParams
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report

ABILITIES = {
    "vision": False,
    "function_calling": True,
    "json_output": False,
    "structured_output": False,
    "family": ModelFamily.UNKNOWN,
}


async def main():
    local = StdioServerParams(command=COMMAND[0], args=COMMAND[1:])
    model = OpenAIChatCompletionClient(
        model="scripted", base_url=OPENAI_URL, api_key="none", model_info=ABILITIES
    )
    async with McpWorkbench(StreamableHttpServerParams(url=URL) if IS_HTTP else local) as workbench:
        agent = AssistantAgent("interop", model_client=model, workbench=workbench, max_tool_iterations=30)
        await agent.run(task=PROMPT)
        resources = (await workbench.list_resources()).resources
        await workbench.read_resource(str(resources[0].uri))
        prompts = (await workbench.list_prompts()).prompts
        await workbench.get_prompt(prompts[0].name)
    report(resources=len(resources), prompts=len(prompts))


asyncio.run(main())
