"""A model on loopback that asks for the calls of a script, one a turn, and keeps the results it is shown.

It has no state: the number of tool results in a request says which call is next, so that a client may repeat
a request, or hold side conversations (titles, summaries), which offer no tools.
"""

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .calls import Call
from .model_apis import Offer, Turn, api_of


@dataclass
class ScriptedModel:
    """The script, and what a client has sent so far: `offered` names of tools, `shown` tool results."""

    calls: Sequence[Call]
    address: str = ""
    offered: set[str] = field(default_factory=set[str])
    shown: list[str] = field(default_factory=list[str])
    requests: list[Any] = field(default_factory=list[Any])

    def turn(self, offers: Sequence[Offer], shown: Sequence[str]) -> Turn:
        """The next call, or the last words: when the script has ended or its tool is not offered."""
        self.offered |= {offer.name for offer in offers}
        if len(shown) > len(self.shown):
            self.shown = list(shown)
        if not offers or len(shown) >= len(self.calls):
            return Turn(len(shown))
        call = self.calls[len(shown)]
        offer = next((offer for offer in offers if offer.name.endswith(call.tool)), None)
        return Turn(len(shown), offer, call.arguments) if offer else Turn(len(shown))


@contextmanager
def serving(model: ScriptedModel) -> Generator[None]:
    """Serve it at `model.address` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            listed = [{"id": "scripted", "object": "model", "created": 0, "owned_by": "loopback"}]
            self._send("application/json", json.dumps({"object": "list", "data": listed}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
            model.requests.append({"path": self.path, "body": body})
            api = api_of(self.path)
            if api is None:  # a count of tokens, or a report of usage
                self._send("application/json", json.dumps({"totalTokens": 1, "input_tokens": 1}))
                return
            turn = model.turn(api.offers(body), api.shown(body))
            if body.get("stream") or "streamGenerateContent" in self.path:
                self._send("text/event-stream", api.stream(turn))
            else:
                self._send("application/json", json.dumps(api.reply(turn)))

        def _send(self, kind: str, text: str) -> None:
            data = text.encode()
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Write nothing: the record says what happened."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def keep(model: ScriptedModel, path: Path) -> None:
    """Write everything that the client sent, to be read where a run went wrong."""
    path.write_text(json.dumps(model.requests, indent=1), "utf-8")
