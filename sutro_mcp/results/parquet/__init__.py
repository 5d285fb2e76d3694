"""Rows of a large Parquet file out of few of its bytes, without decoding one of them.

The footer says where columns are, and page headers where rows are. The compressed pages that hold the rows
go, as they are, under a small footer of our own, and a full reader decodes that. Nothing here but the
standard library; no knowledge of HTTP, of polars or of what the columns mean.
"""

from sutro_mcp.results.cache.byte_ranges import ByteRange

from .damage import DamagedError, UnsupportedError
from .file import TAIL, ParquetFile, open_parquet
from .page_search import HEAD
from .request_rounds import Bytes
from .row_slices import Run

__all__ = [
    "HEAD",
    "TAIL",
    "ByteRange",
    "Bytes",
    "DamagedError",
    "ParquetFile",
    "Run",
    "UnsupportedError",
    "open_parquet",
]
