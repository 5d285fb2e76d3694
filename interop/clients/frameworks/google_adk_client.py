"""An agent of Google's Agent Development Kit, with its default time-out of 5 seconds."""

import os

import anyio
from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams, StreamableHTTPConnectionParams
from google.genai import types
from mcp import StdioServerParameters
from mcp.types import ElicitResult
from task import COMMAND, IS_HTTP, PROMPT, TASK, URL, report

os.environ |= {"GOOGLE_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": TASK["model"]}


async def agree(context, params):
    return ElicitResult(action="accept", content=dict.fromkeys(params.requested_schema["properties"], True))


async def main():
    local = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
    params = (
        StreamableHTTPConnectionParams(url=URL) if IS_HTTP else StdioConnectionParams(server_params=local)
    )
    tools = McpToolset(connection_params=params, elicitation_callback=agree)
    runner = InMemoryRunner(
        LlmAgent(name="interop", model="gemini-2.5-flash", tools=[tools]), app_name="interop"
    )
    session = await runner.session_service.create_session(app_name="interop", user_id="user")
    message = types.Content(role="user", parts=[types.Part(text=PROMPT)])
    async for _ in runner.run_async(user_id="user", session_id=session.id, new_message=message):
        pass
    await tools.close()
    report()


anyio.run(main)
