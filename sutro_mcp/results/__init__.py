"""Turns a result artifact into pages and summaries. Knows nothing of HTTP or MCP.

Importing this package imports its models alone, so that each process takes no more than it needs.
"""

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

__all__ = [
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
    "Page",
    "PageRequest",
    "QualityFlag",
    "QueryRequest",
    "QueryRows",
    "Sample",
    "Summary",
    "SummaryRequest",
    "TextNumbers",
    "TopValue",
    "Wrapping",
]
