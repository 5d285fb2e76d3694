"""The summary of a result: one pass over batches of its columns, in bounded memory.

Importing this package imports polars. It reads no files: whoever reads them feeds a `Summariser`.
"""

from .summariser import Summariser

__all__ = ["Summariser"]
