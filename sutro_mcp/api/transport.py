"""The one kind of HTTP transport there is: no proxy from the environment, and no socket left behind."""

import ssl
from typing import Any

import anyio
import httpx


class Transport(httpx.AsyncHTTPTransport):
    """Closes the socket also when a TLS handshake is cancelled, by a deadline or by who asked.

    httpcore 1.0.9 closes it when the handshake fails. Cancelled, it would stay open until the other side
    closes it, and one that keeps silent never does.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        connected: Any = None
        in_handshake = False

        async def trace(event: str, info: dict[str, Any]) -> None:
            nonlocal connected, in_handshake
            match event:
                case "connection.connect_tcp.complete":
                    connected = info["return_value"]
                case "connection.start_tls.started":
                    in_handshake = True
                case "connection.start_tls.complete":
                    in_handshake = False
                case _:
                    pass

        request.extensions["trace"] = trace
        try:
            return await super().handle_async_request(request)
        except BaseException:
            if in_handshake:
                with anyio.CancelScope(shield=True):
                    await connected.aclose()
            raise
        finally:
            # Reading the body makes an event of each part.
            del request.extensions["trace"]
