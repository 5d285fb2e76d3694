"""What Prometheus is told of this process. Labels come from closed lists: callers cannot make a new series.

No principal, no job and no address is a label. The names of the calls' durations are those of OpenTelemetry's
conventions for MCP, as its exporter for Prometheus spells them.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import CallToolResult
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from prometheus_client import CollectorRegistry, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client import Counter as Counting
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from sutro_mcp.api import ApiKey
from sutro_mcp.api.http_client import observers
from sutro_mcp.server.protocol.mcp_server import SutroServer

Request = ServerRequestContext[Any, Any]

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_VERSIONS = frozenset((*MODERN_PROTOCOL_VERSIONS, *HANDSHAKE_PROTOCOL_VERSIONS))
# Of JSON-RPC, then of MCP.
_CODES = frozenset((-32700, -32600, -32601, -32602, -32603, *range(-32099, -31999), -32800))
OTHER = "other"
LISTEN = "subscriptions/listen"
# In the audit log.
_REFUSALS = ("caller_refused", "scope_refused")


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

        self._registry.register(_Read(server))
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

    def _count_upstream(self, endpoint: str, status: int | None, seconds: float, _key: ApiKey) -> None:
        """Count a request to the deployment; `status` is None where no answer began."""
        self._upstream.labels(endpoint).observe(seconds)
        kind = "none" if status is None else f"{status // 100}xx"
        self._upstream_requests.labels(endpoint, kind).inc()

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counting:
        return Counting(name, help_text, labels, registry=self._registry)


class _Read(Collector):
    """The figures that the parts of a server keep themselves."""

    def __init__(self, server: SutroServer) -> None:
        self._server = server

    def describe(self) -> list[Metric]:
        """None: they are not known before there is a page."""
        return []

    def collect(self) -> Iterator[Metric]:
        server = self._server
        limits = {
            "call": server.calls,
            "wait": server.limits.get("wait_for_job"),
            "listen": server.limits.get(LISTEN),
        }
        in_flight = GaugeMetricFamily("sutro_mcp_inflight", "Requests at work, by kind.", labels=["kind"])
        refused = CounterMetricFamily(
            "sutro_mcp_queue_full",
            "Calls that were told to come back, as too many were at work.",
            labels=["kind"],
        )
        for kind, limit in limits.items():
            if limit is not None:
                in_flight.add_metric([kind], limit.running)
                refused.add_metric([kind], limit.refused)
        yield from (in_flight, refused)
        cancels, failures = Counter[str](), Counter[str]()
        if server.audit is not None:
            for (event, outcome), count in server.audit.counts.items():
                if event == "cancel_job":
                    cancels[outcome] += count
                elif event in _REFUSALS:
                    failures[outcome] += count
        yield _counted("auth_failures", "Callers and calls that were refused.", "reason", failures)
        yield _counted("cancels", "Steps of cancellations.", "outcome", cancels)
        if server.leases is not None:
            yield _read("redis_up", "Whether Redis answered when it was last asked.", server.leases.is_up)
            yield _read("watch_leader", "Jobs that this replica reads for all.", server.leases.held)
        if server.keys_age is not None and (age := server.keys_age()) is not None:
            yield _read("jwks_age_seconds", "Seconds since the issuer's keys were fetched.", age)
        if server.rates is not None:
            yield _counted("rate_limited", "Calls that came too often.", "class", server.rates.refused)
        if app := server.app:
            ends = app.results.worker_ends
            yield _counted("worker_restarts", "Processes that ended in the middle of a task.", "reason", ends)
            yield _read("cache_bytes", "Disk that results take.", app.results.store.bytes)
            everyone = list(app.everyone())
            yield _read(
                "watched_jobs", "Jobs whose status is read.", sum(len(each.watcher) for each in everyone)
            )
            yield _read("tenants", "Sutro keys in use.", len(everyone) - 1)


def _read(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sutro_mcp_{name}", help_text, value=value)


def _counted(name: str, help_text: str, label: str, counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(f"sutro_mcp_{name}", help_text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _is_tool_error(result: HandlerResult) -> bool:
    if isinstance(result, CallToolResult):
        return bool(result.is_error)
    return isinstance(result, dict) and result.get("isError") is True
