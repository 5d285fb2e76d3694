"""Rows of a large Parquet file out of few of its bytes, without decoding one of them.

The footer says where columns are, and page headers where rows are. The compressed pages that hold the rows
go, as they are, under a small footer of our own, and a full reader decodes that. Nothing here but the
standard library; no knowledge of HTTP, of polars or of what the columns mean.
"""

from sutro_mcp.results._spans import Span

from ._errors import DamagedError, UnsupportedError
from ._file import TAIL, ParquetFile, open_parquet
from ._rounds import Bytes
from ._runs import Run
from ._search import HEAD

__all__ = [
    "HEAD",
    "TAIL",
    "Bytes",
    "DamagedError",
    "ParquetFile",
    "Run",
    "Span",
    "UnsupportedError",
    "open_parquet",
]
