"""Answers one question as an agent of Pydantic AI, in the environment that has it.

A task comes in on stdin, a report goes out on stdout, both as JSON.
"""

import json
import sys

import anyio
from checks import line_of, taken
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent, capture_run_messages
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RunUsage, UsageLimits

MOST_REQUESTS = 20
PERSON_READS = 0.6  # seconds; a faster answer counts as that of a host without a dialog


def scripted(script):
    """A model that makes these calls and then answers with what they gave, or with what it was told."""

    async def respond(messages, info):
        given = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if len(given) < len(script["calls"]):
            return ModelResponse(parts=[ToolCallPart(*script["calls"][len(given)])])
        answer = taken(given[-1].content, script["take"]) if script["take"] else script["answer"]
        return ModelResponse(parts=[TextPart(line_of(answer))])

    return FunctionModel(respond)


async def play(task):
    """The answer of the model, and its cost."""

    dialogs = []

    async def person(message, response_type, params, context):
        dialogs.append(message)
        await anyio.sleep(PERSON_READS)
        if task["person"] == "no":
            return ElicitResult(action="decline")
        return response_type(**dict.fromkeys(params.requested_schema["properties"], True))

    tools = MCPToolset(
        StdioTransport(
            command=task["command"][0], args=task["command"][1:], env=task["env"], keep_alive=False
        ),
        elicitation_handler=person if task["person"] else None,
        include_instructions=True,
        tool_error_behavior="failed",  # the model reads the error and goes on
    )
    agent = Agent(scripted(task["script"]) if task["script"] else task["model"], toolsets=[tools])
    usage, limits = RunUsage(), UsageLimits(request_limit=MOST_REQUESTS)
    with capture_run_messages() as messages:
        try:
            async with tools:
                said = (await agent.run(task["prompt"], usage=usage, usage_limits=limits)).output
        except (UsageLimitExceeded, UnexpectedModelBehavior) as error:  # others are not the model's
            said = f"gave up: {error}"
    calls = sum(isinstance(part, ToolCallPart) for message in messages for part in message.parts)
    report = {"said": said, "was_asked": bool(dialogs), "calls": calls}
    if not task["script"]:  # a script reads nothing
        report |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return report


print(json.dumps(anyio.run(play, json.load(sys.stdin))))
