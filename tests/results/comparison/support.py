"""Comparisons in this process, and a plain one of the same rows to check them by."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from sutro_mcp.results.comparison.comparison import compare
from sutro_mcp.results.request_models import CompareRequest, Comparison, ComparisonTable, LocalArtifact
from sutro_mcp.results.sql.duckdb_engine import load
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.protocol import NullChannel
from sutro_mcp.results_spec import ResultsSpec

OUTPUT = "inference_result"
Row = tuple[str | None, Any]
"""Input and output: an object is written as JSON, text is as it is."""


def run(
    folder: Path, name: str, rows: Sequence[Row], *, inputs: bool = True, **more: list[Any]
) -> LocalArtifact:
    """A run of a job as an artifact."""
    outputs = [text(output) for _, output in rows]
    columns = {"outputs": pl.Series(outputs, dtype=pl.String)}
    if inputs:
        columns["inputs"] = pl.Series([given for given, _ in rows], dtype=pl.String)
    path = folder / f"{name}.parquet"
    pl.DataFrame({**columns, **more}).write_parquet(path)
    return LocalArtifact(
        path=str(path), format="parquet", spec=ResultsSpec(f"job-{name}", include_inputs=True)
    )


def comparison(before: LocalArtifact, after: LocalArtifact, by: str = "row", **options: Any) -> Comparison:
    """The changes, found outside the sandbox."""
    tables = load({"before": prepare(before), "after": prepare(after)})
    try:
        return compare(tables, CompareRequest(by=by), NullChannel(), **options)
    finally:
        tables.close()


def records(table: ComparisonTable | None) -> list[dict[str, Any]]:
    """The rows of a table by the names of its columns."""
    return [] if table is None else [dict(zip(table.columns, row, strict=True)) for row in table.rows]


@dataclass
class Plain:
    """A comparison by Python's own means: every pair at once, values as they are."""

    before: Sequence[Row]
    after: Sequence[Row]
    by: str
    fields: Sequence[str]

    def pairs(self) -> list[tuple[int, int]]:
        """Numbers of the rows that belong together, those before in order."""
        if self.by == "row":
            return [(row, row) for row in range(min(len(self.before), len(self.after)))]
        keys, others = self.keys(self.before), self.keys(self.after)
        seen, seen_after = Counter(keys), Counter(others)
        single = {key for key in seen if key is not None and seen[key] == seen_after[key] == 1}
        return [(row, others.index(key)) for row, key in enumerate(keys) if key in single]

    def keys(self, rows: Iterable[Row]) -> list[Any]:
        """The key of each row."""
        return [row[0] if self.by == "inputs" else value(row, self.by) for row in rows]

    def counts(self, rows: Sequence[Row], other: Sequence[Row]) -> dict[str, int]:
        """The line of a run."""
        if self.by == "row":
            return {"rows": len(rows), "only_here": max(len(rows) - len(other), 0)}
        keys = self.keys(rows)
        seen, there = Counter(keys), Counter(self.keys(other))
        repeated = [key is not None and (seen[key] > 1 or there[key] > 1) for key in keys]
        return {
            "rows": len(rows),
            "only_here": sum(key is not None and seen[key] == 1 and not there[key] for key in keys),
            "null_key": keys.count(None),
            "repeated_key": sum(repeated),
        }

    def inputs(self) -> dict[bool | None, int]:
        """How many pairs have the same inputs, others, or one that is not known."""
        given = ((self.before[one][0], self.after[other][0]) for one, other in self.pairs())
        return Counter(None if None in pair else pair[0] == pair[1] for pair in given)

    def values(self, field: str) -> list[tuple[Any, Any]]:
        """The values of a field in each pair."""
        read = self.bare if field == OUTPUT else value
        return [
            (read(self.before[one], field), read(self.after[other], field)) for one, other in self.pairs()
        ]

    def bare(self, row: Row, _field: str) -> str | None:
        """The text of an output in which all fields are null."""
        return text(row[1]) if all(value(row, name) is None for name in self.fields) else None

    def figures(self, field: str) -> dict[str, Any] | None:
        """The line of a field, but its moves; None where nothing changed."""
        values = self.values(field)
        differences = [new - old for old, new in values if is_number(old) and is_number(new)]
        agree = sum(old == new and old is not None for old, new in values)
        lost, gained = (
            sum(pair[at] is not None and pair[1 - at] is None for pair in values) for at in (0, 1)
        )
        present = sum(pair != (None, None) for pair in values)
        if agree == present:
            return None
        return {
            "rows": present,
            "agree": agree,
            "agree_share": math.floor(agree * 10_000 / present) / 10_000,
            "lost": lost,
            "gained": gained,
            "moves": len(self.moves(field)),
            "mean_difference": rounded(statistics.fmean(differences)) if differences else None,
            "sd_difference": rounded(statistics.stdev(differences)) if len(differences) > 1 else None,
        }

    def moves(self, field: str) -> Counter[Any]:
        """How often each value became which."""
        lists_as_text = (
            (str(old), str(new)) if field == "tags" else (old, new) for old, new in self.values(field)
        )
        return Counter(pair for pair in lists_as_text if pair[0] != pair[1])


def text(output: Any) -> str | None:
    """An output as the job wrote it."""
    return output if isinstance(output, str | None) else json.dumps(output)


def value(row: Row, field: str) -> Any:
    """The value of a field by its path, as DuckDB types it."""
    found: Any = row[1]
    for key in field.split("."):
        found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return found


def is_number(found: Any) -> bool:
    """Whether it is a number, which truth values are not."""
    return isinstance(found, int | float) and not isinstance(found, bool)


def rounded(number: float) -> float:
    """To six digits."""
    return float(f"{number:.6g}")
