"""An agent of LlamaIndex through llama-index-tools-mcp."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def main():
    client = BasicMCPClient(URL) if IS_HTTP else BasicMCPClient(COMMAND[0], args=COMMAND[1:])
    tools = await McpToolSpec(client=client).to_tool_list_async()
    model = OpenAILike(
        model="scripted",
        api_base=OPENAI_URL,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
    )
    await FunctionAgent(tools=tools, llm=model).run(PROMPT, max_iterations=40)
    resources = (await client.list_resources()).resources
    await client.read_resource(resources[0].uri)
    prompts = (await client.list_prompts()).prompts
    await client.get_prompt(prompts[0].name)
    report(resources=len(resources), prompts=len(prompts))


asyncio.run(main())
