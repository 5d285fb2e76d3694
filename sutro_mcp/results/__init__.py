"""Turns a result artifact into pages and summaries. Knows nothing of HTTP or MCP.

Importing this package must not import polars: the server does, and there polars lives in the worker process.
`rows.typed_frame` is the exception, for library callers.
"""

from .cache import ArtifactStore, OnBytes
from .engine import ResultsEngine, results_engine
from .request_models import (
    Cell,
    ColumnSummary,
    CompareRequest,
    Comparison,
    ComparisonTable,
    Distribution,
    ExpectedResults,
    ExportFormat,
    ExportReport,
    ExportRequest,
    LocalArtifact,
    Page,
    PageRequest,
    QualityFlag,
    QueryRequest,
    QueryRows,
    Sample,
    Summary,
    SummaryRequest,
    TextNumbers,
    TopValue,
    Wrapping,
)
from .single_flight import OnProgress

__all__ = [
    "ArtifactStore",
    "Cell",
    "ColumnSummary",
    "CompareRequest",
    "Comparison",
    "ComparisonTable",
    "Distribution",
    "ExpectedResults",
    "ExportFormat",
    "ExportReport",
    "ExportRequest",
    "LocalArtifact",
    "OnBytes",
    "OnProgress",
    "Page",
    "PageRequest",
    "QualityFlag",
    "QueryRequest",
    "QueryRows",
    "ResultsEngine",
    "Sample",
    "Summary",
    "SummaryRequest",
    "TextNumbers",
    "TopValue",
    "Wrapping",
    "results_engine",
]
