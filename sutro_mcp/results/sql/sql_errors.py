"""Faults of SQL, each in one sentence that helps to write it right.

DuckDB's own words are kept where they help; never its candidates by the dozen, the parser's arrows, a path or
a traceback.
"""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import duckdb

from sutro_mcp.results.rows.column_roles import OUTPUT
from sutro_mcp.untrusted_text import quote

_ONLY_TABLES = "SQL can read the tables listed here and nothing else"
_MOST_NEAR = 3
_ADDED = {"inputs": "include_inputs", "cumulative_logprobs": "include_cumulative_logprobs"}
_PATH = re.compile(r"(?:\b[a-z][\w+.-]*:/|\b[a-z]:\\|(?<![\w.)\]])[/\\])[^\s'\"`,;)]+", re.IGNORECASE)
_PREFIX = re.compile(r"^[\w ]+ (?:Error|exception): ", re.IGNORECASE)

# Functions of other dialects and what DuckDB has instead.
_INSTEAD = {
    "array_size": "len(list)",
    "charindex": "strpos(text, part)",
    "collect_list": "list(x)",
    "collect_set": "list(DISTINCT x)",
    "convert": "CAST(x AS type)",
    "date_format": "strftime(time, '%Y-%m')",
    "dateadd": "x + INTERVAL 1 DAY",
    "decode": "CASE x WHEN … THEN … END",
    "explode": "unnest(list)",
    "format_number": "format('{:,.2f}', x)",
    "getdate": "current_timestamp",
    "iif": "CASE WHEN … THEN … ELSE … END",
    "initcap": "upper(left(x, 1)) || lower(x[2:])",
    "isnull": "x IS NULL, or coalesce(x, y)",
    "isnumeric": "TRY_CAST(x AS DOUBLE) IS NOT NULL",
    "json_extract_scalar": "json_extract_string(x, '$.a')",
    "json_query": "json_extract(x, '$.a')",
    "locate": "strpos(text, part)",
    "parse_date": "strptime(x, '%d.%m.%Y')",
    "listagg": "string_agg(x, ', ' ORDER BY x)",
    "percentile": "quantile_cont(x, 0.9)",
    "percentile_approx": "quantile_cont(x, 0.9)",
    "percentile_cont": "quantile_cont(x, 0.9)",
    "regexp_count": "len(regexp_extract_all(x, pattern))",
    "regexp_substr": "regexp_extract(x, pattern)",
    "safe_cast": "TRY_CAST(x AS type)",
    "size": "len(list)",
    "str_to_date": "strptime(x, '%d.%m.%Y')",
    "substring_index": "split_part(x, ',', 1)",
    "to_char": "strftime(time, '%Y-%m'), or format('{:,.2f}', number)",
    "to_date": "CAST(x AS DATE), or strptime(x, '%d.%m.%Y')",
    "to_number": "TRY_CAST(x AS DOUBLE)",
}
# Calls that DuckDB has with other arguments.
_CALLS = {
    "count": "count(DISTINCT (a, b)) counts pairs",
    "datediff": "write datediff('day', start, end)",
    "format": "write format('{:,.2f}', x)",
}
# What is written otherwise, for SQL that is no SQL to DuckDB: how it is found, and what to write.
_SYNTAX = (
    (r"\bSELECT\s+TOP\b", "write LIMIT 5 at the end instead of TOP 5"),
    (r"\bSAFE_CAST\b", "write TRY_CAST instead of SAFE_CAST"),
    (r"\bLIMIT\s+\d+\s*,", "write LIMIT 10 OFFSET 5 instead of LIMIT 5, 10"),
    (r"\b(?:FROM|JOIN)\s+job-", "the table of the job is called results"),
    (r"\b(?:REGEXP|RLIKE)\s+'", "write regexp_matches(text, pattern)"),
    (r"\bSEPARATOR\s+'", "write string_agg(x, ',')"),
    (r"\bCONTAINS\s+'", "write list_contains(list, x) or contains(text, part)"),
    (r"\bOVER\s+(?:PARTITION|ORDER)\b", "write OVER (PARTITION BY x ORDER BY y), with brackets"),
    (r"\bBETWEEN\s+[^\s,]+\s*,", "write BETWEEN a AND b"),
    (r"\bGROUP\s+BY\b[^()]*\bWHERE\b", "WHERE goes before GROUP BY, and HAVING behind it"),
    (r"\bCASE\b(?!.*\bEND\b)", "a CASE needs its END"),
)
# What opens a part of the SQL: the error is at what follows. For other reserved words it is at the word.
_OPENING = re.compile(
    r"all|array|case|cast|distinct|except|fetch|from|group|having|intersect|lambda|limit|not|offset|order|"
    r"qualify|union|using|where|window",
    re.IGNORECASE,
)
_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
_AS_NUMBER = "TRY_CAST(x AS DOUBLE) makes a number of text"
_AS_TEXT = "CAST(x AS VARCHAR) makes text of any value"
_AS_TIME = "CAST(x AS DATE) or CAST(x AS TIMESTAMP) makes a time of text"
_OF_NUMBER = "to_timestamp(x) makes a time of seconds, strptime(x::VARCHAR, '%Y%m%d') of 20260131"
_OPERATORS = {"+": "a || b joins text", "-": "CAST(x AS DATE) a date"}
_LIKE = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}
_OF_TEXT = re.compile(
    r"(?:NOT )?I?LIKE|length|lower|upper|trim|substr(?:ing)?|starts_with|replace|regexp_\w+"
)
_OF_TIMES = re.compile(
    r"DATE|TIME|INTERVAL|\b(?:year|month|day|hour|minute|week|quarter|strftime|age)\w*\(", re.I
)


