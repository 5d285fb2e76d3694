"""The wire formats in which clients talk to a model: what a request holds, and how a turn is written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

JSON = dict[str, Any]

MODEL = "scripted"
LAST_WORDS = "All calls are made."


@dataclass(frozen=True)
class Offer:
    """A tool that the client offers; `space` is its namespace, where the format has one."""

    name: str
    space: str | None = None


@dataclass(frozen=True)
class Turn:
    """A call of an offered tool, or without one the last words. `number` makes its id."""

    number: int
    offer: Offer | None = None
    arguments: JSON = field(default_factory=JSON)

    @property
    def id(self) -> str:
        return f"call_{self.number}"


class API(Protocol):
    """One format. `shown` gives the tool results of the conversation, each as the text the model reads."""

    def offers(self, body: Any) -> list[Offer]: ...
    def shown(self, body: Any) -> list[str]: ...
    def reply(self, turn: Turn) -> JSON: ...
    def stream(self, turn: Turn) -> str: ...


def api_of(path: str) -> API | None:
    """The format that is spoken at a path."""
    path = path.partition("?")[0]
    for end, api in _APIS.items():
        if path.endswith(end):
            return api
    return None


def _all(value: Any) -> list[Any]:
    """The items of a list that may be absent; a text has none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def flat(content: Any) -> str:
    """Content as one text: blocks of text one after the other, anything else as JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(flat(block) for block in _all(content))
    if isinstance(content, dict) and "text" in content:
        return str(cast("JSON", content)["text"])
    return json.dumps(content, ensure_ascii=False)


def _events(events: Sequence[Any], *, named: bool = False) -> str:
    lines = [
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events
    ]
    return "".join(lines)


class _Chat:
    """OpenAI's chat completions, which most servers of models speak."""

    def offers(self, body: Any) -> list[Offer]:
        return [Offer(tool["function"]["name"]) for tool in _all(body.get("tools"))]

    def shown(self, body: Any) -> list[str]:
        return [flat(message["content"]) for message in body["messages"] if message["role"] == "tool"]

    def _message(self, turn: Turn) -> JSON:
        if turn.offer is None:
            return {"role": "assistant", "content": LAST_WORDS}
        function = {"name": turn.offer.name, "arguments": json.dumps(turn.arguments)}
        call = {"index": 0, "id": turn.id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def _body(self, kind: str, choice: JSON) -> JSON:
        head = {"id": "chat-1", "object": kind, "created": 1, "model": MODEL}
        return {**head, "choices": [{"index": 0, **choice}]}

    def _reason(self, turn: Turn) -> str:
        return "tool_calls" if turn.offer else "stop"

    def reply(self, turn: Turn) -> JSON:
        choice = {"message": self._message(turn), "finish_reason": self._reason(turn)}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {**self._body("chat.completion", choice), "usage": usage}

    def stream(self, turn: Turn) -> str:
        kind = "chat.completion.chunk"
        said = self._body(kind, {"delta": self._message(turn), "finish_reason": None})
        end = self._body(kind, {"delta": {}, "finish_reason": self._reason(turn)})
        return _events([said, end]) + "data: [DONE]\n\n"


class _Responses:
    """OpenAI's responses."""

    def offers(self, body: Any) -> list[Offer]:
        found: list[Offer] = []
        for tool in _all(body.get("tools")):
            if tool["type"] == "function":
                found.append(Offer(tool["name"]))
            elif tool["type"] == "namespace":
                found += [Offer(inner["name"], tool["name"]) for inner in _all(tool["tools"])]
        return found

    def shown(self, body: Any) -> list[str]:
        return [
            flat(item["output"]) for item in _all(body["input"]) if item.get("type") == "function_call_output"
        ]

    def _item(self, turn: Turn) -> JSON:
        if turn.offer is None:
            words: JSON = {"type": "output_text", "text": LAST_WORDS, "annotations": []}
            return {
                "type": "message",
                "id": "m1",
                "role": "assistant",
                "status": "completed",
                "content": [words],
            }
        call = {"type": "function_call", "id": f"f{turn.number}", "call_id": turn.id, "status": "completed"}
        space = {"namespace": turn.offer.space} if turn.offer.space else {}
        return {**call, **space, "name": turn.offer.name, "arguments": json.dumps(turn.arguments)}

    def reply(self, turn: Turn) -> JSON:
        usage = {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2,
        }
        fixed: JSON = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
        head = {"id": f"r{turn.number}", "object": "response", "created_at": 1, "status": "completed"}
        return {**head, **fixed, "model": MODEL, "output": [self._item(turn)], "usage": usage}

    def stream(self, turn: Turn) -> str:
        whole, item = self.reply(turn), self._item(turn)
        begun: JSON = {**whole, "status": "in_progress", "output": [], "usage": None}
        events: list[JSON] = [
            {"type": "response.created", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        return _events([{**event, "sequence_number": at} for at, event in enumerate(events)], named=True)


class _Messages:
    """Anthropic's messages."""

    def offers(self, body: Any) -> list[Offer]:
        return [Offer(tool["name"]) for tool in _all(body.get("tools"))]

    def shown(self, body: Any) -> list[str]:
        blocks = [
            block
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        return [flat(block.get("content")) for block in blocks if block["type"] == "tool_result"]

    def _block(self, turn: Turn) -> JSON:
        if turn.offer is None:
            return {"type": "text", "text": LAST_WORDS}
        return {
            "type": "tool_use",
            "id": f"toolu_{turn.number}",
            "name": turn.offer.name,
            "input": turn.arguments,
        }

    def _reason(self, turn: Turn) -> str:
        return "tool_use" if turn.offer else "end_turn"

    def reply(self, turn: Turn) -> JSON:
        head = {"id": f"msg_{turn.number}", "type": "message", "role": "assistant", "model": MODEL}
        end = {"stop_reason": self._reason(turn), "stop_sequence": None}
        return {
            **head,
            **end,
            "content": [self._block(turn)],
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }

    def stream(self, turn: Turn) -> str:
        whole, block = self.reply(turn), self._block(turn)
        if turn.offer is None:
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": LAST_WORDS}
        else:
            empty = block | {"input": JSON()}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(turn.arguments)}
        end = {"stop_reason": self._reason(turn), "stop_sequence": None}
        begun: JSON = {**whole, "content": [], "stop_reason": None}
        events: list[JSON] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]
        return _events(events, named=True)


class _Gemini:
    """Google's generateContent."""

    def offers(self, body: Any) -> list[Offer]:
        return [
            Offer(one["name"])
            for tool in _all(body.get("tools"))
            for one in _all(tool.get("functionDeclarations"))
        ]

    def shown(self, body: Any) -> list[str]:
        parts = [part for content in body["contents"] for part in _all(content.get("parts"))]
        return [
            json.dumps(part["functionResponse"], ensure_ascii=False)
            for part in parts
            if "functionResponse" in part
        ]

    def reply(self, turn: Turn) -> JSON:
        part: JSON = {"text": LAST_WORDS}
        if turn.offer:
            part = {"functionCall": {"name": turn.offer.name, "args": turn.arguments}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL}

    def stream(self, turn: Turn) -> str:
        return _events([self.reply(turn)])


_APIS: dict[str, API] = {
    "/chat/completions": _Chat(),
    "/responses": _Responses(),
    "/messages": _Messages(),
    ":generateContent": _Gemini(),
    ":streamGenerateContent": _Gemini(),
}
