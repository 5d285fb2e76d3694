"""What is said to an assistant, said to a program's author and to a person at a terminal."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sutro_mcp.library.error_words import for_a_terminal, for_programs
from sutro_mcp.library.sutro_client import SutroClient
from sutro_mcp.server.tools import CATALOGUE

PACKAGE = Path(__file__).parents[2] / "sutro_mcp"
# A word of a name that only a tool has, or how an assistant is spoken to.
OF_TOOLS = re.compile(
    r"\b(?:list|get|summarize|wait_for|query|compare|export|cancel)_jobs?\w*|=(?:true|false)\b"
)
TO_AN_ASSISTANT = re.compile(
    r"[Aa]sk the user|the user wants|\b[Cc]all again|\b[Pp]ass\b|arguments of this call"
)


def _texts() -> Iterator[str]:
    """Every sentence in the code that commands and the library reach, with x for what is put in."""
    for path in (*(PACKAGE / "api").rglob("*.py"), *(PACKAGE / "results").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        passed_over: set[ast.AST] = set()
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                passed_over.add(body[0].value)  # a docstring
            if isinstance(node, ast.JoinedStr):
                passed_over |= set(node.values)
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in passed_over:
                yield node.value


@pytest.mark.parametrize("reworded", [for_programs, for_a_terminal])
def test_no_text_names_a_tool_or_its_arguments_to_another_reader(reworded: Callable[[str], str]) -> None:
    """Also one that is added tomorrow: every sentence of the engine and of the API's side is looked at."""
    methods = {name for name in dir(SutroClient) if not name.startswith("_")}
    sentences = [text for text in _texts() if re.match(r"[A-Z][a-z]+ [a-z]|[a-z]+ [a-z_]+ [a-z]", text)]
    assert len(sentences) > 200
    for sentence in sentences:
        text = re.sub(r'"[^"]*"|`[^`]*`', "", reworded(sentence))
        named = set(OF_TOOLS.findall(text)) - (methods if reworded is for_programs else set())
        assert not named, sentence
        if reworded is for_a_terminal:
            assert not TO_AN_ASSISTANT.search(text), sentence
        assert "the user " not in text, sentence


def test_every_tool_has_a_command_or_a_method() -> None:
    """So no sentence can name one that a reader lacks."""
    for tool in CATALOGUE:
        assert for_a_terminal(tool.name).startswith("`sutro-mcp "), tool.name
        assert hasattr(SutroClient, for_programs(tool.name)), tool.name


@pytest.mark.parametrize(
    ("text", "in_python", "at_a_terminal"),
    [
        (
            "Choose another name, or pass overwrite=true if the user wants it replaced.",
            snapshot("Choose another name, or pass overwrite=True to replace it."),
            snapshot("Choose another name, or use --overwrite to replace it."),
        ),
        (
            "Ask the user to free some space there, or to set SUTRO_MCP_EXPORT_DIR to another folder.",
            snapshot("Free some space there, or name another folder."),
            snapshot("Free some space there, or name another folder."),
        ),
        (
            'there is no column "inputs" (include_inputs=true adds it), nor "get_job=true"',
            snapshot('there is no column "inputs" (include_inputs=True adds it), nor "get_job=true"'),
            snapshot('there is no column "inputs" (--inputs adds it), nor "get_job=true"'),
        ),
        (
            "Call wait_for_job to follow it; compare the columns with query_job_results and with_jobs.",
            snapshot("Call wait to follow it; compare the columns with query and with_jobs."),
            snapshot(
                "Run `sutro-mcp wait ID` to follow it; compare the columns with `sutro-mcp results ID --sql` "
                "and --with-job."
            ),
        ),
        (
            "Copy the job_id from an answer of list_jobs. Call again.",
            snapshot("Copy the job_id from an answer of list_jobs. Call again."),
            snapshot("Copy the job_id from `sutro-mcp jobs`. Try again."),
        ),
        (
            "or set SUTRO_MCP_SQL=lock alone, if your account and the model are trusted with that.",
            snapshot("or make the client with sql='lock' alone."),
            snapshot("or set SUTRO_MCP_SQL=lock alone."),
        ),
    ],
)
def test_words_are_those_of_the_reader(text: str, in_python: str, at_a_terminal: str) -> None:
    """And what stands in quotes is kept: others wrote it."""
    assert for_programs(text) == in_python
    assert for_a_terminal(text) == at_a_terminal
