"""`sutro-mcp serve`: the server, in the order that lets it answer soonest."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sutro_mcp.console import tell
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.redaction import guard_process
from sutro_mcp.server.transports.early_answers import EarlyAnswers, recording_path

from .demo_commands import announced, emulator_process

if TYPE_CHECKING:
    import logging

    from sutro_mcp.api import ApiClient, Connection


def serve(options: argparse.Namespace) -> int:
    """Serve until the host leaves."""
    # Asked for before the imports, which take long enough for a parent to die.
    parent = os.getppid()
    # What imports make stays, so looking for garbage among it is a tenth of the start for nothing.
    gc.disable()
    flags = {name: value for name, value in vars(options).items() if name != "run"}
    early = EarlyAnswers(recording_path(flags, os.environ))
    if early.has_answers:
        _require_streams()
        early.start()

    from sutro_mcp.settings import load_settings

    settings = load_settings(os.environ, **flags)
    if settings.transport == "stdio" and not early.has_answers:
        _require_streams()
    guard_process(settings.log_level, _log_formatter(settings.log_format))
    with ExitStack() as stack:
        # Started first, so that it comes up while the server is being imported.
        emulator = stack.enter_context(emulator_process()) if settings.demo else None

        from sutro_mcp.concurrency import ungrouped
        from sutro_mcp.results.worker.memory_shares import memory_shares
        from sutro_mcp.server.build import build_server

        memory_shares()  # A container that is too small is told now, and not when a result is read.

        demo = announced(emulator) if emulator else (None, None)
        key_of = None
        if settings.for_a_team:
            from sutro_mcp.server.access.sutro_keys import SutroKeys

            key_of = SutroKeys(settings, lambda: _connection(*demo))
        server = build_server(settings, lambda: _connect(*demo), key_of=key_of)
        gc.freeze()
        gc.enable()
        if settings.transport == "http":
            if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
                stack.callback(_export_traces())
            from sutro_mcp.server.transports.streamable_http import run_http

            return run_http(server, settings, tell if settings.log_format == "text" else _tell_in_log)
        from sutro_mcp.server.transports.stdio import run_stdio

        try:
            with ungrouped():
                return run_stdio(server, parent, early)
        except OSError as error:
            tell(f"stdin or stdout failed: {error.strerror}.")
            return 1


def _export_traces() -> Callable[[], None]:
    """Send traces from now on; what sends the last ones."""
    try:
        from sutro_mcp.server.operations.traces import export_traces
    except ImportError:
        tell("OTEL_EXPORTER_OTLP_ENDPOINT is set, and there are no traces: install sutro-mcp[telemetry].")
        return lambda: None
    return export_traces().shutdown


def _log_formatter(name: str) -> "logging.Formatter | None":
    if name == "text":
        return None
    from sutro_mcp.server.operations.json_log import JsonFormatter

    return JsonFormatter()


def _tell_in_log(text: str) -> None:
    """Say `text` to people who read a log, whatever its level."""
    import logging

    started = logging.getLogger("sutro_mcp.start")
    started.setLevel(logging.INFO)
    started.info(text)


def _require_streams() -> None:
    for name in ("stdin", "stdout"):
        if getattr(sys, name) is None:
            raise ConfigurationError(
                "serve MCP over stdio",
                f"{name} is closed",
                "Let an MCP host start the server, or serve HTTP (--transport http)",
            )
    if sys.stdin.isatty():
        tell("Waiting for an MCP client on stdin; hosts start this themselves (see `sutro-mcp config`).")


def _connect(url: str | None, key: str | None) -> "ApiClient":
    from sutro_mcp.api import ApiClient

    return ApiClient(_connection(url, key))


def _connection(url: str | None, key: str | None) -> "Connection":
    from sutro_mcp.api import resolve_connection

    return resolve_connection(url, key)
