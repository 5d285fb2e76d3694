"""Bars at a terminal are as long as values are frequent, and no value can draw anything else."""

import sys
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from inline_snapshot import snapshot
from rich.console import Console, RenderableType

from sutro_mcp.cli.demo_commands import draw
from sutro_mcp.results import Summary
from sutro_mcp.results.distribution_bars import distributions

_TOP = [("billing", 6, 0.667), ("\x1b[31mred", 3, 0.333), ("x" * 40, 0, 0.0)]
_FIELD = {"present": 9, "nulls": 0, "values": 9, "distinct": 3}
_NUMBERS = {"min": 1, "q25": 2, "median": 3, "q75": 4, "max": 5, "mean": 3.5}
_COLUMNS = [
    {
        **_FIELD,
        "name": "label",
        "type": "text",
        "top": [{"value": value, "count": count, "share": share} for value, count, share in _TOP],
        "more": 1_200,
    },
    {**_FIELD, "name": "score", "type": "number", "numbers": _NUMBERS},
    {**_FIELD, "name": "id", "type": "text"},
]
_SUMMARY = Summary.model_validate(
    {"row_count": 9, "outputs": "JSON objects", "columns": _COLUMNS, "suspicious": [], "samples": []}
)
_LABEL = """\
label
billing                           ██████████████████████████████  6  66.7%
\\u{1B}[31mred                     ███████████████                 3  33.3%
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…                                  0   0.0%
1,200 more values"""


def printed(*parts: RenderableType) -> str:
    """What a program prints with rich."""
    out = StringIO()
    Console(file=out, width=90, color_system=None).print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_each_frequent_value_has_a_bar_and_a_field_without_them_none() -> None:
    """Controls of a terminal in a value are spelled out, long values are cut."""
    assert printed(*distributions(_SUMMARY.columns)) == f"\n{_LABEL}"


def test_a_summary_prints_itself_with_every_field_of_it() -> None:
    """In words where there is nothing to draw."""
    head, rest = printed(_SUMMARY).split(f"\n\n{_LABEL}\n")
    assert head == "9 rows. Outputs: JSON objects."
    assert rest == snapshot("""\

score
1 to 5, median 3, mean 3.5

id
3 distinct\
""")


class _Stdout(TextIOWrapper):
    def __init__(self, is_terminal: bool) -> None:
        super().__init__(BytesIO(), encoding="utf-8")
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(("is_terminal", "drawn"), [(True, _LABEL), (False, "")])
def test_the_demo_draws_at_a_terminal_alone(
    is_terminal: bool, drawn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or a pipe has what the server answered."""
    for name, value in {"COLUMNS": "90", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", _Stdout(is_terminal))
    draw("label", _TOP, 1_200)
    sys.stdout.seek(0)
    assert sys.stdout.read().strip() == drawn
