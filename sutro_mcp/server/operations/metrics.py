"""What Prometheus is told of this process. Labels come from closed lists: callers cannot make a new series.

No principal, no job and no address is a label. The names of the calls' durations are those of OpenTelemetry's
conventions for MCP, as its exporter for Prometheus spells them.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import CallToolResult
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from sutro_mcp.api.http_client import observers
from sutro_mcp.server.protocol.mcp_server import SutroServer

Request = ServerRequestContext[Any, Any]

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_VERSIONS = frozenset((*MODERN_PROTOCOL_VERSIONS, *HANDSHAKE_PROTOCOL_VERSIONS))
# Of JSON-RPC, then of MCP.
_CODES = frozenset((-32700, -32600, -32601, -32602, -32603, *range(-32099, -31999), -32800))
OTHER = "other"


class Metrics:
    """The figures of one server process, counted as they happen or read when the page is asked for."""

    def __init__(self, server: SutroServer) -> None:
        """Measures `server` from now on."""
        self._serves = server.serves
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        build = self._gauge("sutro_mcp_build_info", "The version that runs.", "version")
        build.labels(version("sutro-mcp")).set(1)
        labels = ("mcp_method_name", "gen_ai_tool_name", "error_type", "mcp_protocol_version")
        self._calls = Histogram(
            "mcp_server_operation_duration_seconds",
            "How long requests took, as this server saw them.",
            (*labels, "network_transport"),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._upstream = Histogram(
            "sutro_mcp_upstream_duration_seconds",
            "Seconds until Sutro's deployment began to answer a request.",
            ("endpoint",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._upstream_requests = self._counter(
            "sutro_mcp_upstream_requests", "Requests sent to Sutro's deployment.", "endpoint", "status_class"
        )

        server.middleware.insert(0, self._measure)
        observers.append(self._count_upstream)

    def page(self) -> tuple[bytes, str]:
        """The text, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    async def _measure(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """Time a request: a middleware."""
        if ctx.request_id is None:
            return await call_next(ctx)
        began = time.perf_counter()
        error = "cancelled"
        try:
            result = await call_next(ctx)
            error = "tool_error" if _is_tool_error(result) else ""
        except MCPError as failure:
            error = str(failure.error.code) if failure.error.code in _CODES else OTHER
            raise
        except anyio.get_cancelled_exc_class():
            raise
        except Exception:
            error = "-32602"  # arguments that the SDK cannot read
            raise
        finally:
            tool = (ctx.params or {}).get("name") if ctx.method == "tools/call" else None
            self._calls.labels(
                ctx.method if self._serves(ctx.method) else OTHER,
                "" if tool is None else tool if self._serves(ctx.method, tool) else OTHER,
                error,
                ctx.protocol_version if ctx.protocol_version in _VERSIONS else OTHER,
                "tcp",
            ).observe(time.perf_counter() - began)
        return result

    def _count_upstream(self, endpoint: str, status: int | None, seconds: float) -> None:
        """Count a request to the deployment; `status` is None where no answer began."""
        self._upstream.labels(endpoint).observe(seconds)
        kind = "none" if status is None else f"{status // 100}xx"
        self._upstream_requests.labels(endpoint, kind).inc()

    def read(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Have a gauge that is read whenever the page is asked for."""
        self._gauge(name, help_text).set_function(value)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self._registry)


def _is_tool_error(result: HandlerResult) -> bool:
    if isinstance(result, CallToolResult):
        return bool(result.is_error)
    return isinstance(result, dict) and result.get("isError") is True
