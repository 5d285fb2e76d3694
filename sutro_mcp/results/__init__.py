"""Turns a result artifact into pages and summaries. Knows nothing of HTTP or MCP.

Importing this package must not import polars: the server does, and there polars lives in the worker process.
`frames` is the exception, for library callers.
"""

from ._engine import ResultsEngine, results_engine
from ._flights import OnProgress
from ._models import (
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
from .store import ArtifactSource, ArtifactStore, FetchedArtifact, Progress, Variant

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
