"""The work a worker process can do, by name. Importing this module imports polars."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from sutro_mcp.results.export.export import make_export
from sutro_mcp.results.rows.page import make_page
from sutro_mcp.results.summary.summariser import make_summary
from sutro_mcp.results.worker.protocol import Channel

from .request_models import ExportRequest, PageRequest, SummaryRequest


def _page(raw: Any, channel: Channel) -> BaseModel:
    return make_page(PageRequest.model_validate(raw), channel)


def _summary(raw: Any, channel: Channel) -> BaseModel:
    return make_summary(SummaryRequest.model_validate(raw), channel)


def _export(raw: Any, channel: Channel) -> BaseModel:
    return make_export(ExportRequest.model_validate(raw), channel)


TASKS: dict[str, Callable[[Any, Channel], BaseModel]] = {
    "page": _page,
    "summary": _summary,
    "export": _export,
}
