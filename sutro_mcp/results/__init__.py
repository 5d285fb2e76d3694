"""Turns a result artifact into pages and summaries. Knows nothing of HTTP or MCP.

Importing this package must not import polars: the server does, and there polars lives in the worker process.
`frames` is the exception, for library callers.
"""

from .cache import ArtifactSource, ArtifactStore, FetchedArtifact, Progress, Variant
from .engine import ResultsEngine, results_engine
from .request_models import (
    ArtifactRef,
    Cell,
    ColumnSummary,
    Distribution,
    ExportFormat,
    ExportReport,
    Page,
    Promise,
    Sample,
    Summary,
    Suspicion,
    TopValue,
)
from .single_flight import OnProgress

__all__ = [
    "ArtifactRef",
    "ArtifactSource",
    "ArtifactStore",
    "Cell",
    "ColumnSummary",
    "Distribution",
    "ExportFormat",
    "ExportReport",
    "FetchedArtifact",
    "OnProgress",
    "Page",
    "Progress",
    "Promise",
    "ResultsEngine",
    "Sample",
    "Summary",
    "Suspicion",
    "TopValue",
    "Variant",
    "results_engine",
]
