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

# Errors name the tool to call next. Here it is a command.
_COMMANDS = {
    "list_jobs": "`sutro-mcp jobs`",
    "get_job": "`sutro-mcp job`",
    "get_job_status": "`sutro-mcp job`",
    "wait_for_job": "`sutro-mcp job`",
    "get_job_results": "`sutro-mcp results`",
    "query_job_results": "`sutro-mcp results --sql`",
    "cancel_job": "`sutro-mcp cancel`",
}
_FLAGS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code, which a shell reads as that of any other command."""
    console.reserve_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _FLAGS):
        arguments.insert(0, "serve")
    try:
        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:
            from .shell_completion import complete

            complete(parser)
        options = parser.parse_args(arguments)
        module, _, name = options.run.partition(":")
        return int(getattr(import_module(f"sutro_mcp.cli.{module}"), name)(options))
    except SutroError as error:
        tell(_for_people(str(error)))
        return 1
    except UsageError as error:
        tell(f"sutro-mcp: {error}")
        return 2
    except console.OutputLostError as error:
        return console.give_up_stdout(error)
    except KeyboardInterrupt:
        return 130


def _for_people(message: str) -> str:
    return re.sub(r"[a-z]+(?:_[a-z]+)+", lambda tool: _COMMANDS.get(tool[0], tool[0]), message)
