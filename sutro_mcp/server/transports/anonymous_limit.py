"""How often one address may be refused for want of credentials: then it hears when to come back.

Only refusals count, and only they are replaced: behind one address there may be callers whose credentials are
good. The address is that of the connection, or what a proxy that is trusted says it is.
"""

import math
from collections import Counter

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sutro_mcp.server.protocol.rate_limit import LocalRates, Rate


class AnonymousLimit:
    """An ASGI app that turns refusals (401) of `app` into 429 where there are too many from one address."""

    def __init__(self, app: ASGIApp, rate: Rate, seen: LocalRates) -> None:
        self._app = app
        self._rate = rate
        self._seen = seen
        self.refused = Counter[str]()
        """How many refusals were too many."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = (scope.get("client") or ("",))[0]
        is_too_many = False

        async def pass_on(message: Message) -> None:
            nonlocal is_too_many
            if message["type"] == "http.response.start" and message["status"] == 401:
                seconds = math.ceil(self._seen.take_now(peer, self._rate))
                if seconds > 0:
                    is_too_many = True
                    self.refused["anonymous"] += 1
                    headers = {"Retry-After": str(seconds)}
                    await PlainTextResponse("Too many refusals.\n", 429, headers)(scope, receive, send)
            if not is_too_many:
                await send(message)

        await self._app(scope, receive, pass_on)
