"""A look at SQL before polars sees it, for refusals that say what to write instead.

It is no protection and need not be complete: the process that runs the SQL has no rights (`_rights`). So it
lets pass what it does not understand; polars then says what is wrong.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

MAX_SQL = 10_000
MAX_OPERATORS = 1_000

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<quoted>'(?:[^']|'')*'?|"(?:[^"]|"")*"?|`(?:[^`]|``)*`?)
    |(?P<word>[^\W\d]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<operator>\|\||<=>|<=|>=|<>|!=|==|::|//|!~\*|!~|~\*|[-+*/%<>=~&|^!])
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_OPERATOR_WORDS = {
    "AND",
    "OR",
    "NOT",
    "LIKE",
    "ILIKE",
    "RLIKE",
    "REGEXP",
    "IN",
    "BETWEEN",
    "IS",
    "CASE",
    "UNION",
}
_READER = re.compile(r"(?:read|scan)_\w+", re.IGNORECASE)
_MAKERS = {"RANGE", "GENERATE_SERIES"}

_Token = tuple[str, str]


def why_not(sql: str) -> str | None:
    """What keeps `sql` from being one SELECT over the table `results`, or None when nothing does."""
    tokens = list(_tokens(sql))
    while tokens and tokens[-1][1] == ";":
        tokens.pop()
    words = [text.upper() if kind == "word" else text for kind, text in tokens]
    if any(text == ";" for kind, text in tokens if kind == "other"):
        return "it holds more than one statement"
    first = next((word for word in words if word != "("), "")
    if first not in ("SELECT", "WITH"):
        return "it has to be one SELECT, or one WITH … SELECT"
    if ("WITH", "RECURSIVE") in pairwise(words):
        return "WITH RECURSIVE is not allowed"
    if (called := _forbidden_call(tokens)) is not None:
        return f"{called} is not allowed: the table results is all there is to read"
    operators = sum(
        kind == "operator" or word in _OPERATOR_WORDS for (kind, _), word in zip(tokens, words, strict=True)
    )
    if operators > MAX_OPERATORS:
        return f"it has {operators:,} operators, more than {MAX_OPERATORS:,}; write a long list as IN (…)"
    return None


def _forbidden_call(tokens: list[_Token]) -> str | None:
    """The name of a function that reads files or makes rows, if one is called."""
    for (kind, text), (_, after) in pairwise(tokens):
        if after != "(" or kind not in ("word", "quoted"):
            continue
        name = text if kind == "word" else text[1:-1]
        if _READER.fullmatch(name) or name.upper() in _MAKERS:
            return name.lower()
    return None


def _tokens(sql: str) -> Iterator[_Token]:
    """Kind and text of each token; blanks and comments, which nest, are left out."""
    at = 0
    while match := _TOKEN.match(sql, at):
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "comment":
            at = _end_of_comment(sql, at)
        elif kind != "blank":
            yield kind, match.group()


def _end_of_comment(sql: str, at: int) -> int:
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(sql, at)):
        at = edge.end()
        depth += 1 if edge.group() == "/*" else -1
    return len(sql) if depth else at
