"""An agent of Strands Agents."""

from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult
from strands import Agent
from strands.models.openai import OpenAIModel
from strands.tools.mcp import MCPClient
from task import COMMAND, IS_HTTP, OPENAI_URL, PROMPT, URL, report


async def agree(context, params):
    return ElicitResult(action="accept", content=dict.fromkeys(params.requested_schema["properties"], True))


def connect():
    local = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
    return streamable_http_client(URL) if IS_HTTP else stdio_client(local)


model = OpenAIModel(client_args={"base_url": OPENAI_URL, "api_key": "none"}, model_id="scripted")
with MCPClient(connect, elicitation_callback=agree) as client:
    Agent(model, tools=client.list_tools_sync(), callback_handler=None)(PROMPT)
    prompts = client.list_prompts_sync().prompts
    client.get_prompt_sync(prompts[0].name, {})
report(prompts=len(prompts))
