"""Rows of a large Parquet file out of few of its bytes, without decoding one of them.

The footer says where columns are, and page headers where rows are. The compressed pages that hold the rows
go, as they are, under a small footer of our own, and a full reader decodes that. Nothing here but the
standard library; no knowledge of HTTP, of polars or of what the columns mean.
"""

from .page_ranges import opening_ranges
from .parquet_errors import DamagedError, HostileError, UnsupportedError
from .parquet_file import ParquetFile, open_parquet
from .slice_files import RowSlice

__all__ = [
    "DamagedError",
    "HostileError",
    "ParquetFile",
    "RowSlice",
    "UnsupportedError",
    "open_parquet",
    "opening_ranges",
]
