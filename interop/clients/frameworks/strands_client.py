"""An agent of Strands Agents."""

from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from strands import Agent
from strands.models.openai import OpenAIModel
from strands.tools.mcp import MCPClient
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


def connect():
    local = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
    return streamablehttp_client(URL) if IS_HTTP else stdio_client(local)


model = OpenAIModel({"base_url": OPENAI_URL, "api_key": "none"}, model_id="scripted")
with MCPClient(connect) as client:
    Agent(model, tools=client.list_tools_sync(), callback_handler=None)(PROMPT)
    prompts = client.list_prompts_sync().prompts
    client.get_prompt_sync(prompts[0].name, {})
report(prompts=len(prompts))
