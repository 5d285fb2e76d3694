"""Our words for their reader: tools and arguments become methods, or commands and options.

Errors and notes are written for an assistant, which calls tools. A program has methods in their place, and a
person at a terminal commands. What stands in quotes is kept, as it is the text of others.
"""

import re
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager
from functools import wraps
from inspect import getmembers, isasyncgenfunction, iscoroutinefunction
from typing import Any, TypeVar

from sutro_mcp.errors import SutroError

T = TypeVar("T")
Rules = Sequence[tuple[str, "str | Callable[[re.Match[str]], str]"]]

_KEPT = re.compile(r'("[^"]*"|`[^`]*`)')
_METHODS = {
    "query_job_results": "query",
    "compare_job_results": "compare",
    "export_job_results": "export",
    "wait_for_job": "wait",
}
_COMMANDS = {
    "list_jobs": "jobs",
    "summarize_jobs": "totals",
    "get_job": "job ID",
    "get_job_status": "job ID",
    "wait_for_job": "wait ID",
    "get_job_results": "results ID",
    "query_job_results": "results ID --sql",
    "compare_job_results": "results ID --compare",
    "export_job_results": "results ID --export",
    "cancel_job": "cancel ID",
}
_OPTIONS = {
    "include_inputs": "--inputs",
    "include_cumulative_logprobs": "--logprobs",
    "unpack_json": "--no-unpack-json",
    "output_column": "--output-column",
    "with_jobs": "--with-job",
    "created_after": "--created-after",
    "created_before": "--created-before",
    "overwrite": "--overwrite",
    "offset": "--offset",
    "limit": "--limit",
    "sql": "--sql",
}
# The reader is the user whom an assistant would ask.
_FOR_THE_USER: Rules = (
    (
        r"Ask the user to (\w)(.*?), or to set SUTRO_MCP_EXPORT_DIR to",
        lambda match: f"{match[1].upper()}{match[2]}, or name",
    ),
    (r" if the user wants it replaced", " to replace it"),
    (r", if your account and the model are trusted with that", ""),
)
_FOR_PROGRAMS: Rules = (
    *_FOR_THE_USER,
    (r"([Ss])et SUTRO_MCP_CACHE_DIR to a folder", "use a cache_folder"),
    (r"set SUTRO_MCP_SQL=lock", "make the client with sql='lock'"),
    (r"=(true|false)\b", lambda match: f"={match[1].title()}"),
    (rf"\b({'|'.join(_METHODS)})\b", lambda match: _METHODS[match[1]]),
)
_FOR_A_TERMINAL: Rules = (
    *_FOR_THE_USER,
    (r"(?:Make the same call|Call) again", "Try again"),
    (r"\bcall again", "try again"),
    (r"of this call\b", "of this command"),
    (r"with disable_cache", "without the cache, whose folder `sutro-mcp check` names"),
    (r"inputs and join_with", "--inputs"),
    (r"an answer of (?=list_jobs)", ""),
    (
        rf"(?:\b(?:([CU])|[cu])(?:all|se) )?\b({'|'.join(_COMMANDS)})\b",
        lambda match: f"{_run(match)}`sutro-mcp {_COMMANDS[match[2]]}`",
    ),
    (r"\bPass one\b", "Use a"),
    (r"\bPass\b", "Use"),
    (r"\bpass\b", "use"),
    (rf"\b({'|'.join(_OPTIONS)})\b(?:=(?:true|false))?", lambda match: _OPTIONS[match[1]]),
)


def _run(match: re.Match[str]) -> str:
    if match[0].startswith(match[2]):
        return ""
    return "Run " if match[1] else "run "


def for_programs(text: str) -> str:
    """`text` for the author of a program."""
    return _reworded(text, _FOR_PROGRAMS)


def for_a_terminal(text: str) -> str:
    """`text` for a person who types commands."""
    return _reworded(text, _FOR_A_TERMINAL)


def _reworded(text: str, rules: Rules) -> str:
    for pattern, words in rules:
        # Anew for each rule: what an earlier one put between backticks is kept as well.
        parts = _KEPT.split(text)
        parts[::2] = [re.sub(pattern, words, part) for part in parts[::2]]
        text = "".join(parts)
    return text


def speaks_to_programs(client: type[T]) -> type[T]:
    """`client`, with errors of its methods in the words of programs. Their parts stay as they were."""

    def awaiting(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        async def call(*args: Any, **options: Any) -> Any:
            with _reworded_errors():
                return await method(*args, **options)

        return call

    def iterating(method: Callable[..., AsyncGenerator[Any]]) -> Callable[..., AsyncGenerator[Any]]:
        @wraps(method)
        async def items(*args: Any, **options: Any) -> AsyncGenerator[Any]:
            with _reworded_errors():
                async with aclosing(method(*args, **options)) as found:
                    async for item in found:
                        yield item

        return items

    for name, method in getmembers(client):
        if not name.startswith("_") and iscoroutinefunction(method):
            setattr(client, name, awaiting(method))
        elif not name.startswith("_") and isasyncgenfunction(method):
            setattr(client, name, iterating(method))
    return client


@contextmanager
def _reworded_errors() -> Generator[None]:
    try:
        yield
    except SutroError as error:
        error.args = (for_programs(error.message),)
        raise
