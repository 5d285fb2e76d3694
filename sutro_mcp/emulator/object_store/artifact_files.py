"""The bodies of results: columns, JSON, zipped CSV and Parquet, each built once per (job, options) and kept.

Blocking and sometimes slow, so the routes call it in a thread. The only importer of polars, and only when
a table is really built: an emulator must start faster than polars imports.
"""

import csv
import io
import json
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, cast

from sutro_mcp.emulator.api_variants import ApiVariant
from sutro_mcp.emulator.stored_job import Job, ParquetLayout
from sutro_mcp.emulator.wire_format import json_bytes

if TYPE_CHECKING:
    import polars

_KEPT = 24  # bodies in memory; older ones are rebuilt, byte for byte the same


@dataclass(frozen=True)
class Options:
    """Columns that a reader asked for beside the outputs."""

    include_inputs: bool = False
    include_cumulative_logprobs: bool = False

    def filename(self, job_id: str) -> str:
        """The artifact's name in the object store (§6.7)."""
        return (
            f"sutro-results~{job_id}~inputs={int(self.include_inputs)}"
            f"~logprobs={int(self.include_cumulative_logprobs)}.parquet"
        )


@dataclass(frozen=True)
class Artifact:
    """A finished body and its strong entity tag."""

    body: bytes
    etag: str


def columns(job: Job, options: Options, variant: ApiVariant) -> dict[str, Sequence[Any]]:
    """The result columns in wire order (§7.1): all of one length, row for row in input order."""
    inputs, outputs = job.rows.pairs()
    if job.reasoning and variant.reasoning_content == "string":
        outputs = [_content_as_text(output) for output in outputs]
    table: dict[str, Sequence[Any]] = {"outputs": outputs}
    if options.include_inputs:
        table["inputs"] = inputs
    if options.include_cumulative_logprobs:
        table["cumulative_logprobs"] = job.rows.logprobs()
    if job.rows.confidence is not None:
        table["confidence_score"] = job.rows.confidence()
    if job.rows.ids is not None:
        name, values = job.rows.ids
        table[name] = values()
    return table


def _content_as_text(output: Any) -> Any:
    # C15: the structured content of a reasoning envelope, as JSON text instead of a nested object.
    try:
        envelope: dict[str, Any] = json.loads(output)
    except (TypeError, ValueError):
        return output
    if isinstance(envelope.get("content"), dict):
        envelope["content"] = json.dumps(envelope["content"], ensure_ascii=False)
    return json.dumps(envelope, ensure_ascii=False)


class Artifacts:
    """Builds bodies and keeps the latest of them."""

    def __init__(self, variant: ApiVariant) -> None:
        self._variant = variant
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], Artifact] = {}

    def json(self, job: Job, options: Options) -> Artifact:
        """A bare object of columns (§6.6)."""
        return self._once(job, options, "json", lambda: json_bytes(columns(job, options, self._variant)))

    def wrapped_json(self, job: Job, options: Options) -> Artifact:
        """The answer of POST /job-results (§6.5)."""

        def build() -> bytes:
            results: Any = columns(job, options, self._variant)
            if self._variant.results_payload == "list":  # C11: what the oldest servers sent
                results = results["outputs"]
            return json_bytes({"results": results, "message": f"Results of job {job.job_id} retrieved."})

        return self._once(job, options, "wrapped", build)

    def zipped_csv(self, job: Job, options: Options) -> Artifact:
        """A ZIP archive with one CSV file (§6.6, C14)."""
        return self._once(job, options, "csv", lambda: self._build_csv(job, options))

    def parquet(self, job: Job, options: Options) -> Artifact:
        """One Parquet file (§6.6, §6.7)."""
        return self._once(job, options, "parquet", lambda: self._build_parquet(job, options))

    def replace(self, job: Job) -> None:
        """From now on the job's Parquet artifact is another object: same rows, other bytes, other ETag."""
        job.artifact_version += 1

    def _once(
        self,
        job: Job,
        options: Options,
        form: Literal["json", "wrapped", "csv", "parquet"],
        build: Callable[[], bytes],
    ) -> Artifact:
        key = (job.job_id, id(job), job.artifact_version, options, form)
        with self._lock:  # two readers of a large job wait for one build
            if key not in self._kept:
                body = build()
                self._kept[key] = Artifact(body, f'"{sha256(body).hexdigest()[:32]}"')
                if len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
            return self._kept[key]

    def _build_csv(self, job: Job, options: Options) -> bytes:
        table = columns(job, options, self._variant)
        if self._variant.csv_column == "job_id":
            table = {job.job_id if name == "outputs" else name: values for name, values in table.items()}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*(map(_csv_cell, values) for values in table.values()), strict=True))
        member = zipfile.ZipInfo(f"{job.job_id}.csv", (2025, 1, 1, 0, 0, 0))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, text.getvalue().encode(errors="replace"), zipfile.ZIP_DEFLATED)
        return packed.getvalue()

    def _build_parquet(self, job: Job, options: Options) -> bytes:
        if isinstance(job.parquet, bytes):
            return job.parquet
        import polars

        table = columns(job, options, self._variant)
        frame = polars.DataFrame({name: _series(name, values) for name, values in table.items()})
        return _written(frame, job.parquet, self._variant, job.artifact_version)


def _csv_cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _series(name: str, values: Sequence[Any]) -> "polars.Series":
    import polars

    strings = name in ("outputs", "inputs") and not any(isinstance(value, list) for value in values)
    if not strings:
        return polars.Series(
            name, values, dtype=None if any(v is not None for v in values) else polars.Float64
        )
    try:
        return polars.Series(name, values, dtype=polars.String)
    except UnicodeEncodeError:  # a lone surrogate exists in JSON only
        clean = [value and value.encode(errors="replace").decode() for value in values]
        return polars.Series(name, clean, dtype=polars.String)


def _written(frame: "polars.DataFrame", layout: ParquetLayout, variant: ApiVariant, version: int) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(
        file,
        compression=cast("Any", layout.compression or variant.parquet_codec),
        row_group_size=layout.row_group_size,
        data_page_size=layout.data_page_size,
        statistics=layout.statistics,
        metadata={"sutro.artifact_version": str(version)} if version else None,
    )
    return file.getvalue()
