"""Fixtures of the conformance suite that ask the client something: within a call, or over several rounds."""

import json
from collections.abc import Callable
from typing import Any

from mcp import types
from mcp.server.mcpserver import Context
from mcp.shared.message import ServerMessageMetadata

from sutro_mcp.server.protocol.mcp_server import SutroServer

from .fixtures import said

Ctx = Context[Any, Any]
Round = types.CallToolResult | types.InputRequiredResult

TEXT = {"type": "string"}
NAME = {"name": TEXT}


def _form(message: str, properties: dict[str, Any], *, required: bool = True) -> types.ElicitRequest:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(properties)
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def _ask(state: str | None = None, **requests: types.InputRequest) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def _answer(ctx: Ctx, name: str) -> Any:
    """The content that the client sent under `name`, if it has the right shape; the SDK has read it."""
    return (ctx.input_responses or {}).get(name)


def _field(ctx: Ctx, name: str, field: str) -> str | None:
    """A text that the user entered; nothing when there is none."""
    answer = _answer(ctx, name)
    value = (answer.content or {}).get(field) if isinstance(answer, types.ElicitResult) else None
    return value if isinstance(value, str) else None


def _sampled(answer: types.CreateMessageResult) -> str:
    return answer.content.text if isinstance(answer.content, types.TextContent) else ""


# Within a call, as the protocols up to 2025-11-25 have it.


async def _elicit(ctx: Ctx, form: types.ElicitRequest) -> types.ElicitResult:
    related = ServerMessageMetadata(related_request_id=ctx.request_context.request_id)
    return await ctx.session.send_request(form, types.ElicitResult, metadata=related)


async def _elicit_and_say(ctx: Ctx, form: types.ElicitRequest) -> types.CallToolResult:
    answer = await _elicit(ctx, form)
    return said(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")


async def test_sampling(ctx: Ctx, prompt: str) -> types.CallToolResult:
    """Has the client's model answer a prompt."""
    related = ServerMessageMetadata(related_request_id=ctx.request_context.request_id)
    answer = await ctx.session.send_request(_sample(prompt), types.CreateMessageResult, metadata=related)
    return said(f"LLM response: {_sampled(answer)}")


async def test_elicitation(ctx: Ctx, message: str) -> types.CallToolResult:
    """Asks the user for a name and an address."""
    fields = {
        "username": {**TEXT, "description": "User's response"},
        "email": {**TEXT, "description": "User's email address"},
    }
    answer = await _elicit(ctx, _form(message, fields))
    return said(f"User response: action: {answer.action}, content: {json.dumps(answer.content)}")


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> types.CallToolResult:
    """A form with a default of each primitive type."""
    fields: dict[str, Any] = {
        "name": {**TEXT, "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {**TEXT, "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await _elicit_and_say(ctx, _form("Check the defaults.", fields, required=False))


async def test_elicitation_sep1330_enums(ctx: Ctx) -> types.CallToolResult:
    """A form with every kind of choice."""

    def titled(first: str) -> list[dict[str, str]]:
        return [
            {"const": f"value{n}", "title": f"{word} {first}"}
            for n, word in enumerate(("First", "Second", "Third"), 1)
        ]

    plain = ["option1", "option2", "option3"]
    fields: dict[str, Any] = {
        "untitledSingle": {**TEXT, "enum": plain},
        "titledSingle": {**TEXT, "oneOf": titled("Option")},
        "legacyEnum": {
            **TEXT,
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {**TEXT, "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    }
    return await _elicit_and_say(ctx, _form("Choose.", fields, required=False))


# Over several rounds, as 2026-07-28 has it.


async def test_input_required_result_elicitation(ctx: Ctx) -> Round:
    """Asks for a name."""
    name = _field(ctx, "user_name", "name")
    if name is None:
        return _ask(user_name=_form("What is your name?", NAME))
    return said(f"Hello, {name}!")


async def test_input_required_result_sampling(ctx: Ctx) -> Round:
    """Asks the client's model."""
    answer = _answer(ctx, "capital_question")
    if not isinstance(answer, types.CreateMessageResult):
        return _ask(capital_question=_sample("What is the capital of France?"))
    return said(_sampled(answer))


async def test_input_required_result_list_roots(ctx: Ctx) -> Round:
    """Asks for the client's roots."""
    answer = _answer(ctx, "client_roots")
    if not isinstance(answer, types.ListRootsResult):
        return _ask(client_roots=types.ListRootsRequest())
    return said("Roots: " + ", ".join(str(root.uri) for root in answer.roots))


async def test_input_required_result_request_state(ctx: Ctx) -> Round:
    """Gets its own state back."""
    if _answer(ctx, "confirm") is None or ctx.request_state != "asked":
        return _ask("asked", confirm=_form("Please confirm", {"ok": {"type": "boolean"}}))
    return said("state-ok")


async def test_input_required_result_tampered_state(ctx: Ctx) -> Round:
    """Gets its own state back, unless somebody changed it."""
    return await test_input_required_result_request_state(ctx)


async def test_input_required_result_multiple_inputs(ctx: Ctx) -> Round:
    """Asks three things at once."""
    names = ("user_name", "greeting", "client_roots")
    if any(_answer(ctx, name) is None for name in names):
        return _ask(
            "asked",
            user_name=_form("What is your name?", NAME),
            greeting=_sample("Generate a greeting", 50),
            client_roots=types.ListRootsRequest(),
        )
    return said(f"All three answered, {_field(ctx, 'user_name', 'name')}.")


async def test_input_required_result_multi_round(ctx: Ctx) -> Round:
    """Asks one thing, then another."""
    if ctx.request_state is None or ctx.input_responses is None:
        return _ask("step 1", step1=_form("Step 1: What is your name?", NAME))
    if ctx.request_state == "step 1":
        name = _field(ctx, "step1", "name")
        return _ask(f"step 2: {name}", step2=_form("Step 2: What is your favorite color?", {"color": TEXT}))
    return said(f"{ctx.request_state.removeprefix('step 2: ')} likes {_field(ctx, 'step2', 'color')}.")


async def test_input_required_result_capabilities(ctx: Ctx) -> Round:
    """Asks only what the client can answer."""
    able = ctx.client_capabilities
    requests: dict[str, types.InputRequest] = {}
    if able is not None and able.elicitation is not None:
        requests["user_name"] = _form("What is your name?", NAME)
    if able is not None and able.sampling is not None:
        requests["greeting"] = _sample("Generate a greeting", 50)
    return types.InputRequiredResult(input_requests=requests) if requests else said("There is nobody to ask.")


async def test_streaming_elicitation(ctx: Ctx) -> Round:
    """Says something on the way, and then asks."""
    await ctx.report_progress(1, 2)
    return await test_input_required_result_elicitation(ctx)


ROUNDS: tuple[Callable[..., Any], ...] = (
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_streaming_elicitation,
)


def add_prompt(server: SutroServer) -> None:
    """The prompt that asks."""

    @server.prompt(name="test_input_required_result_prompt", description="Asks for context")
    async def _prompt(ctx: Ctx) -> str | types.InputRequiredResult:
        context = _field(ctx, "user_context", "context")
        if context is None:
            return _ask(user_context=_form("What context should the prompt use?", {"context": TEXT}))
        return f"Use this context: {context}"

    _ = _prompt
