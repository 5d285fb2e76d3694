"""The Sutro API at the wire, in memory: for tests, for the demo, and for other clients through `serve`.

Shares no model with the rest of the package, or one wrong belief about the API would pass every test.
"""

from ._app import DEMO_KEY, Emulator, SeenRequest
from ._errors import ConnectionDroppedError
from ._faults import Fault, FaultScript
from ._jobs import ParquetLayout
from ._progress import Pace
from ._reading import LEGACY, Reading
from ._serve import serve, serve_in_thread

__all__ = [
    "DEMO_KEY",
    "LEGACY",
    "ConnectionDroppedError",
    "Emulator",
    "Fault",
    "FaultScript",
    "Pace",
    "ParquetLayout",
    "Reading",
    "SeenRequest",
    "serve",
    "serve_in_thread",
]
