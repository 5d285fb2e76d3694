"""How much of a summary is shown: lower levels of detail until it fits its budget, and never a count less."""

from collections.abc import Sequence
from dataclasses import dataclass

from sutro_mcp.results.request_models import Cell, ColumnSummary, QualityFlag, Sample, Summary
from sutro_mcp.untrusted_text import shorten

# Columns and fields beyond these are never shown.
MOST_COLUMNS = 40
# A longer name would fill the answer with the SQL that repeats it.
_LONG_NAME = 60


@dataclass(frozen=True)
class _Level:
    """How much detail is shown."""

    columns: int
    top: int
    kinds: int
    also: int
    sample_chars: int
    name_chars: int


def fit_summary(
    summary: Summary, max_chars: int, sql_names: Sequence[str], *, unshown: int, more: bool
) -> Summary:
    """The most detailed version of `summary` that fits.

    `sql_names` are those of its columns. `unshown` columns and fields are not in it, or at least so many if
    there are `more`.
    """
    for level in (
        _Level(columns=MOST_COLUMNS, top=8, kinds=12, also=2, sample_chars=400, name_chars=120),
        _Level(columns=MOST_COLUMNS, top=6, kinds=12, also=2, sample_chars=240, name_chars=80),
        _Level(columns=30, top=5, kinds=12, also=1, sample_chars=160, name_chars=60),
        _Level(columns=24, top=4, kinds=12, also=1, sample_chars=120, name_chars=60),
        _Level(columns=16, top=3, kinds=10, also=1, sample_chars=80, name_chars=40),
        _Level(columns=10, top=2, kinds=8, also=0, sample_chars=60, name_chars=40),
        _Level(columns=5, top=1, kinds=6, also=0, sample_chars=40, name_chars=30),
        _Level(columns=3, top=1, kinds=5, also=0, sample_chars=30, name_chars=24),
    ):
        fitted = _at_level(summary, level, sql_names, unshown, more)
        if len(fitted.model_dump_json(exclude_none=True)) <= max_chars:
            break
    return fitted


def _at_level(summary: Summary, level: _Level, sql_names: Sequence[str], unshown: int, more: bool) -> Summary:
    def brief(text: Cell, length: int = level.name_chars) -> Cell:
        return shorten(text, length)[0] if isinstance(text, str) else text

    def brief_column(column: ColumnSummary) -> ColumnSummary:
        top = [item.model_copy(update={"value": brief(item.value)}) for item in column.top[: level.top]]
        more = max(column.distinct - len(top), 0) or None if top else None
        update = {"name": brief(column.name), "sql_type": brief(column.sql_type), "top": top, "more": more}
        return column.model_copy(update=update)

    def brief_flag(flag: QualityFlag) -> QualityFlag:
        kinds = [
            each.model_copy(update={"kind": brief(each.kind, level.name_chars)}) for each in flag.also or ()
        ]
        kind = brief(flag.kind, level.name_chars + 40)
        return flag.model_copy(update={"kind": kind, "also": kinds[: level.also] or None})

    def brief_sample(sample: Sample) -> Sample:
        texts = {"output": sample.output, "input": sample.input}
        update = {name: brief(text, level.sample_chars) for name, text in texts.items()}
        return sample.model_copy(update=update)

    columns = [brief_column(column) for column in summary.columns[: level.columns]]
    cut = (name for name, column in zip(sql_names, columns, strict=False) if column.more)
    return summary.model_copy(
        update={
            "columns": columns,
            "every_value_sql": next((_count_sql(name) for name in cut if len(name) <= _LONG_NAME), None),
            "suspicious": list(map(brief_flag, summary.suspicious[: level.kinds])),
            "samples": list(map(brief_sample, summary.samples)),
            "shortened": _what_was_left_out(summary, level, unshown, more),
        }
    )


def _count_sql(name: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"SELECT {quoted}, count(*) FROM results GROUP BY ALL ORDER BY 2 DESC"  # noqa: S608 - it is shown, not run


def _what_was_left_out(summary: Summary, level: _Level, unshown: int, more: bool) -> str | None:
    parts: list[str] = []
    columns = unshown + max(len(summary.columns) - level.columns, 0)
    kinds = len(summary.suspicious) - level.kinds
    if columns > 0:
        least = "at least " if more else ""
        what = "column or field" if columns == 1 else "columns or fields"
        parts.append(f"{least}{columns} more {what} not shown; page them with columns")
    if kinds > 0:
        what = "kind" if kinds == 1 else "kinds"
        parts.append(f"{kinds} more {what} of suspicious rows, with fewer rows each, not shown")
    return "; ".join(parts) or None
