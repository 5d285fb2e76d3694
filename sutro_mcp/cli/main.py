"""The `sutro-mcp` command. Only this package reads the environment.

Imports are made where they are needed: `--version` and `--help` answer before anything heavy loads, and the
emulator never loads in a server that does not serve it.
"""

import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module

from sutro_mcp import console
from sutro_mcp.console import tell
from sutro_mcp.errors import SutroError

from .arguments import UsageError, build_parser

_FLAGS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code, which a shell reads as that of any other command."""
    console.reserve_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _FLAGS):
        arguments.insert(0, "serve")
    try:
        return _run(arguments)
    except console.OutputLostError as error:
        return console.give_up_stdout(error)
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str]) -> int:
    try:
        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:
            from .shell_completion import complete

            complete(parser)
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            command = f"{parser.prog} {arguments[0]}"
            raise UsageError(
                f"it takes no {' '.join(unknown)}; `{command} --help` lists what it takes", command
            )
        module, _, name = options.run.partition(":")
        return int(getattr(import_module(f"sutro_mcp.cli.{module}"), name)(options))
    except SutroError as error:
        from sutro_mcp.library.error_words import for_a_terminal

        message, hint = error.failure, f"{error.next_step}."
        message, hint = for_a_terminal(message), for_a_terminal(hint)
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()
        tell(f"{message} {hint}")
    except UsageError as error:
        message, hint, kind = str(error), f"`{error.command} --help` shows what fits.", "usage"
        tell(f"{error.usage}{error.command}: {message}")
    if "--json" in arguments:
        from .rendering import show_json

        show_json({"error": {"message": message, "hint": hint, "kind": kind}})
    return 2 if kind == "usage" else 1
