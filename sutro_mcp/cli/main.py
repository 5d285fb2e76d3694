"""The `sutro-mcp` command. Only this package reads the environment.

Imports are made where they are needed: `--version` and `--help` answer before anything heavy loads, and the
emulator never loads in a server that does not serve it.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from sutro_mcp import console
from sutro_mcp.console import tell
from sutro_mcp.errors import SutroError

from .arguments import build_parser

_FLAGS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code, which a shell reads as that of any other command."""
    console.reserve_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _FLAGS):
        arguments.insert(0, "serve")
    try:
        options = build_parser().parse_args(arguments)
        module, _, name = options.run.partition(":")
        return int(getattr(import_module(f"sutro_mcp.cli.{module}"), name)(options))
    except SutroError as error:
        tell(str(error))
        return 1
    except console.OutputLostError as error:
        return console.give_up_stdout(error)
    except KeyboardInterrupt:
        return 130
