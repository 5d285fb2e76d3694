"""Tables fit the terminal: numbers stay whole, and every cut is marked."""

from typing import Protocol

import pytest
from inline_snapshot import snapshot

from sutro_mcp.cli.rendering import show, table

_TITLE = "a title that is too long for any terminal of eighty columns"
_TEXT = f"{_TITLE}, and for the next one"
_COLUMNS = ("row", "title", "score", "text", "share", "note")
_ROWS = [(1234567, _TITLE, 659.4, _TEXT, 0.25, "ok"), (2, "short", 12, "表" * 30, None, "ok")]


class Show(Protocol):
    """Shows the table in a terminal of some columns."""

    def __call__(self, columns: int, *, wrapped: tuple[str, ...] = ()) -> str: ...


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Gives what is printed."""

    def lines(columns: int, *, wrapped: tuple[str, ...] = ()) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        show(table(_COLUMNS, _ROWS, wrapped=wrapped))
        return capsys.readouterr().out

    return lines


def test_only_long_text_is_cut_and_marked(shown: Show) -> None:
    """Short columns have the width that they need."""
    assert shown(80) == snapshot("""\
    row  title                     score  text                      share  note
1234567  a title that is too lon…  659.4  a title that is too lon…   0.25  ok
      2  short                        12  表表表表表表表表表表表 …         ok
""")


def test_text_may_take_more_lines_in_place_of_a_cut(shown: Show) -> None:
    """Where it holds numbers, which a cut would falsify."""
    assert shown(100, wrapped=("text",)) == snapshot("""\
    row  title                               score  text                                share  note
1234567  a title that is too long for any …  659.4  a title that is too long for any     0.25  ok
                                                    terminal of eighty columns, and
                                                    for the next one
      2  short                                  12  表表表表表表表表表表表表表表表表 …         ok
""")


def test_rows_are_lists_where_columns_would_not_fit(shown: Show) -> None:
    """No column is lost."""
    assert shown(50) == snapshot("""\
row    1234567
title  a title that is too long for any terminal
       of eighty columns
score  659.4
text   a title that is too long for any terminal
       of eighty columns, and for the next one
share  0.25
note   ok

row    2
title  short
score  12
text   表表表表表表表表表表表表表表表表表表表表表
       表表表表表表表表表
note   ok
""")
