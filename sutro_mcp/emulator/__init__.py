"""The Sutro API at the wire, in memory: for tests, for the demo, and for other clients through `serve`.

Shares no model with the rest of the package, or one wrong belief about the API would pass every test.
"""

from .api_errors import ConnectionDroppedError
from .api_variants import LEGACY, ApiVariant
from .app import DEMO_KEY, Emulator, SeenRequest
from .faults import Fault
from .job_pace import Pace
from .serve import serve, serve_in_thread
from .stored_job import ParquetLayout

__all__ = [
    "DEMO_KEY",
    "LEGACY",
    "ApiVariant",
    "ConnectionDroppedError",
    "Emulator",
    "Fault",
    "Pace",
    "ParquetLayout",
    "SeenRequest",
    "serve",
    "serve_in_thread",
]
