"""Exports made in this process, and the frame that Python callers get of the same results."""

from pathlib import Path
from typing import Any, cast

import polars as pl

from sutro_mcp.results import ExportFormat, ExportReport, LocalArtifact
from sutro_mcp.results.export.export import make_export
from sutro_mcp.results.export.file_names import export_name
from sutro_mcp.results.request_models import ExportRequest
from sutro_mcp.results.rows.results_frame import build_frame
from sutro_mcp.results_spec import ResultsSpec
from tests.results.support import JOB_ID

FORMATS: list[ExportFormat] = ["parquet", "csv", "jsonl"]


def export(
    folder: Path, artifact: LocalArtifact, name: str = "a", form: str = "", **options: Any
) -> ExportReport:
    """Export in this process; `channel` and `step` are those of the task."""
    own = {name: options.pop(name) for name in ("channel", "step") if name in options}
    whole, chosen = export_name(name, cast("ExportFormat", form) if form else None)
    request = ExportRequest(folder=folder, file_name=whole, temporary=".part", format=chosen, **options)
    report = make_export(artifact, request, **own)
    assert report.bytes == (folder / report.file_name).stat().st_size
    assert ".part" not in names(folder)
    return report


def names(folder: Path) -> set[str]:
    """All entries."""
    return {path.name for path in folder.iterdir()}


def frame_of(artifact: LocalArtifact, **options: Any) -> pl.DataFrame:
    """The frame that Python callers get."""
    usual = {"with_original_df": None, "output_column": "inference_result", "unpack_json": True}
    return cast("pl.DataFrame", build_frame(artifact, **cast("Any", usual | options)))


def stored(folder: Path, table: pl.DataFrame, rows_in_group: int, name: str = "artifact") -> LocalArtifact:
    """The artifact, cut into row groups."""
    path = folder / f"{name}.parquet"
    table.write_parquet(path, row_group_size=rows_in_group)
    return LocalArtifact(path=str(path), format="parquet", spec=ResultsSpec(JOB_ID))
