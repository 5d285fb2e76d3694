"""Traces: spans reach the exporter without a word of a caller's or of an error."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from sutro_mcp.server.operations.traces import Redacting


def test_a_span_says_what_was_called_and_that_it_failed() -> None:
    """Not what the error quoted, and of a long name of a caller's only the beginning."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Redacting(kept)))
    with provider.get_tracer("test").start_as_current_span("tools/call " + "n" * 500) as span:
        span.set_attributes(
            {"mcp.method.name": "tools/call", "error.type": "Bearer", "gen_ai.tool.name": "n" * 500}
        )
        span.record_exception(ValueError("canary"))
        span.set_status(Status(StatusCode.ERROR, "canary"))
    assert provider.force_flush()
    (found,) = kept.get_finished_spans()
    assert found.attributes is not None
    assert (len(found.name), len(str(found.attributes["gen_ai.tool.name"]))) == (100, 100)
    assert found.attributes["mcp.method.name"] == "tools/call"
    assert (found.status.status_code, found.status.description, found.events) == (StatusCode.ERROR, None, ())
    assert "canary" not in found.to_json()
    provider.shutdown()
