"""The work a worker process can do, by name. Importing this module imports polars."""

from collections.abc import Callable

from pydantic import BaseModel

from ._export import make_export
from ._models import ExportRequest, PageRequest, SummaryRequest
from ._page import make_page
from ._summary import make_summary


def _page(raw: str) -> BaseModel:
    return make_page(PageRequest.model_validate_json(raw))


def _summary(raw: str) -> BaseModel:
    return make_summary(SummaryRequest.model_validate_json(raw))


def _export(raw: str) -> BaseModel:
    return make_export(ExportRequest.model_validate_json(raw))


TASKS: dict[str, Callable[[str], BaseModel]] = {"page": _page, "summary": _summary, "export": _export}
