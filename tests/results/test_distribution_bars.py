"""Bars at a terminal are as long as values are frequent, and no value can draw anything else."""

from io import StringIO

from inline_snapshot import snapshot
from rich.console import Console

from sutro_mcp.cli.distribution_bars import distributions
from sutro_mcp.results import ColumnSummary

_FIELD = {"type": "text", "present": 9, "nulls": 0, "values": 9, "distinct": 3}


def test_each_frequent_value_has_a_bar_and_a_field_without_them_none() -> None:
    """Controls of a terminal in a value are spelled out, long values are cut."""
    top = [
        {"value": "billing", "count": 6, "share": 0.667},
        {"value": "\x1b[31mred", "count": 3, "share": 0.333},
        {"value": "x" * 40, "count": 0, "share": 0.0},
    ]
    fields = [{**_FIELD, "name": "label", "top": top, "more": 1_200}, {**_FIELD, "name": "id"}]
    out = StringIO()
    console = Console(file=out, width=90, color_system=None)
    console.print(*distributions(map(ColumnSummary.model_validate, fields)), sep="\n")
    assert "\n".join(line.rstrip() for line in out.getvalue().splitlines()) == snapshot("""\

label
billing                           ██████████████████████████████  6  66.7%
\\u{1B}[31mred                     ███████████████                 3  33.3%
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…                                  0   0.0%
1,200 more values\
""")