class _Mistake(NamedTuple):
    match: re.Match[str]
    sql: str
    columns: Sequence[str]


def said(error: BaseException, sql: str, columns: Sequence[str]) -> str:
    """Why the SQL cannot be run. `columns` are those of all tables."""
    text = str(error)
    if "Traceback" in text or isinstance(error, duckdb.IOException | duckdb.PermissionException):
        # One sentence, whatever it was: a difference would tell whether a file exists.
        return _ONLY_TABLES
    if lacks_memory(error):
        return (
            "it needs more memory than it may have: select or group by fewer and shorter columns "
            "(count(DISTINCT hash(x::VARCHAR)) takes less than count(DISTINCT x))"
        )
    for pattern, say in _RULES:
        if match := re.search(pattern, text):
            return say(_Mistake(match, sql, columns))
    first = _PREFIX.sub("", text.partition("\n")[0])
    return quote(_PATH.sub("(path)", first))


def lacks_memory(error: BaseException) -> bool:
    """Whether the SQL needs more memory than it may have."""
    return isinstance(error, MemoryError | duckdb.OutOfMemoryException) or "llocation fail" in str(error)


def _no_column(at: "_Mistake") -> str:
    name = at.match[1]
    happened = f"there is no column {quote(name)}"
    if name.lower() in _ADDED:
        return f"{happened} ({_ADDED[name.lower()]}=true adds it)"
    if name.lower() in _UNITS:
        return f"{happened}; a unit of time goes in single quotes, as in datediff('{name.lower()}', a, b)"
    happened += _nearest(name, at.columns)
    if f'"{name}"' in at.sql:
        happened += "; text goes in single quotes"
    return happened


def _no_table(at: "_Mistake") -> str:
    name = at.match[1]
    prefix = f"{name}.".lower()
    if dotted := [column for column in at.columns if column.lower().startswith(prefix)]:
        return (
            f"there is no table {quote(name)}; a column with a dot in its name goes in double quotes "
            f"as a whole, such as {_column(dotted[0])}"
        )
    return f"there is no table {quote(name)}"


def _no_function(at: "_Mistake") -> str:
    name, *near = (each and each.lower() for each in at.match.groups())
    happened = f"there is no function {quote(name, 80)}"
    if name in _INSTEAD:
        return f"{happened}; use {_INSTEAD[name]}"
    return f"{happened}; the nearest name is {near[0]}" if any(near) else happened


def _no_types(at: "_Mistake") -> str:
    name, _, kinds = at.match[1].partition("(")
    name = _LIKE.get(name, name)
    call = f"{name}({kinds}"
    if name in _CALLS and (name != "datediff" or kinds.count(",") < 2):
        return f"there is no {quote(call)}; {_CALLS[name]}"
    if _OF_TEXT.fullmatch(name):
        return f"there is no {quote(call)}; {_AS_TEXT}"
    advice = _AS_TIME if _OF_TIMES.search(call) else _AS_NUMBER if "VARCHAR" in call else ""
    if advice == _AS_NUMBER and name in _OPERATORS:
        advice += f", {_OPERATORS[name]}"
    return f"there is no {quote(call)}" + (f"; {advice}" if advice else "")


def _no_comparison(at: "_Mistake") -> str:
    kinds = f"{at.match[1]} {at.match[2]}"
    advice = _AS_TIME if _OF_TIMES.search(kinds) else _AS_NUMBER
    first, second = (kind.removesuffix("_LITERAL") for kind in at.match.groups())
    return f"it compares {first} with {second}; {advice}"


def _no_cast(at: "_Mistake") -> str:
    return f"{quote(at.match[0])}; TRY_CAST gives null for what cannot be cast"


def _no_such_cast(at: "_Mistake") -> str:
    source, wanted = at.match.groups()
    is_time = _OF_TIMES.match(wanted) and not _OF_TIMES.match(source)
    return f"{source} cannot be cast to {wanted}" + (f"; {_OF_NUMBER}" if is_time else "")


def _no_member(at: "_Mistake") -> str:
    key, of = at.match.groups()
    happened = f"{quote(of, 80)} has no field {quote(key, 80)}"
    if of.lower().rpartition(".")[2] == OUTPUT:
        return f"{happened}, it is text; the fields of JSON outputs are columns of their own"
    return f"{happened}; of a list of objects, x[1].{key} is that of the first, and unnest(x) gives all"


