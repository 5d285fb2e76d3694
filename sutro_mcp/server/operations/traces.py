"""Traces to an OpenTelemetry collector: spans that the SDK makes of each request, if anybody asks for them.

Where to is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT); without it nothing is loaded.
A span has methods, tools and error codes, no arguments; the words of an error are left out: they may quote
a caller.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from sutro_mcp.redaction import redact_line
from sutro_mcp.untrusted_text import shorten

_MOST_CHARS = 100


class Redacting(SpanExporter):
    """Passes spans on without the words of errors and without events, which quote them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_without_words(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _without_words(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=_brief(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: _brief(value) for name, value in (span.attributes or {}).items()},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _brief(value: Any) -> Any:
    return shorten(redact_line(value), _MOST_CHARS)[0] if isinstance(value, str) else value


def export_traces() -> TracerProvider:
    """Send the spans of this process to where the variables say. Shut it down to send the last ones."""
    resource = Resource.create({"service.name": "sutro-mcp", "service.version": version("sutro-mcp")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(Redacting(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    return provider
