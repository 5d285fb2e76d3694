"""The log as JSON, an object a line, for collectors that search it by field (SUTRO_MCP_LOG_FORMAT=json)."""

import json
import logging
from datetime import UTC, datetime

from opentelemetry import trace

from sutro_mcp.redaction import redact_line
from sutro_mcp.server.context import current_principal


class JsonFormatter(logging.Formatter):
    """Every value is redacted, and tells for whom and in which trace the server worked."""

    def format(self, record: logging.LogRecord) -> str:
        span = trace.get_current_span().get_span_context()
        values: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage(),
            "principal": current_principal().label,
            "trace_id": trace.format_trace_id(span.trace_id) if span.is_valid else None,
            **(call() if (call := getattr(record, "call", None)) else {}),
        }
        if record.exc_info:
            values["error"] = self.formatException(record.exc_info)
        return json.dumps(
            {
                name: redact_line(value) if isinstance(value, str) else value
                for name, value in values.items()
                if value is not None
            }
        )
