"""Turns a result artifact into pages and summaries. Knows nothing of HTTP or MCP.

Importing this package must not import polars: the server does, and polars lives in the worker process.
"""

from ._engine import ResultsEngine, results_engine
from ._models import Cell, ColumnSummary, Distribution, Page, Sample, Summary, Suspicion, TopValue
from ._store import ArtifactSource, FetchedArtifact, Progress, Variant

__all__ = [
    "ArtifactSource",
    "Cell",
    "ColumnSummary",
    "Distribution",
    "FetchedArtifact",
    "Page",
    "Progress",
    "ResultsEngine",
    "Sample",
    "Summary",
    "Suspicion",
    "TopValue",
    "Variant",
    "results_engine",
]