def _no_key(at: "_Mistake") -> str:
    key, candidates = at.match.groups()
    return f"there is no field {quote(key, 80)}" + _nearest(key, re.findall(r'"(.+?)"(?:, |$)', candidates))


def _syntax(at: "_Mistake") -> str:
    token = at.match[1].lower()
    happened = f"there is a syntax error at or near {quote(at.match[1], 80)}"
    name = _opening_column(at)
    if not name and (
        advice := next((say for find, say in _SYNTAX if re.search(find, at.sql, re.I | re.S)), None)
    ):
        return f"{happened}; {advice}"
    odd = (name for name in at.columns if token in (name.lower(), *name.lower().split(" ")))
    if name := name or next(odd, None):
        return f"{happened}; the name of this column goes in double quotes: {_column(name)}"
    return happened


def _opening_column(at: "_Mistake") -> str | None:
    """The column named like a word that opens a part of the SQL, if it stands there without quotes."""
    end = re.escape(at.match[1])
    named = (name for name in at.columns if _OPENING.fullmatch(name))
    return next((name for name in named if re.search(rf'(?<!["\w.]){name}\s*{end}', at.sql, re.I)), None)


def _plain(sentence: str) -> "_Say":
    return lambda _: sentence


_Say = Callable[[_Mistake], str]
_RULES: list[tuple[str, _Say]] = [
    (r'Referenced column "(.+?)" (?:not found|was not found)', _no_column),
    (r'does not have a column named "(.+?)"', _no_column),
    (r'Referenced table "(.+?)" not found', _no_table),
    (r"Table with name (.+?) does not exist", _no_table),
    (r'Function with name (\S+) does not exist!(?:\nDid you mean "(.+?)")?', _no_function),
    (
        r"json_extract\w*\((?:VARCHAR|JSON), BOOLEAN\)",
        _plain("an operator after -> takes the key for its own; write (x->>'key') in brackets"),
    ),
    (r"Unimplemented type for cast \((\S+) -> (\S+)\)", _no_such_cast),
    (r"Cannot extract field ['\"](.+?)['\"] from expression ['\"](.+?)['\"] because", _no_member),
    (r'Could not find key "(.+?)" in struct\n\nCandidate Entries: (.+)', _no_key),
    (
        r'Ambiguous reference to column name "(.+?)"',
        lambda at: f"{quote(at.match[1], 80)} is in several tables; write of which, as in results.x",
    ),
    (
        r"can't be cast to the destination type \S+\[\]",
        _plain("it compares a list with one value; list_contains(list, x) looks into a list"),
    ),
    (r"WHERE clause cannot contain aggregates", _plain("WHERE cannot contain aggregates; HAVING can")),
    (
        r"Window functions are not supported here",
        _plain("a window function stands in SELECT or QUALIFY and needs OVER (ORDER BY x)"),
    ),
    (r'Unknown ordered aggregate "(\w+)"', _no_function),
    (
        r"Table Function with name",
        _plain("only unnest(list) gives rows there, as in FROM results, unnest(tags) AS t(tag)"),
    ),
    (r"No function matches the given name and argument types '(.+?)'\.", _no_types),
    (r'Could not choose a best candidate function for the function call "(.+?)"\.', _no_types),
    (r"Cannot compare values of type (\S+) and type (\S+) ", _no_comparison),
    (r"Could not convert string .{0,200}?(?= when casting|\n|$)", _no_cast),
    (r"invalid \w+ field format.{0,200}?(?= when casting|\n|$)", _no_cast),
    (
        r"Could not parse string .{0,200}",
        lambda at: f"{quote(at.match[0])}; try_strptime gives null for what does not fit",
    ),
    (
        r"Deprecated lambda arrow",
        _plain("a lambda is written lambda x: x + 1, as in list_transform(tags, lambda x: upper(x))"),
    ),
    (r"UNNEST\(\) can only be", _plain("UNNEST takes a list; CAST(x AS JSON[]) makes one of a JSON array")),
    (r"Malformed JSON", _plain("it compares JSON with text; x->>'key' is text where x->'key' is JSON")),
    (r"Max expression depth|too deeply|tack limit", _plain("it is nested too deeply")),
    (r'syntax error at or near "(.+?)"', _syntax),
    (r"(?:file system|External access|[Ff]ile|ermission).{0,80}disabled", _plain(_ONLY_TABLES)),
]  # fmt: skip


def _nearest(name: str, names: Sequence[str]) -> str:
    """Words for the names that are like `name`, as a whole or in their last part, if there are any."""
    by_key: dict[str, str] = {}
    for each in names:
        by_key.setdefault(each.lower(), each)
        by_key.setdefault(each.lower().rpartition(".")[2], each)
    close = get_close_matches(name.lower(), by_key, n=_MOST_NEAR, cutoff=0.6)
    near = dict.fromkeys(_column(by_key[key]) for key in close)
    return f"; the nearest names are {', '.join(near)}" if near else ""


def _column(name: str) -> str:
    return quote(name, 80)
